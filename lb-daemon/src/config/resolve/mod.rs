//! What was typed becomes what holds: the service's own key, else the one in
//! `defaults`, else the built-in default.
//!
//! Where a value was wrong, a default stands in, so that the rest can still be
//! checked; the outcome is then thrown away with the report's problems.

mod check;
mod discovery;
mod health;
mod nat;
mod notify;
mod service;
mod tunnel;

pub(super) use service::backend;

use std::path::Path;

use super::{
    model::{Config, Control, Limits, OnExit, Seed},
    ranges, raw,
    report::Report,
};

/// `directory` is where relative paths are looked for.
pub(super) fn resolve(file: &raw::File, directory: &Path, report: &mut Report) -> Config {
    let services: Vec<_> = file
        .services
        .iter()
        .map(|service| service::resolve(service, file, directory, report))
        .collect();
    let translates = services.iter().any(|service| service.mode.snat().is_some());
    Config {
        interfaces: file.interfaces.iter().map(|interface| interface.value.clone()).collect(),
        on_exit: file.on_exit.value_or(OnExit::Keep),
        allow_exec: file.allow_exec.value_or(false),
        seed: seed(file, directory, report),
        control: Control { group: file.group.right().map(|group| group.value.clone()) },
        limits: limits(&file.limits, translates),
        local_clients: file.local_clients.value_or(false),
        dns: discovery::dns(&file.dns, report),
        nat_log: file.nat_log.right().map(|log| log.value.clone()),
        notify: notify::resolve(file, report),
        services,
    }
}

fn seed(file: &raw::File, directory: &Path, report: &mut Report) -> Seed {
    match (file.seed.right(), file.seed_file.right()) {
        (Some(_), Some(path)) => {
            report.problem(path.at, "seed is given as well", "give either seed or seed_file");
            Seed::Generated
        }
        (Some(text), None) => Seed::Text(text.value.clone()),
        (None, Some(path)) => Seed::File(directory.join(&path.value)),
        (None, None) => Seed::Generated,
    }
}

/// `translates`: some service does.
fn limits(keys: &raw::LimitKeys, translates: bool) -> Limits {
    let nat_flows = |default| if translates { default } else { 0 };
    Limits {
        slot_space: keys.slot_space.value_or(ranges::DEFAULT_SLOT_SPACE),
        flow_entries: keys.flow_entries.value_or(ranges::DEFAULT_FLOW_ENTRIES),
        nat_flows: keys.nat_flows.value_or(nat_flows(ranges::DEFAULT_NAT_FLOWS)),
        nat_flows_wide: keys.nat_flows_wide.value_or(nat_flows(ranges::DEFAULT_NAT_FLOWS_WIDE)),
        reset_rate: keys.reset_rate.value_or(ranges::DEFAULT_RESET_RATE),
        unserved_rate: keys.unserved_rate.value_or(ranges::DEFAULT_UNSERVED_RATE),
        too_big_rate: keys.too_big_rate.value_or(ranges::DEFAULT_TOO_BIG_RATE),
        echo_rate: keys.echo_rate.value_or(ranges::DEFAULT_ECHO_RATE),
        log_rate: keys.log_rate.value_or(ranges::DEFAULT_LOG_RATE),
    }
}
