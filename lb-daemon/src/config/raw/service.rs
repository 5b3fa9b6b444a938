//! A service's keys, and those that `defaults` shares with it.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::{
    super::{
        model::{
            BackendOrder, DrainTime, InitialState, OnBackendDead, Passive, Prefix, Protocol,
            Scheduler, UdpFlows, Unserved,
        },
        problem::shown,
        ranges::{self, Time},
        report::Report,
        yaml::{At, Kind},
    },
    Given, Typed,
    discovery::{self, NameEntry},
    fields::Fields,
    health::{self, HealthKeys},
    life::{self, LifeKeys},
    nat::{self, SnatKeys},
    top, value,
};

/// Keys of a service that `defaults` does not have.
pub(super) const KEYS: [&str; 6] =
    ["name", "vip", "port", "backends", "backends_file", "max_backends"];
pub(super) const COMMON_KEYS: [&str; 18] = [
    "protocol",
    "mode",
    "scheduler",
    "table_size",
    "health",
    "passive",
    "initial_state",
    "idle",
    "half_open",
    "closing",
    "arming",
    "udp",
    "unserved",
    "on_backend_dead",
    "drain",
    "slow_start",
    "tunnel",
    "snat",
];
pub(super) const IDLE_KEYS: [&str; 2] = ["tcp", "udp"];
pub(super) const TUNNEL_KEYS: [&str; 3] = ["source", "source_prefix", "ttl"];
pub(super) const BACKEND_KEYS: [&str; 9] =
    ["name", "address", "dns", "srv", "family", "weight", "port", "state", "drain"];

pub(in super::super) struct Service<'t> {
    pub at: At<'t>,
    pub name: Option<Typed<'t, String>>,
    pub vips: Vec<Typed<'t, IpAddr>>,
    pub ports: Given<'t, TypedPorts<'t>>,
    pub common: Common<'t>,
    pub backends: Vec<Backend<'t>>,
    pub names: Vec<NameEntry<'t>>,
    pub backends_file: Given<'t, PathBuf>,
    pub max_backends: Given<'t, u32>,
}

#[derive(Clone)]
pub(in super::super) enum TypedPorts<'t> {
    Any,
    List(Vec<Typed<'t, u16>>),
}

/// Keys that stand in a service or in `defaults`.
#[derive(Default)]
pub(in super::super) struct Common<'t> {
    pub protocols: Given<'t, Vec<Typed<'t, Protocol>>>,
    pub mode: Given<'t, ModeName>,
    pub scheduler: Given<'t, Scheduler>,
    pub table_size: Given<'t, u32>,
    pub health: HealthKeys<'t>,
    pub passive: Given<'t, Passive>,
    pub initial_state: Given<'t, InitialState>,
    pub idle_tcp: Given<'t, Duration>,
    pub idle_udp: Given<'t, Duration>,
    pub half_open: Given<'t, Duration>,
    pub closing: Given<'t, Duration>,
    pub arming: Given<'t, Duration>,
    pub udp: Given<'t, UdpFlows>,
    pub unserved: Given<'t, Unserved>,
    pub on_backend_dead: Given<'t, OnBackendDead>,
    pub life: LifeKeys<'t>,
    pub tunnel: TunnelKeys<'t>,
    pub snat: SnatKeys<'t>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum ModeName {
    Dsr,
    Ipip,
    Nat,
    Dnat,
}

#[derive(Default)]
pub(in super::super) struct TunnelKeys<'t> {
    pub at: Option<At<'t>>,
    pub sources: Vec<Typed<'t, IpAddr>>,
    pub prefixes: Vec<Typed<'t, Prefix>>,
    pub ttl: Given<'t, u32>,
}

pub(in super::super) struct Backend<'t> {
    pub name: Option<Typed<'t, String>>,
    pub address: Option<Typed<'t, IpAddr>>,
    pub weight: Given<'t, u32>,
    pub port: Given<'t, u16>,
    pub state: Given<'t, BackendOrder>,
    pub drain: Given<'t, DrainTime>,
}

pub(super) fn read<'t>(at: At<'t>, report: &mut Report) -> Option<Service<'t>> {
    let known = [&KEYS[..], &COMMON_KEYS].concat();
    let fields = Fields::of(at, &known, report)?;
    let name = fields.require("name", "the service a name of its own", report);
    let vips = fields.require("vip", "the address that clients know, or a list of them", report);
    let ports = fields.require("port", "a port, a list of ports, or any", report);
    let backends_file = fields.read("backends_file", report, |at, report| {
        top::not_empty(at, "the path of a file", report).map(PathBuf::from)
    });
    let backends = match backends_file {
        Given::Absent => fields.require("backends", "a list of backends, or [] for none", report),
        _ => fields.get("backends"),
    };
    let (backends, names) = backends.map(|at| backend_entries(at, report)).unwrap_or_default();
    Some(Service {
        at,
        name: name.and_then(|at| typed(at, report, value::name)),
        vips: vips.map(|at| value::one_or_more(at, report, value::address)).unwrap_or_default(),
        ports: if ports.is_none() { Given::Wrong } else { fields.read("port", report, port_list) },
        common: common(&fields, report),
        backends,
        names,
        backends_file,
        max_backends: fields
            .read("max_backends", report, |at, r| value::number(at, &ranges::BACKENDS, r)),
    })
}

pub(super) fn common<'t>(fields: &Fields<'t>, report: &mut Report) -> Common<'t> {
    let protocols = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];
    let modes = [
        ("dsr", ModeName::Dsr),
        ("ipip", ModeName::Ipip),
        ("nat", ModeName::Nat),
        ("dnat", ModeName::Dnat),
    ];
    let passive = [("on", Passive::On), ("off", Passive::Off), ("advisory", Passive::Advisory)];
    let states = [("up", InitialState::Up), ("down", InitialState::Down)];
    let unserved = [
        ("reject", Unserved::Reject),
        ("drop", Unserved::Drop),
        ("pass", Unserved::Pass),
        ("auto", Unserved::Auto),
    ];
    let on_dead = [("reset", OnBackendDead::Reset), ("reselect", OnBackendDead::Reselect)];
    let idle = fields.get("idle").and_then(|at| Fields::of(at, &IDLE_KEYS, report));
    Common {
        protocols: fields.read("protocol", report, |at, report| {
            let list = value::one_or_more(at, report, |at, r| {
                value::word(at, "a protocol", &protocols, r)
            });
            (!list.is_empty()).then_some(list)
        }),
        mode: word(fields, "mode", "a mode", &modes, report),
        scheduler: word(
            fields,
            "scheduler",
            "a scheduler",
            &[("maglev", Scheduler::Maglev)],
            report,
        ),
        table_size: fields.read("table_size", report, table_size),
        health: fields.get("health").map(|at| health::health(at, report)).unwrap_or_default(),
        passive: word(fields, "passive", "a way to look at the traffic", &passive, report),
        initial_state: word(fields, "initial_state", "a state", &states, report),
        idle_tcp: idle
            .as_ref()
            .map(|idle| time(idle, "tcp", &ranges::IDLE_TCP, report))
            .unwrap_or_default(),
        idle_udp: idle
            .as_ref()
            .map(|idle| time(idle, "udp", &ranges::IDLE_UDP, report))
            .unwrap_or_default(),
        half_open: time(fields, "half_open", &ranges::HALF_OPEN, report),
        closing: time(fields, "closing", &ranges::CLOSING, report),
        arming: time(fields, "arming", &ranges::ARMING, report),
        udp: fields.read("udp", report, nat::udp_flows),
        unserved: word(fields, "unserved", "a treatment of unserved ports", &unserved, report),
        on_backend_dead: word(
            fields,
            "on_backend_dead",
            "a treatment of dead backends' flows",
            &on_dead,
            report,
        ),
        life: life::keys(fields, report),
        tunnel: fields.get("tunnel").map(|at| tunnel(at, report)).unwrap_or_default(),
        snat: fields.get("snat").map(|at| nat::snat(at, report)).unwrap_or_default(),
    }
}

fn tunnel<'t>(at: At<'t>, report: &mut Report) -> TunnelKeys<'t> {
    let Some(fields) = Fields::of(at, &TUNNEL_KEYS, report) else { return TunnelKeys::default() };
    let sources = fields.get("source").map(|at| value::one_or_more(at, report, value::address));
    let prefixes =
        fields.get("source_prefix").map(|at| value::one_or_more(at, report, value::prefix));
    TunnelKeys {
        at: Some(at),
        sources: sources.unwrap_or_default(),
        prefixes: prefixes.unwrap_or_default(),
        ttl: fields.read("ttl", report, |at, report| value::number(at, &ranges::TTL, report)),
    }
}

/// A list of backends: those with an address, and those to be looked up.
pub(in super::super) fn backend_entries<'t>(
    at: At<'t>,
    report: &mut Report,
) -> (Vec<Backend<'t>>, Vec<NameEntry<'t>>) {
    let (mut backends, mut names) = (Vec::new(), Vec::new());
    for at in value::list(at, "backends", report) {
        let Some(fields) = Fields::of(at, &BACKEND_KEYS, report) else { continue };
        match discovery::asked(&fields) {
            true => names.push(discovery::name_entry(at, &fields, report)),
            false => backends.extend(backend(&fields, report)),
        }
    }
    (backends, names)
}

fn backend<'t>(fields: &Fields<'t>, report: &mut Report) -> Option<Backend<'t>> {
    let name = fields.require("name", "the backend a name", report);
    let address = fields.require("address", "the backend's address", report);
    if let Some(at) = fields.get("family") {
        report.problem(at, "an address has its family", "remove family, or give dns");
    }
    Some(Backend {
        name: name.and_then(|at| typed(at, report, value::name)),
        address: address.and_then(|at| typed(at, report, value::address)),
        weight: fields
            .read("weight", report, |at, report| value::number(at, &ranges::WEIGHT, report)),
        port: fields.read("port", report, port),
        state: life::order(fields, report),
        drain: fields.read("drain", report, life::drain),
    })
}

fn port_list<'t>(at: At<'t>, report: &mut Report) -> Option<TypedPorts<'t>> {
    if let Kind::Scalar("any") = at.kind() {
        return Some(TypedPorts::Any);
    }
    let list = value::one_or_more(at, report, port);
    (!list.is_empty()).then_some(TypedPorts::List(list))
}

pub(super) fn port(at: At, report: &mut Report) -> Option<u16> {
    let number = value::number(at, &ranges::PORT, report)?;
    u16::try_from(number).ok()
}

fn table_size(at: At, report: &mut Report) -> Option<u32> {
    let size = value::number(at, &ranges::TABLE_SIZE, report)?;
    if is_prime(size) {
        return Some(size);
    }
    let below = (ranges::TABLE_SIZE.min..size).rev().find(|number| is_prime(*number));
    let above = (size..=ranges::TABLE_SIZE.max).find(|number| is_prime(*number));
    let primes: Vec<String> = [below, above].iter().flatten().map(u32::to_string).collect();
    let help = format!("give a prime: {}", primes.join(" or "));
    report.problem(at, format!("{} is not a prime", shown(&size.to_string())), help);
    None
}

fn is_prime(number: u32) -> bool {
    number > 1
        && (2..)
            .take_while(|divisor| divisor * divisor <= number)
            .all(|divisor| !number.is_multiple_of(divisor))
}

pub(super) fn word<'t, T: Copy>(
    fields: &Fields<'t>,
    key: &str,
    what: &str,
    words: &[(&str, T)],
    report: &mut Report,
) -> Given<'t, T> {
    fields.read(key, report, |at, report| value::word(at, what, words, report))
}

pub(super) fn time<'t>(
    fields: &Fields<'t>,
    key: &str,
    range: &Time,
    report: &mut Report,
) -> Given<'t, Duration> {
    fields.read(key, report, |at, report| value::time(at, range, report))
}

pub(super) fn typed<'t, T>(
    at: At<'t>,
    report: &mut Report,
    read: impl FnOnce(At<'t>, &mut Report) -> Option<T>,
) -> Option<Typed<'t, T>> {
    read(at, report).map(|value| Typed { value, at })
}
