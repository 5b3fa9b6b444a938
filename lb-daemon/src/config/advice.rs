//! Warnings: what is allowed and probably not meant.

use std::time::Duration;

use super::{
    model::{Config, Health, Protocol, Seed, Service, UdpFlows},
    raw::{self, File},
    report::Report,
    yaml::At,
};

const SHORTEST_SEED: usize = 16;
/// A client repeats its first SYN after a second.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Fewer slots per backend make shares uneven by more than a few percent.
const SLOTS_PER_BACKEND: usize = 20;

/// Warns about `config`, which `file` became.
pub(super) fn give(file: &File, config: &Config, report: &mut Report) {
    if let (Seed::Text(text), Some(typed)) = (&config.seed, file.seed.right())
        && text.len() < SHORTEST_SEED
    {
        let help = "give at least 16 random characters, or the balancer's clients can guess it";
        report.warning(typed.at, "the seed is short", help);
    }
    if config.services.is_empty() {
        let at = file.services_at.unwrap_or(file.at);
        report.warning(
            at,
            "there are no services",
            "every packet is left to the kernel until there is one",
        );
    }
    second_table(file, config, report);
    nothing_to_log(file, config, report);
    for (typed, service) in file.services.iter().zip(&config.services) {
        pool(typed, service, report);
        shares(typed, service, report);
        times(typed, service, report);
        probes(typed, service, report);
        kept_anyway(typed, service, report);
    }
}

/// A change of seed or table size builds a table beside the one in use.
fn second_table(file: &File, config: &Config, report: &mut Report) {
    let sizes = || config.services.iter().map(|service| u64::from(service.table_size));
    let needed = sizes().sum::<u64>() + sizes().max().unwrap_or_default();
    if needed > u64::from(config.limits.slot_space) {
        let at = file.limits.slot_space.right().map(|space| space.at);
        let message = "limits.slot_space leaves no room for a second table of the largest service";
        let help =
            format!("set it to {needed} or more, so that a table's size can be changed later");
        report.warning(at.or(file.services_at).unwrap_or(file.at), message, help);
    }
}

fn nothing_to_log(file: &File, config: &Config, report: &mut Report) {
    if let Some(log) = file.nat_log.right()
        && config.services.iter().all(|service| service.mode.snat().is_none())
    {
        let help = "it is written once a service has mode nat or dnat";
        report.warning(log.at, "no service translates addresses", help);
    }
}

fn pool(typed: &raw::Service, service: &Service, report: &mut Report) {
    if service.discovery.is_used() {
        // Who is there is known when it has been found.
    } else if service.backends.is_empty() {
        let help = "its packets are dropped (no_backend) until it has one";
        report.warning(place(typed), "the service has no backends", help);
    } else if service.backends.iter().all(|backend| backend.weight == 0) {
        let help = "a service without a weight above 0 takes no new connections";
        report.warning(place(typed), "all backends have weight 0", help);
    }
}

fn place<'t>(typed: &raw::Service<'t>) -> At<'t> {
    typed.name.as_ref().map_or(typed.at, |name| name.at)
}

fn shares(typed: &raw::Service, service: &Service, report: &mut Report) {
    let slots = u64::from(service.table_size);
    let total: u64 = service.backends.iter().map(|backend| u64::from(backend.weight)).sum();
    for (typed, backend) in typed.backends.iter().zip(&service.backends) {
        let weight = u64::from(backend.weight);
        if let (1.., Some(address)) = (weight, &typed.address)
            && weight * slots < total
        {
            let message =
                format!("weight {weight} of {total} is less than one of the {slots} slots");
            report.warning(
                address.at,
                message,
                "make weights less different, or table_size larger",
            );
        }
    }
    if let Some(given) = typed.common.table_size.right()
        && service.backends.len() * SLOTS_PER_BACKEND > given.value as usize
    {
        let message = format!(
            "{} slots for {} backends make uneven shares",
            given.value,
            service.backends.len()
        );
        report.warning(
            given.at,
            message,
            "give 100 slots for each backend, or leave table_size out",
        );
    }
}

fn times(typed: &raw::Service, service: &Service, report: &mut Report) {
    if let Some(given) = typed.common.arming.right()
        && service.arming <= FIRST_RETRY
    {
        let help = "give more than 1s, better 3500ms: copies of a SYN would land on two backends";
        report.warning(given.at, "the arming time is not above a SYN's first repetition", help);
    }
}

fn probes(typed: &raw::Service, service: &Service, report: &mut Report) {
    let guessed = typed.common.health.port.right().is_none();
    if let (Health::Probed(health), [Protocol::Udp]) = (&service.health, &service.protocols[..])
        && guessed
        && health.check.is_over_tcp()
        && let Some(port) =
            service.backends.iter().find_map(|backend| service.probe_port(health, backend))
    {
        let message =
            format!("the service is UDP only, its probes are TCP connections to port {port}",);
        let help = "give health.port where something listens on TCP, or health: { type: none }";
        report.warning(place(typed), message, help);
    }
}

fn kept_anyway(typed: &raw::Service, service: &Service, report: &mut Report) {
    if let (Some(udp), Some(_)) = (typed.common.udp.right(), service.mode.snat())
        && udp.value == UdpFlows::Keep
    {
        let message = format!("mode {} keeps UDP flows in any case", service.mode.name());
        report.warning(udp.at, message, "remove udp, or give { responses: N }");
    }
}
