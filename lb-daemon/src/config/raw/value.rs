//! Single values: each reader takes a place in the file and either returns
//! what stands there or reports why it cannot.

use std::{net::IpAddr, time::Duration};

use super::{
    super::{
        duration,
        model::Prefix,
        problem::shown,
        ranges::{Number, Time},
        report::Report,
        yaml::{At, Kind},
    },
    Typed,
};

/// The text at `at`. `expected` completes "give …".
pub(super) fn text<'t>(at: At<'t>, expected: &str, report: &mut Report) -> Option<&'t str> {
    let found = match at.kind() {
        Kind::Scalar(text) => return Some(text),
        Kind::Null => "there is no value",
        Kind::List => "this is a list",
        Kind::Map => "this is a map",
    };
    report.problem(at, found, format!("give {expected}"));
    None
}

pub(super) fn number(at: At, range: &Number, report: &mut Report) -> Option<u32> {
    let expected = format!("a whole number from {} to {}", range.min, range.max);
    let text = text(at, &expected, report)?;
    let digits =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    let number = if digits { text.parse().ok() } else { None };
    let number = number.filter(|number| (range.min..=range.max).contains(number));
    if number.is_none() {
        report.problem(
            at,
            format!("{} is not {}", shown(text), range.what),
            format!("give {expected}"),
        );
    }
    number
}

pub(super) fn time(at: At, range: &Time, report: &mut Report) -> Option<Duration> {
    let expected = format!("{} to {}", duration::write(range.min), duration::write(range.max));
    let text = text(at, &expected, report)?;
    let Some(time) = duration::read(text) else {
        let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (what, help) = if number {
            ("has no unit".to_owned(), format!("write {}s; units are ms, s, m and h", shown(text)))
        } else {
            (
                format!("is not {}", range.what),
                format!("give a whole number and ms, s, m or h: {expected}"),
            )
        };
        report.problem(at, format!("{} {what}", shown(text)), help);
        return None;
    };
    let wrong = if time < range.min {
        "short"
    } else if time > range.max {
        "long"
    } else {
        return Some(time);
    };
    report.problem(
        at,
        format!("{} is too {wrong} for {}", shown(text), range.what),
        format!("give {expected}"),
    );
    None
}

/// One of a few words.
pub(super) fn word<T: Copy>(
    at: At,
    what: &str,
    words: &[(&str, T)],
    report: &mut Report,
) -> Option<T> {
    let expected = either(words.iter().map(|(word, _)| *word));
    let text = text(at, &expected, report)?;
    let found = words.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        report.problem(at, format!("{} is not {what}", shown(text)), format!("give {expected}"));
    }
    found.map(|(_, value)| *value)
}

/// "a, b or c".
pub(super) fn either<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let words: Vec<&str> = words.collect();
    match words.split_last() {
        Some((last, [])) => last.to_string(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A name that fits metrics, paths and log lines.
pub(super) fn name(at: At, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "1 to 63 of A-Z a-z 0-9 . _ -";
    let text = text(at, EXPECTED, report)?;
    let fits = (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if !fits {
        report.problem(at, format!("{} is not a name", shown(text)), format!("give {EXPECTED}"));
        return None;
    }
    Some(text.to_owned())
}

/// An address that a host can have and that packets can be sent to.
pub(super) fn address(at: At, report: &mut Report) -> Option<IpAddr> {
    const EXPECTED: &str = "an IPv4 or IPv6 address, such as 192.0.2.11 or 2001:db8::11";
    let text = text(at, EXPECTED, report)?;
    let Ok(address) = text.parse::<IpAddr>() else {
        let help = match lone_address(text) {
            Some(alone) => format!("give the address alone: {alone}"),
            None => format!("give {EXPECTED}"),
        };
        report.problem(at, format!("{} is not an IP address", shown(text)), help);
        return None;
    };
    if let Some((kind, help)) = unusable(address) {
        report.problem(at, format!("{address} is {kind}"), help);
        return None;
    }
    Some(address)
}

/// The address in `text` when a port or a prefix length stands beside it.
fn lone_address(text: &str) -> Option<IpAddr> {
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(socket.ip());
    }
    let address = text.split(['/', '%']).next()?;
    address.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Why `address` is of no use as a VIP, backend or tunnel source.
pub(in super::super) fn unusable(address: IpAddr) -> Option<(&'static str, String)> {
    const OTHER: &str = "give an address of one host";
    let kind = match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let v4 = address.to_canonical();
            return Some(("an IPv4 address in IPv6 form", format!("write {v4}")));
        }
        _ if address.is_unspecified() => "the unspecified address",
        _ if address.is_loopback() => "a loopback address",
        _ if address.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        IpAddr::V4(v4) if v4.octets()[0] == 0 => "in 0.0.0.0/8, which no host has",
        IpAddr::V6(v6) if v6.is_unicast_link_local() => {
            "a link-local address, which says nothing without a link"
        }
        _ => return None,
    };
    Some((kind, OTHER.to_owned()))
}

/// A prefix whose host bits a flow's hash can fill.
pub(super) fn prefix(at: At, report: &mut Report) -> Option<Prefix> {
    const EXPECTED: &str = "a prefix, such as 198.18.0.0/16 or 2001:db8:ffff::/96";
    let text = text(at, EXPECTED, report)?;
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        Some(Prefix { address, length })
    });
    let Some(prefix) = parsed else {
        report.problem(at, format!("{} is not a prefix", shown(text)), format!("give {EXPECTED}"));
        return None;
    };
    let (shortest, longest) = if prefix.address.is_ipv4() { (8, 31) } else { (32, 127) };
    if !(shortest..=longest).contains(&prefix.length) {
        let message = format!("/{} is not a length for a source prefix", prefix.length);
        report.problem(at, message, format!("give /{shortest} to /{longest}"));
        return None;
    }
    if let Some((kind, help)) = unusable(prefix.address) {
        report.problem(at, format!("{prefix} is {kind}"), help);
        return None;
    }
    let first = first_address(prefix);
    if first != prefix {
        report.problem(
            at,
            format!("{prefix} has bits set behind its length"),
            format!("write {first}"),
        );
        return None;
    }
    Some(prefix)
}

fn first_address(prefix: Prefix) -> Prefix {
    let address = match prefix.address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & (u32::MAX << (32 - prefix.length))).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << (128 - prefix.length))).into()),
    };
    Prefix { address, ..prefix }
}

/// One value or a list of them, each read by `read`.
pub(super) fn one_or_more<'t, T>(
    at: At<'t>,
    report: &mut Report,
    mut read: impl FnMut(At<'t>, &mut Report) -> Option<T>,
) -> Vec<Typed<'t, T>> {
    let places: Vec<At<'t>> = match at.kind() {
        Kind::List => at.items().collect(),
        _ => vec![at],
    };
    if places.is_empty() {
        report.problem(at, "the list is empty", "give at least one value");
    }
    places.into_iter().filter_map(|at| read(at, report).map(|value| Typed { value, at })).collect()
}

/// The items of a list of maps; nothing at all is an empty list.
pub(super) fn list<'t>(at: At<'t>, what: &str, report: &mut Report) -> Vec<At<'t>> {
    if let Kind::Scalar(_) | Kind::Map = at.kind() {
        report.problem(
            at,
            format!("{what} is not a list"),
            "begin each item with \"- \", or give []",
        );
    }
    at.items().collect()
}
