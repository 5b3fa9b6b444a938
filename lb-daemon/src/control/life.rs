//! How a backend comes and goes: drained, given another weight, started slowly,
//! removed. What the file, the probes and the operators say of it, together.
//!
//! A drained backend has no weight, as if the file said 0: its slots move to the
//! others by the same rules, and its flows stay. Past its deadline it counts as
//! dead, so that what is left is answered as `on_backend_dead` says.

use std::{collections::HashMap, net::IpAddr};

use super::{Controller, selection::Candidate};
use crate::{
    api::types::{BackendState, Decision, Event, EventKind},
    config::{Backend, BackendOrder, Config, DrainTime, Service},
    dataplane::DataPlane,
    health::State,
    slots::SlotMemory,
    state::{Drain, Overrides, Removed},
};

/// Steps from nothing to the full weight.
const STEPS: u64 = 10;
/// Weights are told in parts of this, so that a slow start has steps in between.
/// Only the ratio of weights matters to a table.
pub const FULL: u32 = 100;

/// What a backend was last found to be, by its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    pub state: BackendState,
    /// Unix seconds.
    pub since: u64,
    /// It may get new flows.
    selectable: bool,
    /// Since when it has been starting, in Unix seconds.
    starting: Option<u64>,
}

/// All standings.
pub type Standings = HashMap<u16, Standing>;

/// Per cent of its weight that a backend has `elapsed` seconds into a slow start.
fn ramp(elapsed: u64, whole: u64) -> u32 {
    if elapsed >= whole {
        return FULL;
    }
    let step = (elapsed * STEPS / whole).max(1);
    (step * u64::from(FULL) / STEPS) as u32
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

    /// A backend as the selection is to see it.
    pub(super) fn candidate(&mut self, service: &Service, backend: &Backend) -> Candidate {
        let state = self.state_of(service, backend);
        let drain = self.drain_of(service, backend);
        let cut = drain.as_ref().is_some_and(|drain| self.is_past(drain.deadline));
        let weight = if drain.is_some() { 0 } else { self.weight_of(service, backend).into() };
        let mut candidate = Candidate { weight: weight * FULL, state, cut };
        let selectable = candidate.is_up(service.initial_state);
        candidate.weight = weight * self.start_slowly(service, backend, selectable);
        candidate
    }

    /// Per cent of its weight that a backend has by now.
    fn start_slowly(&mut self, service: &Service, backend: &Backend, selectable: bool) -> u32 {
        let time = self.view.time;
        // All backends of a new service start together.
        let service_runs = self.services.get(&service.name).is_some_and(|live| live.ready);
        let Some(id) = self.id_of(&service.name, backend.address) else { return FULL };
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
        match elapsed.map_or(FULL, |elapsed| ramp(elapsed, whole)) {
            FULL => {
                standing.starting = None;
                self.trusted_part(id)
            }
            part => part.min(self.trusted_part(id)),
        }
    }

    /// Per cent of its weight, while it starts slowly.
    pub(super) fn slow_start_of(&self, service: &Service, id: u16) -> Option<u8> {
        let since = self.standings.get(&id)?.starting?;
        let part = ramp(self.view.time.saturating_sub(since), service.slow_start.as_secs());
        u8::try_from(part).ok().filter(|_| part < FULL)
    }

    pub(super) fn id_of(&self, service: &str, address: IpAddr) -> Option<u16> {
        self.identity.services.get(service)?.backends.get(&address).copied()
    }

    /// What an operator is told of a backend, and why.
    pub(super) fn standing(&self, service: &Service, backend: &Backend) -> (BackendState, String) {
        let id = self.id_of(&service.name, backend.address);
        let Some(drain) = self.drain_of(service, backend) else {
            return (self.state_of(service, backend).into(), self.reason(service, backend));
        };
        let progress = id.and_then(|id| self.drains.get(&id));
        let flows = progress.map_or(0, |progress| progress.flows);
        if progress.is_some_and(|progress| progress.done) {
            return (BackendState::Drained, format!("no flow is left; {}", words(&drain)));
        }
        if self.is_past(drain.deadline) {
            let reason = format!("its deadline has passed: {flows} flows are cut off");
            return (BackendState::Drained, format!("{reason}; {}", words(&drain)));
        }
        (BackendState::Draining, words(&drain))
    }

    /// What led to a state that nobody ordered.
    fn reason(&self, service: &Service, backend: &Backend) -> String {
        let by_probes = matches!(self.view.state(service, backend), State::Failing | State::Dead);
        if !by_probes && let Some(said) = self.said_by_traffic(service, backend) {
            return said;
        }
        match (self.view.status(service, backend), self.view.next_hops.get(&backend.address)) {
            (Some(status), _) => status.reason.clone(),
            (None, Some(Err(error))) if !error.is_own_host() => error.to_string(),
            (None, _) => String::new(),
        }
    }

    /// Tells of backends whose state is another one now.
    pub(super) fn note_standings(&mut self, service: &Service) {
        for backend in &service.backends {
            let Some(id) = self.id_of(&service.name, backend.address) else { continue };
            let (state, reason) = self.standing(service, backend);
            let time = self.view.time;
            let Some(standing) = self.standings.get_mut(&id) else { continue };
            if standing.state == state {
                continue;
            }
            let event = Event {
                from: Some(standing.state.name().to_owned()),
                lasted: Some(time.saturating_sub(standing.since)),
                ..Event::new(EventKind::Backend, reason)
            };
            let event =
                event.of_backend(&service.name, &backend.name, backend.address).to(state.name());
            (standing.state, standing.since) = (state, time);
            // What probes find is logged once per probe, not once per service.
            if self.view.status(service, backend).is_some_and(|one| state == one.state.into()) {
                self.journal.record(event);
            } else {
                self.journal.announce(event);
            }
        }
    }

    /// What is known of states when the daemon begins is no event.
    pub(super) fn know_standings(&mut self) {
        let config = self.config.clone();
        for service in &config.services {
            for backend in &service.backends {
                let Some(id) = self.id_of(&service.name, backend.address) else { continue };
                let (state, _) = self.standing(service, backend);
                let since = self.view.status(service, backend).map(super::snapshot::since);
                let since = since.unwrap_or(self.view.time);
                let selectable = true;
                let standing = Standing { state, since, selectable, starting: None };
                self.standings.insert(id, standing);
            }
        }
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
                overrides.edit(place, |one| one.removed = Some(Removed { name, deadline }));
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
        self.drains.retain(|id, _| known.contains(id));
    }
}

/// By whom, and why.
fn words(drain: &Drain) -> String {
    let Decision { by, reason, .. } = &drain.decision;
    match (by, reason.as_str()) {
        (Some(by), "") => format!("drained by {by}"),
        (Some(by), reason) => format!("drained by {by}: {reason}"),
        (None, reason) => format!("drained: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_start_goes_up_in_steps_to_the_whole() {
        let parts: Vec<_> = [0, 1, 5, 6, 15, 29, 30, 99].map(|at| ramp(at, 30)).into();
        assert_eq!(parts, [10, 10, 10, 20, 50, 90, 100, 100]);
        assert_eq!(ramp(0, 0), FULL);
    }
}
