//! Keys of address translation.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::{
    super::{
        model::{NatLog, PortRange, UdpFlows},
        problem::shown,
        ranges,
        report::Report,
        yaml::{At, Kind},
    },
    Given, Typed,
    fields::Fields,
    value,
};

pub(super) const SNAT_KEYS: [&str; 3] = ["addresses", "ports", "rest"];
pub(super) const UDP_KEYS: [&str; 1] = ["responses"];
pub(super) const LOG_KEYS: [&str; 2] = ["path", "rate"];

#[derive(Default)]
pub(in super::super) struct SnatKeys<'t> {
    pub at: Option<At<'t>>,
    pub addresses: Given<'t, Vec<Typed<'t, IpAddr>>>,
    pub ports: Given<'t, PortRange>,
    pub rest: Given<'t, Duration>,
}

pub(super) fn snat<'t>(at: At<'t>, report: &mut Report) -> SnatKeys<'t> {
    let Some(fields) = Fields::of(at, &SNAT_KEYS, report) else { return SnatKeys::default() };
    SnatKeys {
        at: Some(at),
        addresses: fields.read("addresses", report, addresses),
        ports: fields.read("ports", report, ports),
        rest: fields.read("rest", report, |at, report| value::time(at, &ranges::REST, report)),
    }
}

/// `None` when one of them is wrong: a pool without it would lack its family.
fn addresses<'t>(at: At<'t>, report: &mut Report) -> Option<Vec<Typed<'t, IpAddr>>> {
    let mut all_right = true;
    let list = value::one_or_more(at, report, |at, report| {
        let address =
            value::address(at, report).filter(|address| is_routable(at, *address, report));
        all_right &= address.is_some();
        address
    });
    (all_right && !list.is_empty()).then_some(list)
}

/// Backends answer a link-local address on their own link, if at all.
fn is_routable(at: At, address: IpAddr, report: &mut Report) -> bool {
    let link_local = matches!(address, IpAddr::V4(v4) if v4.is_link_local());
    if link_local {
        let help = "give an address that the backends have a route to";
        report.problem(at, format!("{address} is a link-local address"), help);
    }
    !link_local
}

fn ports(at: At, report: &mut Report) -> Option<PortRange> {
    let ranges::Number { min, max, .. } = ranges::SNAT_PORT;
    let expected = format!(
        "FIRST-LAST, both from {min} to {max}, at least {} ports, such as {}",
        ranges::FEWEST_PORTS,
        ranges::DEFAULT_PORTS
    );
    let text = value::text(at, &expected, report)?;
    let range = text.split_once('-').and_then(|(first, last)| {
        Some(PortRange { first: port(first.trim())?, last: port(last.trim())? })
    });
    let Some(range) = range.filter(|range| range.first <= range.last) else {
        report.problem(
            at,
            format!("{} is not a range of ports", shown(text)),
            format!("give {expected}"),
        );
        return None;
    };
    if range.count() < ranges::FEWEST_PORTS {
        report.problem(
            at,
            format!("{range} has only {} ports", range.count()),
            format!("give {expected}"),
        );
        return None;
    }
    Some(range)
}

fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    let port: u16 = if digits { text.parse().ok()? } else { return None };
    (ranges::SNAT_PORT.min..=ranges::SNAT_PORT.max).contains(&u32::from(port)).then_some(port)
}

/// A word, or a map for what only translation can count.
pub(super) fn udp_flows(at: At, report: &mut Report) -> Option<UdpFlows> {
    if matches!(at.kind(), Kind::Map) {
        let fields = Fields::of(at, &UDP_KEYS, report)?;
        let responses = fields.require("responses", "the number of replies", report)?;
        let number = value::number(responses, &ranges::RESPONSES, report)?;
        return u16::try_from(number).ok().map(UdpFlows::Responses);
    }
    let words = [("fast", UdpFlows::Fast), ("keep", UdpFlows::Keep)];
    value::word(at, "a treatment of UDP flows", &words, report)
}

pub(super) fn log(at: At, report: &mut Report) -> Option<NatLog> {
    let fields = Fields::of(at, &LOG_KEYS, report)?;
    let rate =
        fields.read("rate", report, |at, report| value::number(at, &ranges::NAT_LOG_RATE, report));
    let path = log_path(fields.require("path", "the file to write to", report)?, report)?;
    Some(NatLog { path, rate: rate.value_or(ranges::DEFAULT_NAT_LOG_RATE) })
}

/// Absolute: the daemon's directory is nobody's business.
fn log_path(at: At, report: &mut Report) -> Option<PathBuf> {
    const EXPECTED: &str = "the absolute path of a file, such as /var/log/lb-daemon/nat.jsonl";
    let text = value::text(at, EXPECTED, report)?;
    let path = PathBuf::from(text);
    if !path.is_absolute() || text.ends_with('/') {
        report.problem(
            at,
            format!("{} is not the path of a log", shown(text)),
            format!("give {EXPECTED}"),
        );
        return None;
    }
    Some(path)
}
