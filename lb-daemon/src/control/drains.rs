//! How far drains are: which flows are left.
//!
//! While slots of a drained backend are in transition, flows that it owns are
//! stored when they send; so those that are stored, or translated, are the flows
//! seen since the drain began. A silent one may be there all the same until the
//! slots have waited for the idle time: before no slot names the backend any
//! more, and a later whole pass has found no flow of it, nobody says "drained".

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
};

use super::{Controller, flows::Passed, standings::REMOVED};
use crate::{
    api::types::{Decision, DrainStats, RemovedStats},
    config::{Backend, Config, Protocol, Service},
    dataplane::DataPlane,
    slots::SlotMemory,
    state::Removed,
};

/// How far one drain is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Unix seconds.
    began: u64,
    /// When flows that are left are cut off, in Unix seconds.
    deadline: Option<u64>,
    /// Seen since, and not ended.
    pub flows: u64,
    /// Since when no slot names it, in ticks; and the version of the directory
    /// that a pass over translated flows must know to count.
    unnamed: Option<(u64, u64)>,
    /// No flow is left.
    pub done: bool,
    /// Flows that were left at the deadline.
    pub cut: Option<u64>,
}

/// Who is drained, of which service, and until when.
struct Drained {
    service: u16,
    deadline: Option<u64>,
}

/// By the number of the backend.
pub type Drains = BTreeMap<u16, Progress>;

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Whose drains are to be followed.
    fn drained(&self, config: &Config) -> HashMap<u16, Drained> {
        let mut found = HashMap::new();
        for service in &config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            for backend in &service.backends {
                if let Some(drain) = self.drain_of(service, backend)
                    && let Some(id) = known.backends.get(&backend.address)
                {
                    found.insert(*id, Drained { service: known.id, deadline: drain.deadline });
                }
            }
            for (_, id, removed) in self.removed_of(service) {
                found.insert(id, Drained { service: known.id, deadline: removed.deadline });
            }
        }
        found
    }

    /// Backends that are not configured any more and still have a number.
    pub(super) fn removed_of(&self, service: &Service) -> Vec<(IpAddr, u16, Removed)> {
        let Some(known) = self.identity.services.get(&service.name) else { return Vec::new() };
        // Every configured one has a number. This is asked whenever a probe fails.
        if known.backends.len() == service.backends.len() {
            return Vec::new();
        }
        let configured: HashSet<IpAddr> = service.backends.iter().map(|one| one.address).collect();
        let departed = known.backends.iter().filter(|(address, _)| !configured.contains(address));
        let removed = departed.filter_map(|(address, id)| {
            let removed = self.overrides.removed((&service.name, *address))?;
            Some((*address, *id, removed.clone()))
        });
        removed.collect()
    }

    /// Begins to follow drains that are new, and ends it for those undone.
    pub(super) fn follow_drains(&mut self) {
        let config = self.config.clone();
        let drained = self.drained(&config);
        self.drains.retain(|id, _| drained.contains_key(id));
        for (id, Drained { deadline, .. }) in drained {
            let began = self.view.time;
            let new = || Progress { began, deadline, ..Progress::default() };
            let progress = self.drains.entry(id).or_insert_with(new);
            if progress.deadline != deadline {
                (progress.deadline, progress.cut) = (deadline, None);
            }
        }
    }

    /// Counts the flows of those whose deadline has come.
    pub(super) fn note_cuts(&mut self) {
        let time = self.view.time;
        for progress in self.drains.values_mut() {
            // Nobody knows what was cut off before the daemon began.
            let comes = progress.deadline.is_some_and(|at| progress.began < at && at <= time);
            if comes && !progress.done && progress.cut.is_none() {
                progress.cut = Some(progress.flows);
            }
        }
    }

    pub(super) fn has_drains(&self) -> bool {
        self.drains.values().any(|progress| !progress.done)
    }

    /// A whole pass over the stored flows is over.
    pub(super) fn note_drains(&mut self, passed: &Passed, now: u64) {
        if self.drains.is_empty() {
            return;
        }
        let config = self.config.clone();
        let services = self.drained(&config);
        let second = u64::from(self.plane.ticks().per_second());
        let census = self.nat.census();
        let mut drains = std::mem::take(&mut self.drains);
        for (id, progress) in &mut drains {
            let Some(Drained { service, .. }) = services.get(id) else { continue };
            let stored = passed.owned.get(id).copied().unwrap_or(0);
            let translated = census.flows_to(*id);
            progress.flows = stored + translated;
            if self.names(*service, *id) {
                (progress.unnamed, progress.done) = (None, false);
                continue;
            }
            if progress.unnamed.is_none() {
                progress.unnamed = Some((now, self.next_version()));
            }
            let (since, version) = progress.unnamed.unwrap_or_default();
            progress.done = stored == 0
                && passed.began >= since + second
                && census.has_no_backend(*id, version);
        }
        drains.append(&mut self.drains);
        self.drains = drains;
    }

    /// Whether a slot does, or will when tables have followed.
    fn names(&self, service: u16, id: u16) -> bool {
        !self.queue.is_empty() || self.engine.names(service, id)
    }

    pub(super) fn drain_stats(&self, service: &Service, backend: &Backend) -> Option<DrainStats> {
        let drain = self.drain_of(service, backend)?;
        let progress = self.progress(self.id_of(&service.name, backend.address));
        let mut decision = drain.decision;
        if decision.by.is_none() {
            decision.at = progress.began;
        }
        Some(drain_stats(service, &progress, decision, drain.deadline))
    }

    /// Those that are gone and may have flows.
    pub(super) fn removed_stats(&self, service: &Service) -> Vec<RemovedStats> {
        let stats = |(address, id, removed): (IpAddr, u16, Removed)| {
            let (state, reason) = self.removed_standing(id, &removed);
            let decision = Decision { at: removed.at, reason: REMOVED.into(), by: None };
            RemovedStats {
                name: removed.name,
                address: address.to_string(),
                state,
                reason,
                drain: drain_stats(service, &self.progress(Some(id)), decision, removed.deadline),
            }
        };
        self.removed_of(service).into_iter().map(stats).collect()
    }

    fn progress(&self, id: Option<u16>) -> Progress {
        id.and_then(|id| self.drains.get(&id)).cloned().unwrap_or_default()
    }
}

fn drain_stats(
    service: &Service,
    progress: &Progress,
    decision: Decision,
    deadline: Option<u64>,
) -> DrainStats {
    let idle = |protocol: &Protocol| match protocol {
        Protocol::Tcp => service.idle.tcp,
        Protocol::Udp => service.idle.udp,
    };
    let silent = service.arming + service.protocols.iter().map(idle).max().unwrap_or_default();
    // Of translated flows, all are known.
    let is_translated = service.mode.snat().is_some();
    let silent = if is_translated { 0 } else { silent.as_secs() + 1 };
    let silent_until = progress.began + silent;
    DrainStats { silent_until, deadline, flows: progress.flows, decision }
}
