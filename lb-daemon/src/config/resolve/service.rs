//! One service.

use std::time::Duration;

use super::{
    super::{
        model::{
            Backend, Idle, InitialState, Mode, OnBackendDead, Ports, Protocol, Scheduler, Service,
            UdpFlows, Unserved,
        },
        ranges::{self, Time},
        raw::{self, Common, Given, ModeName, TypedPorts},
        report::Report,
    },
    health, tunnel,
};

pub(super) fn resolve(typed: &raw::Service, defaults: &Common, report: &mut Report) -> Service {
    let own = &typed.common;
    let time = |own: &Given<Duration>, default: &Given<Duration>, range: &Time| {
        own.or(default).value_or(range.default)
    };
    let ports = ports(&typed.ports);
    Service {
        name: typed.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        vips: typed.vips.iter().map(|vip| vip.value).collect(),
        protocols: protocols(own, defaults),
        mode: mode(typed, defaults, report),
        scheduler: own.scheduler.or(&defaults.scheduler).value_or(Scheduler::Maglev),
        table_size: table_size(typed, defaults, report),
        health: health::resolve(typed, &defaults.health, &ports, report),
        ports,
        initial_state: own.initial_state.or(&defaults.initial_state).value_or(InitialState::Up),
        idle: Idle {
            tcp: time(&own.idle_tcp, &defaults.idle_tcp, &ranges::IDLE_TCP),
            udp: time(&own.idle_udp, &defaults.idle_udp, &ranges::IDLE_UDP),
        },
        half_open: time(&own.half_open, &defaults.half_open, &ranges::HALF_OPEN),
        closing: time(&own.closing, &defaults.closing, &ranges::CLOSING),
        arming: time(&own.arming, &defaults.arming, &ranges::ARMING),
        udp: own.udp.or(&defaults.udp).value_or(UdpFlows::Fast),
        unserved: own.unserved.or(&defaults.unserved).value_or(Unserved::Auto),
        on_backend_dead: own
            .on_backend_dead
            .or(&defaults.on_backend_dead)
            .value_or(OnBackendDead::Reset),
        backends: typed.backends.iter().filter_map(backend).collect(),
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

fn mode(typed: &raw::Service, defaults: &Common, report: &mut Report) -> Mode {
    let own = &typed.common;
    let name = match own.mode.or(&defaults.mode) {
        Given::Right(name) => name.value,
        Given::Wrong => return Mode::Dsr,
        Given::Absent => {
            let help = "give dsr (backends in the balancer's own L2 network) or ipip (through a tunnel), \
                        here or in defaults";
            report.problem(typed.at, "mode is missing", help);
            return Mode::Dsr;
        }
    };
    let mode = match name {
        ModeName::Dsr => Mode::Dsr,
        ModeName::Ipip => Mode::Ipip(tunnel::resolve(&own.tunnel, &defaults.tunnel, report)),
    };
    if let (Mode::Dsr, Some(at)) = (&mode, own.tunnel.at) {
        report.problem(at, "mode dsr has no tunnel", "remove tunnel, or set mode: ipip");
    }
    for at in typed.backends.iter().filter_map(|backend| backend.port) {
        let message = format!("mode {} does not change ports", mode.name());
        report.problem(at, message, "remove port: the backend listens on the service's own port");
    }
    mode
}

fn table_size(typed: &raw::Service, defaults: &Common, report: &mut Report) -> u32 {
    let backends = typed.backends.len();
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

fn backend(typed: &raw::Backend) -> Option<Backend> {
    let weight = typed.weight.value_or(ranges::DEFAULT_WEIGHT);
    Some(Backend {
        name: typed.name.as_ref()?.value.clone(),
        address: typed.address.as_ref()?.value,
        weight: u16::try_from(weight).unwrap_or(u16::MAX),
    })
}
