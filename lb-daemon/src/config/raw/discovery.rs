//! Backends to be looked up, and who is asked.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::{
    super::{
        model::{BackendOrder, DrainTime, Family, QuestionKind},
        problem::shown,
        ranges,
        report::Report,
        yaml::At,
    },
    Given, Typed,
    fields::Fields,
    life, policy, service, value,
};

pub(super) const KEYS: [&str; 4] = ["servers", "min_refresh", "max_refresh", "timeout"];
const PORT: u16 = 53;

#[derive(Default)]
pub(in super::super) struct DnsKeys<'t> {
    pub servers: Given<'t, Vec<Typed<'t, SocketAddr>>>,
    pub min_refresh: Given<'t, Duration>,
    pub max_refresh: Given<'t, Duration>,
    pub timeout: Given<'t, Duration>,
}

/// An entry of `backends` with `dns` or `srv`.
pub(in super::super) struct NameEntry<'t> {
    pub at: At<'t>,
    pub name: Option<Typed<'t, String>>,
    pub kind: QuestionKind,
    pub asked: Option<Typed<'t, String>>,
    pub family: Given<'t, Family>,
    pub weight: Given<'t, u32>,
    pub port: Given<'t, u16>,
    pub backup: Given<'t, bool>,
    pub state: Given<'t, BackendOrder>,
    pub drain: Given<'t, DrainTime>,
}

pub(super) fn dns<'t>(at: At<'t>, report: &mut Report) -> DnsKeys<'t> {
    let Some(fields) = Fields::of(at, &KEYS, report) else { return DnsKeys::default() };
    DnsKeys {
        servers: fields.read("servers", report, |at, report| {
            let list = value::one_or_more(at, report, server);
            (!list.is_empty()).then_some(list)
        }),
        min_refresh: fields
            .read("min_refresh", report, |at, r| value::time(at, &ranges::MIN_REFRESH, r)),
        max_refresh: fields
            .read("max_refresh", report, |at, r| value::time(at, &ranges::MAX_REFRESH, r)),
        timeout: fields.read("timeout", report, |at, r| value::time(at, &ranges::DNS_TIMEOUT, r)),
    }
}

/// Unlike a backend it may be this host itself.
fn server(at: At, report: &mut Report) -> Option<SocketAddr> {
    const EXPECTED: &str = "an address, or address:port, such as 192.0.2.53 or [2001:db8::53]:5353";
    let text = value::text(at, EXPECTED, report)?;
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    match address.or_else(|_| text.parse()) {
        Ok(server) => Some(server),
        Err(_) => {
            let message = format!("{} is not a server's address", shown(text));
            report.problem(at, message, format!("give {EXPECTED}"));
            None
        }
    }
}

/// Whether an entry is to be looked up.
pub(super) fn asked(fields: &Fields) -> bool {
    fields.get("dns").is_some() || fields.get("srv").is_some()
}

pub(super) fn name_entry<'t>(
    at: At<'t>,
    fields: &Fields<'t>,
    report: &mut Report,
) -> NameEntry<'t> {
    let name = fields.require("name", "the backends a name to begin theirs with", report);
    let keys = [QuestionKind::Dns, QuestionKind::Srv].map(|kind| (kind, fields.get(kind.key())));
    let (kind, asked) = match keys {
        [(_, None), service] => service,
        [host, _] => host,
    };
    let second = [fields.get("address"), keys[1].1.filter(|_| kind == QuestionKind::Dns)];
    for second in second.into_iter().flatten() {
        let message = format!("{} is given as well", kind.key());
        report.problem(second, message, "give one of address, dns and srv");
    }
    let families = [("v4", Family::V4), ("v6", Family::V6), ("both", Family::Both)];
    let entry = NameEntry {
        at,
        name: name.and_then(|at| service::typed(at, report, value::name)),
        kind,
        asked: asked.and_then(|at| service::typed(at, report, host_name)),
        family: fields.read("family", report, |at, report| {
            value::word(at, "an address family", &families, report)
        }),
        weight: fields
            .read("weight", report, |at, report| value::number(at, &ranges::WEIGHT, report)),
        port: fields.read("port", report, service::port),
        backup: policy::backup(fields, report),
        state: life::order(fields, report),
        drain: fields.read("drain", report, life::drain),
    };
    if kind == QuestionKind::Srv {
        for key in ["weight", "port"].into_iter().filter_map(|key| fields.get(key)) {
            report.problem(key, "SRV records say this themselves", "remove it");
        }
    }
    entry
}

/// A name that can be asked for, without the dot at its end.
fn host_name(at: At, report: &mut Report) -> Option<String> {
    const EXPECTED: &str = "a DNS name, such as web.internal.example";
    let text = value::text(at, EXPECTED, report)?;
    if text.parse::<IpAddr>().is_ok() {
        report.problem(at, format!("{text} is an address"), format!("write address: {text}"));
        return None;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if name.len() > 253 || !name.split('.').all(fits) {
        report.problem(
            at,
            format!("{} is not a DNS name", shown(text)),
            format!("give {EXPECTED}"),
        );
        return None;
    }
    Some(name.to_ascii_lowercase())
}
