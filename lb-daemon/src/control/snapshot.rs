//! The statistics object, from what the controller knows and what the maps count.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use lb_common::abi::BackendCounters;

use super::{
    ControlError, Controller, Rate, Rates, Status, counters::add, translation, view::target,
};
use crate::{
    api::types::{
        BackendStats, ConfigStats, Connections, FlowStats, InterfaceStats, LOCAL, NatLogStats,
        NatStats, NextHopStats, Port, ProbeStats, ServiceStats, SlotStats, Stats, Totals, Traffic,
        WeightStats,
    },
    config::{Backend, Ports, Service},
    dataplane::DataPlane,
    health::{Probed, Target},
    loader::MapSizes,
    netlink::NextHop,
    slots::SlotMemory,
    state::{FormerTraffic, ServiceIdentity},
};

/// What the controller does not know itself.
#[derive(Debug)]
pub struct Surroundings<'a> {
    pub instance: String,
    pub uptime: u64,
    pub config: ConfigStats,
    pub interfaces: Vec<InterfaceStats>,
    pub rates: &'a Rates<u16>,
    pub local_clients: bool,
    pub probed: HashMap<Arc<Target>, Probed>,
    pub warnings: Vec<String>,
    pub nat_log: Option<NatLogStats>,
}

/// What the maps say of a backend.
struct Found {
    id: Option<u16>,
    counters: BackendCounters,
    rate: Rate,
    /// Its own, out of `size`.
    slots: Option<u32>,
    /// Translated flows.
    flows: u64,
    size: u32,
    probe: Option<ProbeStats>,
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    pub fn stats(&mut self, around: Surroundings<'_>) -> Result<Stats, ControlError> {
        self.count_shares();
        let totals = self.plane.totals()?;
        let dropped = totals.dropped.iter().sum();
        let services = self.config.services.iter();
        let services: Result<Vec<_>, ControlError> = services
            .map(|service| self.service_stats(service, around.rates, &around.probed))
            .collect();
        let mut warnings = around.warnings;
        warnings.extend(self.warnings());
        Ok(Stats {
            instance: around.instance,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            time: seconds(SystemTime::now()),
            uptime: around.uptime,
            config: around.config,
            interfaces: around.interfaces,
            services: services?,
            totals: Totals::new(totals.received, totals.forwarded, totals.passed, dropped),
            drops: Stats::drops_from(&totals.dropped),
            answers: Stats::answers_from(&totals.answers),
            flows: FlowStats {
                entries: self.flow_entries,
                capacity: self.plane.flow_capacity().into(),
                looked_up: totals.looked_up,
                stored: totals.stored,
                store_failed: totals.store_failed,
            },
            local_clients: around.local_clients,
            nat: self.nat_stats(around.nat_log),
            pending: self.pending(),
            warnings,
        })
    }

    /// Millions of slots where there are many services: counts only those that
    /// may have changed.
    fn count_shares(&mut self) {
        for (name, live) in &mut self.services {
            let Some(known) = self.identity.services.get(name) else { continue };
            if live.shares_hold {
                continue;
            }
            let counts = self.engine.in_transition(known.id);
            live.shares = self.engine.shares(known.id);
            live.shares_hold = counts.arming + counts.storing + counts.looking == 0;
        }
    }

    fn service_stats(
        &self,
        service: &Service,
        rates: &Rates<u16>,
        probed: &HashMap<Arc<Target>, Probed>,
    ) -> Result<ServiceStats, ControlError> {
        let census = self.nat.census();
        let live = self.services.get(&service.name);
        let known = self.identity.services.get(&service.name);
        let mut by_id = HashMap::new();
        for id in known.iter().flat_map(|known| known.backends.values()) {
            by_id.insert(*id, self.plane.backend_counters(*id)?);
        }
        let former = known.map(|known| former(known.former)).unwrap_or_default();
        let counters = by_id.values().copied().fold(former, add);
        let rate = by_id.keys().fold(Rate::default(), |sum, id| sum + rates.get(*id));
        let size = known.and_then(|known| known.table).map_or(1, |table| table.count);
        let mut backends = Vec::new();
        for backend in &service.backends {
            let id = known.and_then(|known| known.backends.get(&backend.address)).copied();
            let found = Found {
                id,
                counters: id.and_then(|id| by_id.get(&id)).copied().unwrap_or_default(),
                rate: id.map(|id| rates.get(id)).unwrap_or_default(),
                flows: id.map_or(0, |id| census.flows_to(id)),
                slots: live.zip(id).and_then(|(live, id)| live.shares.get(&id)).copied(),
                size,
                probe: probe(service, backend, probed),
            };
            backends.push(self.backend_stats(service, backend, &found));
        }
        let ports = ports(service);
        let protocols: Vec<_> = service.protocols.iter().map(|p| p.name().to_owned()).collect();
        let vips: Vec<_> = service.vips.iter().map(ToString::to_string).collect();
        Ok(ServiceStats {
            name: service.name.clone(),
            vip: vips.first().cloned().unwrap_or_default(),
            vips,
            port: ports.first().copied().unwrap_or_default(),
            ports,
            protocol: protocols.first().cloned().unwrap_or_default(),
            protocols,
            mode: service.mode.name().to_owned(),
            scheduler: "maglev".to_owned(),
            traffic: traffic(&counters, rate),
            connections: connections(&counters, rate),
            slots: known.map(|known| self.slot_stats(&service.name, known)).unwrap_or_default(),
            fail_open: live
                .and_then(|live| live.selection.as_ref())
                .is_some_and(|selection| selection.fail_open),
            backends,
            // Told by discovery.
            sources: Vec::new(),
        })
    }

    fn nat_stats(&self, log: Option<NatLogStats>) -> NatStats {
        let census = self.nat.census();
        let limits = &self.config.limits;
        let buckets = self.nat.tables().buckets();
        NatStats {
            flows: census.flows(),
            states: census.by_state().map(|(state, n)| (state.name().to_owned(), n)).collect(),
            capacity: capacity(buckets.narrow, limits.nat_flows),
            capacity_wide: capacity(buckets.wide, limits.nat_flows_wide),
            log,
        }
    }

    fn slot_stats(&self, name: &str, known: &ServiceIdentity) -> SlotStats {
        let counts = self.engine.in_transition(known.id);
        SlotStats {
            total: known.table.map_or(0, |table| table.count),
            in_transition: counts.arming + counts.storing + counts.looking,
            arming: counts.arming,
            storing: counts.storing,
            looking: counts.looking,
            moved: self.services.get(name).map_or(0, |live| live.moved),
        }
    }

    fn backend_stats(&self, service: &Service, backend: &Backend, found: &Found) -> BackendStats {
        let status = self.view.status(service, backend);
        let hop = self.view.next_hops.get(&backend.address);
        let (state, reason) = self.standing(service, backend);
        let since = match found.id.and_then(|id| self.standings.get(&id)) {
            Some(standing)
                if self.drain_of(service, backend).is_some()
                    || self.ejection(service, backend).is_some() =>
            {
                Some(standing.since)
            }
            _ => status.map(since),
        };
        BackendStats {
            name: backend.name.clone(),
            address: backend.address.to_string(),
            origin: backend.origin.to_string(),
            state,
            reason,
            since,
            weight: self.weight_of(service, backend).into(),
            weight_set: self.weight_stats(service, backend),
            drain: self.drain_stats(service, backend),
            slow_start: found.id.and_then(|id| self.slow_start_of(service, id)),
            share: f64::from(found.slots.unwrap_or(0)) / f64::from(found.size),
            traffic: traffic(&found.counters, found.rate),
            connections: connections(&found.counters, found.rate),
            probe: found.probe.clone(),
            passive: found.id.and_then(|id| self.passive_stats(service, backend, id)),
            unresolved: found.counters.unresolved,
            reply_packets: found.counters.reply_packets,
            reply_bytes: found.counters.reply_bytes,
            flows: found.flows,
            flows_limit: translation::sources(service, backend.address),
            refused: found.counters.refused,
            next_hop: match hop {
                Some(Ok(hop)) => {
                    let mtu = found.id.map_or(0, |id| self.plane.backend(id).mtu);
                    Some(next_hop(hop, backend, mtu))
                }
                Some(Err(error)) if error.is_own_host() => Some(own_host(backend)),
                _ => None,
            },
        }
    }

    fn weight_stats(&self, service: &Service, backend: &Backend) -> Option<WeightStats> {
        let set = self.overrides.weight((&service.name, backend.address))?;
        let (decision, weight) = (set.decision.clone(), set.weight);
        Some(WeightStats { decision, weight, in_file: backend.weight })
    }

    /// Changes that are decided and take effect later.
    fn pending(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for service in &self.config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            let arming = self.engine.in_transition(known.id).arming;
            if arming > 0 {
                sentences.push(format!(
                    "service {}: {arming} slots change their owner within the arming time of {:?}",
                    service.name, service.arming
                ));
            }
            if known.old_table.is_some() {
                sentences.push(format!(
                    "service {}: its table before is asked for flows without an entry until they \
                     have been idle",
                    service.name
                ));
            }
            let former = self.services.get(&service.name).map(|live| live.former_mode);
            if former.is_some_and(|former| former.direct_until.is_some()) {
                sentences.push(format!(
                    "service {}: TCP connections from before it translated go on untranslated until \
                     all of them have been idle for {:?}",
                    service.name, service.idle.tcp
                ));
            }
            if former.is_some_and(|former| former.translated.is_some()) {
                sentences.push(format!(
                    "service {}: flows that are translated go on so until the last has ended",
                    service.name
                ));
            }
        }
        sentences
    }
}

/// Flows that a table has room for; `wanted`: as configured, which may be waiting
/// for flows to end. One bucket stands for no table.
fn capacity(buckets: u32, wanted: u32) -> u64 {
    let room = MapSizes::flows_in(buckets);
    let is_as_wanted = MapSizes::flows_in(MapSizes::buckets(wanted)) == room;
    match (buckets, is_as_wanted) {
        (0 | 1, _) => 0,
        (_, true) => wanted.into(),
        (_, false) => room.into(),
    }
}

fn probe(
    service: &Service,
    backend: &Backend,
    all: &HashMap<Arc<Target>, Probed>,
) -> Option<ProbeStats> {
    let target = target(service, backend)?;
    let probed = all.get(&target).cloned().unwrap_or_default();
    Some(ProbeStats {
        target: target.to_string(),
        latency: probed.latency.map(|latency| latency.last.as_secs_f64()),
        smoothed: probed.latency.map(|latency| latency.smoothed.as_secs_f64()),
        problem: probed.problem,
    })
}

fn ports(service: &Service) -> Vec<Port> {
    match &service.ports {
        Ports::Any => vec![Port::ANY],
        Ports::List(ports) => ports.iter().copied().map(Port::Number).collect(),
    }
}

fn former(known: FormerTraffic) -> BackendCounters {
    let FormerTraffic { packets, bytes, new_connections } = known;
    BackendCounters { packets, bytes, new_connections, ..BackendCounters::default() }
}

fn traffic(counters: &BackendCounters, rate: Rate) -> Traffic {
    Traffic {
        packets: counters.packets,
        bytes: counters.bytes,
        packets_per_second: rate.packets,
        bytes_per_second: rate.bytes,
    }
}

fn connections(counters: &BackendCounters, rate: Rate) -> Connections {
    Connections {
        new_connections: counters.new_connections,
        new_connections_per_second: rate.new_connections,
    }
}

fn next_hop(hop: &NextHop, backend: &Backend, mtu: u16) -> NextHopStats {
    NextHopStats {
        interface: hop.interface.clone(),
        address: hop.gateway.unwrap_or(backend.address).to_string(),
        mac: hop.destination_mac.to_string(),
        mtu: mtu.into(),
    }
}

/// No interface: the kernel takes the packets.
fn own_host(backend: &Backend) -> NextHopStats {
    NextHopStats {
        interface: LOCAL.to_owned(),
        address: backend.address.to_string(),
        ..NextHopStats::default()
    }
}

pub(super) fn since(status: &Status) -> u64 {
    seconds(status.since)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
