//! Backends that the file does not list, and who is asked for them.

use std::path::Path;

use super::super::{
    model::{BackendOrder, Discovery, Dns, Family, Mode, NameSource, Question},
    ranges,
    raw::{self, DnsKeys},
    report::Report,
};

pub(super) fn dns(keys: &DnsKeys, report: &mut Report) -> Dns {
    let servers = keys.servers.right().map(|list| &list.value[..]).unwrap_or_default();
    let min_refresh = keys.min_refresh.value_or(ranges::MIN_REFRESH.default);
    let max_refresh = keys.max_refresh.value_or(ranges::MAX_REFRESH.default.max(min_refresh));
    if let (true, Some(max)) = (max_refresh < min_refresh, keys.max_refresh.right()) {
        report.problem(max.at, "max_refresh is below min_refresh", "give a longer time");
    }
    Dns {
        servers: servers.iter().map(|server| server.value).collect(),
        min_refresh,
        max_refresh,
        timeout: keys.timeout.value_or(ranges::DNS_TIMEOUT.default),
    }
}

/// `directory` is where a relative path is looked for.
pub(super) fn discovery(typed: &raw::Service, mode: &Mode, directory: &Path) -> Discovery {
    let names = typed.names.iter().filter_map(|entry| source(entry, typed, mode)).collect();
    let file = typed.backends_file.right().map(|path| directory.join(&path.value));
    let mut discovery = Discovery { names, file, max_backends: 0 };
    if discovery.is_used() {
        discovery.max_backends = typed.max_backends.value_or(ranges::DEFAULT_MAX_BACKENDS);
    }
    discovery
}

fn source(entry: &raw::NameEntry, typed: &raw::Service, mode: &Mode) -> Option<NameSource> {
    let weight = entry.weight.value_or(ranges::DEFAULT_WEIGHT);
    let question = Question {
        kind: entry.kind,
        name: entry.asked.as_ref()?.value.clone(),
        family: entry.family.value_or(useful_family(typed, mode)),
    };
    Some(NameSource {
        name: entry.name.as_ref()?.value.clone(),
        question,
        weight: u16::try_from(weight).unwrap_or(u16::MAX),
        port: entry.port.right().map(|port| port.value),
        backup: entry.backup.value_or(false),
        state: entry.state.value_or(BackendOrder::Active),
        drain: entry.drain.right().map(|time| time.value),
    })
}

/// Mode dnat keeps the family of the VIPs.
fn useful_family(typed: &raw::Service, mode: &Mode) -> Family {
    match (mode, typed.vips.first()) {
        (Mode::Dnat(_), Some(vip)) if vip.value.is_ipv4() => Family::V4,
        (Mode::Dnat(_), Some(_)) => Family::V6,
        _ => Family::Both,
    }
}
