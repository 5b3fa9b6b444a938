//! How a backend comes and goes: drained, given another weight, started slowly,
//! removed. What the file, the probes and the operators say of it, together.
//!
//! A drained backend has no weight, as if the file said 0: its slots move to the
//! others by the same rules, and its flows stay. Past its deadline it counts as
//! dead, so that what is left is answered as `on_backend_dead` says.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Controller, selection::Candidate, standings::Standing, table::WHOLE};
use crate::{
    api::types::{BackendState, Decision},
    config::{Backend, BackendOrder, Config, DrainTime, Service},
    dataplane::DataPlane,
    slots::SlotMemory,
    state::{Drain, HealthMemory, Overrides, Removed},
};

/// Steps from nothing to the full weight.
const STEPS: u64 = 10;

/// A backend as it is when it is looked at.
pub struct Seen {
    pub id: Option<u16>,
    /// Probes have said something of it.
    pub probed: bool,
    /// Somebody wants it out.
    pub drained: bool,
    pub candidate: Candidate,
}

/// Per cent of its weight that a backend has `elapsed` seconds into a slow start.
fn ramp(elapsed: u64, whole: u64) -> u32 {
    if elapsed >= whole {
        return WHOLE;
    }
    let step = (elapsed * STEPS / whole).max(1);
    (step * u64::from(WHOLE) / STEPS) as u32
}

/// Unix seconds at which flows of a backend that goes now are cut off.
fn deadline(service: &Service, backend: Option<&Backend>, time: u64) -> Option<u64> {
    match backend.and_then(|backend| backend.drain).unwrap_or(service.drain) {
        DrainTime::At(after) => Some(time + after.as_secs()),
        DrainTime::Unlimited => None,
    }
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Why a backend gets no new flows, if somebody wants that.
    pub(super) fn drain_of(&self, service: &Service, backend: &Backend) -> Option<Drain> {
        let set = self.overrides.drain((&service.name, backend.address));
        set.cloned().or_else(|| {
            (backend.state == BackendOrder::Drain).then(|| Drain {
                decision: Decision { reason: "the file says so".into(), ..Decision::default() },
                deadline: None,
            })
        })
    }

    /// Flows that are left are cut off.
    pub(super) fn is_past(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.view.time)
    }

    pub(super) fn weight_of(&self, service: &Service, backend: &Backend) -> u16 {
        let set = self.overrides.weight((&service.name, backend.address));
        set.map_or(backend.weight, |set| set.weight)
    }

    /// A backend as it is now. `runs`: its service does.
    pub(super) fn see(
        &mut self,
        service: &Service,
        backend: &Backend,
        (id, runs): (Option<u16>, bool),
    ) -> Seen {
        let (state, probed) = self.view.state(service, backend);
        let drain = self.drain_of(service, backend);
        let drained = drain.is_some();
        let cut = drain.is_some_and(|drain| self.is_past(drain.deadline));
        let weight = if drained { 0 } else { self.weight_of(service, backend).into() };
        let mut candidate = Candidate { weight, part: WHOLE, state, cut };
        let selectable = candidate.is_up(service.initial_state);
        if let Some(id) = id {
            candidate.part = self.start_slowly(service, (id, runs), selectable);
        }
        Seen { id, probed, drained, candidate }
    }

    /// Per cent of its weight that a backend has by now.
    fn start_slowly(
        &mut self,
        service: &Service,
        (id, service_runs): (u16, bool),
        selectable: bool,
    ) -> u32 {
        let time = self.view.time;
        let standing = self.standings.entry(id).or_insert_with(|| Standing {
            state: BackendState::Unknown,
            since: time,
            selectable: !service_runs,
            starting: None,
        });
        let comes = selectable && !standing.selectable;
        standing.selectable = selectable;
        if comes {
            standing.starting = Some(time);
        }
        let whole = service.slow_start.as_secs();
        let elapsed =
            standing.starting.filter(|_| selectable).map(|since| time.saturating_sub(since));
        match elapsed.map_or(WHOLE, |elapsed| ramp(elapsed, whole)) {
            WHOLE => {
                standing.starting = None;
                WHOLE
            }
            part => part,
        }
    }

    /// Since when those have been starting that start slowly, in Unix seconds.
    pub fn starting(&self) -> BTreeMap<u16, u64> {
        self.standings.iter().filter_map(|(id, one)| Some((*id, one.starting?))).collect()
    }

    /// An earlier daemon was bringing these up; to be told before [`Self::start`].
    pub fn recall_starting(&mut self, memory: &HealthMemory) {
        for (id, since) in &memory.starting {
            let standing = Standing {
                state: BackendState::Unknown,
                since: *since,
                selectable: true,
                starting: Some(*since),
            };
            self.standings.insert(*id, standing);
        }
    }

    /// Per cent of its weight, while it starts slowly.
    pub(super) fn slow_start_of(&self, service: &Service, id: u16) -> Option<u8> {
        let since = self.standings.get(&id)?.starting?;
        let part = ramp(self.view.time.saturating_sub(since), service.slow_start.as_secs());
        u8::try_from(part).ok().filter(|_| part < WHOLE)
    }

    pub(super) fn id_of(&self, service: &str, address: IpAddr) -> Option<u16> {
        self.identity.services.get(service)?.backends.get(&address).copied()
    }

    /// The overrides as they are when `config` comes into force: those who are
    /// not in it are drained, those who are back are not. `now`: nobody waits
    /// for flows of those who go.
    pub(super) fn with_removals(&self, config: &Config, now: bool) -> Overrides {
        let mut overrides = self.overrides.clone();
        let time = self.view.time;
        for service in &config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            let before = self.config.services.iter().find(|one| one.name == service.name);
            for address in known.backends.keys() {
                let place = (service.name.as_str(), *address);
                if service.backends.iter().any(|one| one.address == *address) {
                    overrides.edit(place, |one| one.removed = None);
                    continue;
                }
                let former = before.unwrap_or(service);
                let backend = former.backends.iter().find(|one| one.address == *address);
                // It went with an earlier reload.
                if backend.is_none() && overrides.removed(place).is_some() {
                    continue;
                }
                let name = backend.map_or_else(|| address.to_string(), |one| one.name.clone());
                let deadline = if now { Some(time) } else { deadline(former, backend, time) };
                overrides
                    .edit(place, |one| one.removed = Some(Removed { name, deadline, at: time }));
            }
        }
        overrides
    }

    /// Whether flows of a backend that is not in the file are cut off by now.
    pub(super) fn is_over(&self, service: &Service, address: IpAddr) -> bool {
        let removed = self.overrides.removed((&service.name, address));
        removed.is_some_and(|removed| self.is_past(removed.deadline))
    }

    /// Forgets what was decided of backends that are gone.
    pub(super) fn forget_overrides(&mut self) {
        let services = &self.identity.services;
        let is_known = |(service, address): (&str, IpAddr)| {
            services.get(service).is_some_and(|known| known.backends.contains_key(&address))
        };
        if self.overrides.retain(is_known) {
            let written = self.overrides_file.write(&self.overrides);
            self.trouble("overrides", written.err().map(|error| error.to_string()));
        }
        let known: std::collections::HashSet<u16> = self.backend_ids().into_iter().collect();
        self.standings.retain(|id, _| known.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_start_goes_up_in_steps_to_the_whole() {
        let parts: Vec<_> = [0, 1, 5, 6, 15, 29, 30, 99].map(|at| ramp(at, 30)).into();
        assert_eq!(parts, [10, 10, 10, 20, 50, 90, 100, 100]);
        assert_eq!(ramp(0, 0), WHOLE);
    }
}
