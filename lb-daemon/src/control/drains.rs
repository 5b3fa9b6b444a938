//! How far drains are: which flows are left.
//!
//! While slots of a drained backend are in transition, flows that it owns are
//! stored when they send; so those that are stored, or translated, are the flows
//! seen since the drain began. A silent one may be there all the same until the
//! slots have waited for the idle time: before no slot names the backend any
//! more, and a later whole pass has found no flow of it, nobody says "drained".

use std::collections::{BTreeMap, HashMap};

use super::{Controller, flows::Passed};
use crate::{
    api::types::DrainStats,
    config::{Backend, Config, Protocol, Service},
    dataplane::DataPlane,
    slots::SlotMemory,
};

/// How far one drain is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Unix seconds.
    began: u64,
    /// Seen since, and not ended.
    pub flows: u64,
    /// Since when no slot names it, in ticks; and the version of the directory
    /// that a pass over translated flows must know to count.
    unnamed: Option<(u64, u64)>,
    /// No flow is left.
    pub done: bool,
}

/// By the number of the backend.
pub type Drains = BTreeMap<u16, Progress>;

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Whose drains are to be followed, with the service's number.
    fn drained(&self, config: &Config) -> HashMap<u16, u16> {
        let mut found = HashMap::new();
        for service in &config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            for backend in &service.backends {
                if self.drain_of(service, backend).is_some()
                    && let Some(id) = known.backends.get(&backend.address)
                {
                    found.insert(*id, known.id);
                }
            }
        }
        found
    }

    /// Begins to follow drains that are new, and ends it for those undone.
    pub(super) fn follow_drains(&mut self) {
        let config = self.config.clone();
        let drained = self.drained(&config);
        self.drains.retain(|id, _| drained.contains_key(id));
        for id in drained.into_keys() {
            let began = self.view.time;
            self.drains.entry(id).or_insert_with(|| Progress { began, ..Progress::default() });
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
            let Some(service) = services.get(id) else { continue };
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
        let id = self.id_of(&service.name, backend.address);
        let progress = id.and_then(|id| self.drains.get(&id)).cloned().unwrap_or_default();
        let mut decision = drain.decision;
        if decision.by.is_none() {
            decision.at = progress.began;
        }
        let idle = |protocol: &Protocol| match protocol {
            Protocol::Tcp => service.idle.tcp,
            Protocol::Udp => service.idle.udp,
        };
        let silent = service.arming + service.protocols.iter().map(idle).max().unwrap_or_default();
        Some(DrainStats {
            silent_until: progress.began + silent.as_secs() + 1,
            deadline: drain.deadline,
            flows: progress.flows,
            decision,
        })
    }
}
