//! One service.

use std::{path::Path, time::Duration};

use super::{
    super::{
        model::{
            Backend, BackendOrder, Discovery, DrainTime, Idle, InitialState, Mode, OnBackendDead,
            Origin, Passive, Ports, Protocol, Scheduler, Service, UdpFlows, Unserved,
        },
        ranges::{self, Time},
        raw::{self, Common, File, Given, ModeName, Typed, TypedPorts},
        report::Report,
    },
    discovery, health, nat, tunnel,
};

pub(super) fn resolve(
    typed: &raw::Service,
    file: &File,
    directory: &Path,
    report: &mut Report,
) -> Service {
    let (own, defaults) = (&typed.common, &file.defaults);
    let time = |own: &Given<Duration>, default: &Given<Duration>, range: &Time| {
        own.or(default).value_or(range.default)
    };
    let ports = ports(&typed.ports);
    let mode = mode(typed, file, report);
    let discovery = discovery::discovery(typed, &mode, directory);
    Service {
        name: typed.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        vips: typed.vips.iter().map(|vip| vip.value).collect(),
        protocols: protocols(own, defaults),
        scheduler: own.scheduler.or(&defaults.scheduler).value_or(Scheduler::Maglev),
        table_size: table_size(typed, defaults, &discovery, report),
        health: health::resolve(typed, file, &ports, report),
        ports,
        passive: own.passive.or(&defaults.passive).value_or(Passive::On),
        initial_state: own.initial_state.or(&defaults.initial_state).value_or(InitialState::Up),
        idle: Idle {
            tcp: time(&own.idle_tcp, &defaults.idle_tcp, &ranges::IDLE_TCP),
            udp: time(&own.idle_udp, &defaults.idle_udp, &ranges::IDLE_UDP),
        },
        half_open: time(&own.half_open, &defaults.half_open, &ranges::HALF_OPEN),
        closing: time(&own.closing, &defaults.closing, &ranges::CLOSING),
        arming: time(&own.arming, &defaults.arming, &ranges::ARMING),
        udp: udp(own, defaults, &mode),
        mode,
        unserved: own.unserved.or(&defaults.unserved).value_or(Unserved::Auto),
        on_backend_dead: own
            .on_backend_dead
            .or(&defaults.on_backend_dead)
            .value_or(OnBackendDead::Reset),
        drain: own
            .life
            .drain
            .or(&defaults.life.drain)
            .value_or(DrainTime::At(ranges::DRAIN.default)),
        slow_start: time(&own.life.slow_start, &defaults.life.slow_start, &ranges::SLOW_START),
        backends: typed.backends.iter().filter_map(backend).collect(),
        discovery,
    }
}

fn ports(typed: &Given<TypedPorts>) -> Ports {
    match typed.right().map(|ports| &ports.value) {
        Some(TypedPorts::Any) => Ports::Any,
        Some(TypedPorts::List(list)) => Ports::List(list.iter().map(|port| port.value).collect()),
        None => Ports::List(Vec::new()),
    }
}

fn protocols(own: &Common, defaults: &Common) -> Vec<Protocol> {
    match own.protocols.or(&defaults.protocols).right() {
        Some(list) => list.value.iter().map(|protocol| protocol.value).collect(),
        None => vec![Protocol::Tcp],
    }
}

fn mode(typed: &raw::Service, file: &File, report: &mut Report) -> Mode {
    let (own, defaults) = (&typed.common, &file.defaults);
    let name = match own.mode.or(&defaults.mode) {
        Given::Right(name) => name.value,
        Given::Wrong => return Mode::Dsr,
        Given::Absent => {
            let help = "give nat (any backend, unchanged), dnat (the client's address is kept), dsr \
                        (backends in the balancer's own L2 network) or ipip (through a tunnel), \
                        here or in defaults";
            report.problem(typed.at, "mode is missing", help);
            return Mode::Dsr;
        }
    };
    let snat = || nat::snat(&own.snat, file);
    let mode = match name {
        ModeName::Nat => Mode::Nat(snat()),
        ModeName::Dnat => Mode::Dnat(snat()),
        ModeName::Dsr => Mode::Dsr,
        ModeName::Ipip => Mode::Ipip(tunnel::resolve(&own.tunnel, &defaults.tunnel, report)),
    };
    foreign_keys(typed, &mode, report);
    mode
}

/// What the service says and its mode does not have.
fn foreign_keys(typed: &raw::Service, mode: &Mode, report: &mut Report) {
    let (own, name) = (&typed.common, mode.name());
    if let (false, Some(at)) = (matches!(mode, Mode::Ipip(_)), own.tunnel.at) {
        let message = format!("mode {name} has no tunnel");
        report.problem(at, message, "remove tunnel, or set mode: ipip");
    }
    if mode.snat().is_some() {
        return;
    }
    if let Some(at) = own.snat.at {
        let message = format!("mode {name} translates no addresses");
        report.problem(at, message, "remove snat, or set mode: nat");
    }
    if let Some(Typed { value: UdpFlows::Responses(_), at }) = own.udp.right() {
        let message = format!("in mode {name} the balancer sees no replies to count");
        report.problem(*at, message, "give fast or keep, or set mode: nat");
    }
    for at in typed.backends.iter().filter_map(|backend| backend.port.right()).map(|port| port.at) {
        let message = format!("mode {name} does not change ports");
        report.problem(at, message, "remove port: the backend listens on the service's own port");
    }
}

/// Where replies are not seen, what `defaults` says of their number is for
/// other services.
fn udp(own: &Common, defaults: &Common, mode: &Mode) -> UdpFlows {
    match own.udp.or(&defaults.udp).value_or(UdpFlows::Fast) {
        UdpFlows::Responses(_) if mode.snat().is_none() => UdpFlows::Fast,
        udp => udp,
    }
}

/// What may be found counts as found: the size must not hang on answers.
fn table_size(
    typed: &raw::Service,
    defaults: &Common,
    discovery: &Discovery,
    report: &mut Report,
) -> u32 {
    let backends = typed.backends.len().max(discovery.max_backends as usize);
    let Some(size) = typed.common.table_size.or(&defaults.table_size).right() else {
        return ranges::default_table_size(backends);
    };
    if backends > size.value as usize {
        let message = format!("{} slots are fewer than the {backends} backends", size.value);
        report.problem(
            typed.common.table_size.right().map_or(typed.at, |own| own.at),
            message,
            "give a larger prime, or leave table_size out",
        );
    }
    size.value
}

pub(in super::super) fn backend(typed: &raw::Backend) -> Option<Backend> {
    let weight = typed.weight.value_or(ranges::DEFAULT_WEIGHT);
    Some(Backend {
        name: typed.name.as_ref()?.value.clone(),
        address: typed.address.as_ref()?.value,
        weight: u16::try_from(weight).unwrap_or(u16::MAX),
        port: typed.port.right().map(|port| port.value),
        state: typed.state.value_or(BackendOrder::Active),
        drain: typed.drain.right().map(|time| time.value),
        origin: Origin::Listed,
    })
}
