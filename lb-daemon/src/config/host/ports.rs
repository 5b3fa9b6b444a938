//! The ports of pools against those of the host's own connections.
//!
//! Probes go from the host to the same backends and ports as translated flows:
//! with the same source address and port, a reply would belong to both.

use super::{
    super::{
        model::PortRange,
        ranges::{DEFAULT_PORTS, FEWEST_PORTS, SNAT_PORT},
    },
    facts::HostFacts,
};

/// The first port of `ports` that the host gives its own connections.
pub(super) fn shared(ports: PortRange, facts: &HostFacts) -> Option<u16> {
    let range = facts.ephemeral?;
    let last = ports.last.min(range.last);
    let mut port = ports.first.max(range.first);
    while port <= last {
        let Some(reserved) = facts.reserved.iter().find(|range| range.contains(port)) else {
            return Some(port);
        };
        port = reserved.last.checked_add(1)?;
    }
    None
}

fn gives(port: u16, facts: &HostFacts) -> bool {
    facts.ephemeral.is_some_and(|range| range.contains(port))
        && !facts.reserved.iter().any(|range| range.contains(port))
}

/// A range without any of them: the default one, else the largest.
pub(super) fn free(facts: &HostFacts) -> Option<PortRange> {
    if shared(DEFAULT_PORTS, facts).is_none() {
        return Some(DEFAULT_PORTS);
    }
    let mut largest: Option<PortRange> = None;
    let mut run: Option<PortRange> = None;
    let [min, max] = [SNAT_PORT.min, SNAT_PORT.max].map(|port| port as u16);
    for port in min..=max {
        run = if gives(port, facts) {
            None
        } else {
            Some(PortRange { first: run.map_or(port, |run| run.first), last: port })
        };
        if run.map(PortRange::count) > largest.map(PortRange::count) {
            largest = run;
        }
    }
    largest.filter(|range| range.count() >= FEWEST_PORTS)
}

/// The command that makes `ports` nobody else's.
pub(super) fn reserve(ports: PortRange, facts: &HostFacts) -> String {
    let all = facts.reserved.iter().copied().chain([ports]);
    let list: Vec<String> = all.map(one_or_range).collect();
    format!("sysctl -w net.ipv4.ip_local_reserved_ports={}", list.join(","))
}

fn one_or_range(range: PortRange) -> String {
    if range.first == range.last { range.first.to_string() } else { range.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn range(first: u16, last: u16) -> PortRange {
        PortRange { first, last }
    }

    fn facts(ephemeral: PortRange, reserved: &[PortRange]) -> HostFacts {
        let reserved = reserved.to_vec();
        HostFacts { ephemeral: Some(ephemeral), reserved, ..HostFacts::default() }
    }

    #[test]
    fn reserved_ports_are_nobodys() {
        let host = facts(range(32_768, 60_999), &[range(40_000, 49_999)]);
        assert_eq!(shared(range(40_000, 49_999), &host), None);
        assert_eq!(shared(range(39_990, 49_999), &host), Some(39_990));
        assert_eq!(shared(range(40_000, 50_000), &host), Some(50_000));
        assert_eq!(shared(DEFAULT_PORTS, &host), None);
    }

    #[test]
    fn a_range_that_fits_is_found_if_there_is_one() {
        assert_eq!(free(&facts(range(32_768, 60_999), &[])), Some(DEFAULT_PORTS));
        assert_eq!(free(&facts(range(15_000, 65_000), &[])), Some(range(1024, 14_999)));
        assert_eq!(free(&facts(range(2000, 20_000), &[])), Some(range(20_001, 65_535)));
        assert_eq!(free(&facts(range(1024, 65_535), &[])), None);
        let reserved = facts(range(1024, 65_535), &[range(50_000, 51_000)]);
        assert_eq!(free(&reserved), Some(range(50_000, 51_000)));
    }

    #[test]
    fn what_is_reserved_stays_reserved() {
        let host = facts(range(32_768, 60_999), &[range(8080, 8080), range(9000, 9010)]);
        assert_eq!(
            reserve(range(40_000, 49_999), &host),
            "sysctl -w net.ipv4.ip_local_reserved_ports=8080,9000-9010,40000-49999"
        );
    }
}
