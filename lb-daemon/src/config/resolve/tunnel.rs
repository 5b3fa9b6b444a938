//! The outer headers of a service's tunnel.

use std::net::IpAddr;

use super::super::{
    model::{OuterSource, Tunnel},
    ranges,
    raw::{TunnelKeys, Typed},
    report::Report,
};

pub(super) fn resolve(own: &TunnelKeys, defaults: &TunnelKeys, report: &mut Report) -> Tunnel {
    let mut toward = |is_family: fn(&IpAddr) -> bool| {
        source(own, is_family, report)
            .or_else(|| source(defaults, is_family, report))
            .unwrap_or(OuterSource::Route)
    };
    let ttl = own.ttl.or(&defaults.ttl).value_or(ranges::DEFAULT_TTL);
    Tunnel {
        v4: toward(IpAddr::is_ipv4),
        v6: toward(IpAddr::is_ipv6),
        ttl: u8::try_from(ttl).unwrap_or(u8::MAX),
    }
}

/// The one source that `keys` give for a family.
fn source(
    keys: &TunnelKeys,
    is_family: fn(&IpAddr) -> bool,
    report: &mut Report,
) -> Option<OuterSource> {
    let fixed = keys
        .sources
        .iter()
        .filter(|source| is_family(&source.value))
        .map(|source| Typed { value: OuterSource::Fixed(source.value), at: source.at });
    let prefixes = keys
        .prefixes
        .iter()
        .filter(|prefix| is_family(&prefix.value.address))
        .map(|prefix| Typed { value: OuterSource::Prefix(prefix.value), at: prefix.at });
    let mut all = fixed.chain(prefixes);
    let first = all.next()?;
    for second in all {
        let message = "a second source for the same address family";
        report.problem(
            second.at,
            message,
            "give one source or source_prefix for IPv4 and one for IPv6",
        );
    }
    Some(first.value)
}
