//! The table of services, each with its backends below it.

use std::net::{IpAddr, SocketAddr};

use super::{
    View,
    style::Style,
    table::{Align, Cell, Column, lay_out},
    units::{age, duration, grouped, short, short_count},
};
use crate::api::types::{
    BackendState, BackendStats, Connections, LOCAL, Port, ServiceStats, SourceStats, Stats, Traffic,
};

const COLUMNS: [Column; 13] = [
    Column { title: "SERVICE", align: Align::Left, rank: 0 },
    Column { title: "ADDRESS", align: Align::Left, rank: 1 },
    Column { title: "STATE", align: Align::Left, rank: 0 },
    Column { title: "FOR", align: Align::Right, rank: 4 },
    Column { title: "PROBE", align: Align::Right, rank: 5 },
    Column { title: "WEIGHT", align: Align::Right, rank: 7 },
    Column { title: "SHARE", align: Align::Right, rank: 1 },
    Column { title: "CONN/S", align: Align::Right, rank: 2 },
    Column { title: "PKT/S", align: Align::Right, rank: 1 },
    Column { title: "BIT/S", align: Align::Right, rank: 1 },
    Column { title: "PACKETS", align: Align::Right, rank: 5 },
    Column { title: "BYTES", align: Align::Right, rank: 6 },
    Column { title: "NOTE", align: Align::Left, rank: 3 },
];

pub fn table(stats: &Stats, view: &View) -> String {
    if stats.services.is_empty() {
        return String::new();
    }
    let mut rows = Vec::new();
    for service in &stats.services {
        rows.push(service_row(service, stats.time));
        rows.extend(service.backends.iter().map(|backend| backend_row(backend, stats.time)));
    }
    lay_out(&COLUMNS, &rows, view)
}

fn service_row(service: &ServiceStats, now: u64) -> Vec<Cell> {
    let mut row = vec![
        Cell { text: service.name.clone(), style: Style::Title },
        frontend(service).into(),
        service_state(service),
        Cell::default(),
        Cell::default(),
        Cell::default(),
        Cell::default(),
    ];
    row.extend(traffic(&service.connections, &service.traffic));
    row.push(service_note(service, now).into());
    row
}

fn backend_row(backend: &BackendStats, now: u64) -> Vec<Cell> {
    let mut row = vec![
        format!("  {}", backend.name).into(),
        backend.address.as_str().into(),
        backend_state(backend.state),
        backend.since.map_or("-".into(), |since| age(now.saturating_sub(since))).into(),
        probe_time(backend).into(),
        backend.weight.to_string().into(),
        format!("{:.1}%", backend.share * 100.0).into(),
    ];
    row.extend(traffic(&backend.connections, &backend.traffic));
    row.push(backend_note(backend).into());
    row
}

fn probe_time(backend: &BackendStats) -> String {
    let smoothed = backend.probe.as_ref().and_then(|probe| probe.smoothed);
    smoothed.map_or("-".into(), duration)
}

fn traffic(connections: &Connections, traffic: &Traffic) -> [Cell; 5] {
    [
        short(connections.new_connections_per_second).into(),
        short(traffic.packets_per_second).into(),
        short(traffic.bytes_per_second * 8.0).into(),
        short_count(traffic.packets).into(),
        short_count(traffic.bytes).into(),
    ]
}

/// The first VIP, port and protocol, and how many more there are.
fn frontend(service: &ServiceStats) -> String {
    let all =
        service.vips.len().max(1) * service.ports.len().max(1) * service.protocols.len().max(1);
    let address = match (service.vip.parse::<IpAddr>(), service.port) {
        (Ok(vip), Port::Number(port)) => SocketAddr::new(vip, port).to_string(),
        _ => format!("{} port {}", service.vip, service.port),
    };
    let more = if all > 1 { format!(" +{}", all - 1) } else { String::new() };
    format!("{address}/{}{more}", service.protocol)
}

fn service_state(service: &ServiceStats) -> Cell {
    let total = service.backends.len();
    let up = service.backends.iter().filter(|b| b.state == BackendState::Up).count();
    let unknown = service.backends.iter().filter(|b| b.state == BackendState::Unknown).count();
    let style = match () {
        () if service.fail_open || total == 0 => Style::Bad,
        () if up == total => Style::Good,
        () if up + unknown == total => Style::Plain,
        () => Style::Doubtful,
    };
    Cell { text: format!("{up}/{total} up"), style }
}

fn backend_state(state: BackendState) -> Cell {
    let style = match state {
        BackendState::Unknown => Style::Faint,
        BackendState::Up => Style::Good,
        BackendState::Failing => Style::Doubtful,
        BackendState::Dead => Style::Bad,
        BackendState::Draining | BackendState::Drained => Style::Doubtful,
    };
    Cell { text: state.name().into(), style }
}

fn service_note(service: &ServiceStats, now: u64) -> String {
    let slots = &service.slots;
    let mut notes = Vec::new();
    if service.fail_open {
        notes.push("no backend is up: failing open to all".to_owned());
    }
    if slots.in_transition > 0 {
        notes.push(format!(
            "{} of {} slots in transition ({} arming, {} storing, {} looking up)",
            grouped(slots.in_transition.into()),
            grouped(slots.total.into()),
            slots.arming,
            slots.storing,
            slots.looking,
        ));
    }
    notes.push(format!("{} {}", service.mode, service.scheduler));
    notes.extend(service.sources.iter().map(|source| source_note(source, now)));
    notes.join(", ")
}

/// How many backends were found, and how old that is if it should be newer.
fn source_note(source: &SourceStats, now: u64) -> String {
    let SourceStats { kind, name, backends, .. } = source;
    let age = match (&source.problem, source.answered) {
        (None, _) => String::new(),
        (Some(_), Some(answered)) => format!(" as of {} ago", age(now.saturating_sub(answered))),
        (Some(_), None) => " (no answer yet)".to_owned(),
    };
    format!("{backends} from {kind} {name}{age}")
}

/// Why it is not up, and what its packets are waiting for.
fn backend_note(backend: &BackendStats) -> String {
    let mut notes = Vec::new();
    if backend.state != BackendState::Up && !backend.reason.is_empty() {
        notes.push(backend.reason.clone());
    }
    if backend.state == BackendState::Draining {
        let flows = backend.drain.as_ref().map_or(0, |drain| drain.flows);
        notes.push(format!("{} flows seen since", grouped(flows)));
    }
    let settled = matches!(backend.state, BackendState::Failing | BackendState::Dead);
    if let Some(problem) = backend.probe.as_ref().and_then(|probe| probe.problem.as_ref())
        && !settled
    {
        notes.push(format!("last probe: {problem}"));
    }
    if let Some(set) = &backend.weight_set {
        let by = set.decision.by.as_ref().map(ToString::to_string).unwrap_or_default();
        notes.push(format!("weight set by {by} (the file: {})", set.in_file));
    }
    if let Some(part) = backend.slow_start {
        notes.push(format!("starting slowly: {part} % of its weight"));
    }
    if backend.state == BackendState::Up && backend.passive.is_some_and(|one| one.on_trial) {
        notes.push(backend.reason.clone());
    }
    match &backend.next_hop {
        None => notes.push("next hop unknown".to_owned()),
        Some(hop) if hop.interface == LOCAL => notes.push("on this host".to_owned()),
        Some(_) => {}
    }
    if backend.flows > 0 && backend.flows_limit > 0 {
        let used = backend.flows as f64 / backend.flows_limit as f64 * 100.0;
        notes.push(format!("{} flows, {used:.0}% of its ports", grouped(backend.flows)));
    } else if backend.flows > 0 {
        notes.push(format!("{} flows", grouped(backend.flows)));
    }
    if backend.refused > 0 {
        notes.push(format!("{} new flows found no port", grouped(backend.refused)));
    }
    if backend.unresolved > 0 {
        notes.push(format!("{} packets dropped without next hop", grouped(backend.unresolved)));
    }
    notes.join(", ")
}
