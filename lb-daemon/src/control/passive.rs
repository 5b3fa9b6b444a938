//! What the traffic shows of backends: watched once a second, judged against their
//! peers, told, and acted on.

use std::collections::{HashMap, HashSet};

use lb_common::abi::BackendCounters;

use super::{ControlError, Controller, selection::Candidate, view::target};
use crate::{
    api::types::{Event, EventKind, PassiveStats},
    config::{Backend, Config, Passive, Service},
    dataplane::{DataPlane, Evidence},
    health::{State, Target},
    passive::{Counts, Ejection, Finding, Member, Standing, TRIAL_WEIGHT},
    slots::SlotMemory,
};

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Takes in a second of traffic, and takes out whom it speaks against. Returns
    /// what is to be probed at once.
    pub fn look_at_traffic(
        &mut self,
        counters: &HashMap<u16, BackendCounters>,
    ) -> Result<HashSet<Target>, ControlError> {
        let config = self.config.clone();
        let mut doubtful = HashSet::new();
        let mut moved = false;
        for service in config.services.iter().filter(|one| one.passive != Passive::Off) {
            let mut members = Vec::new();
            for backend in &service.backends {
                let Some(id) = self.id_of(&service.name, backend.address) else { continue };
                let Some(counters) = counters.get(&id) else { continue };
                if self.take_in(id, counters) {
                    doubtful.extend(target(service, backend));
                }
                members.push(Member { id, takes: self.takes(service, backend) });
            }
            let acts = service.passive == Passive::On;
            for finding in self.watches.judge(&members, acts, self.view.time) {
                moved |= matches!(finding, Finding::Moved(_));
                self.tell(service, finding);
            }
        }
        self.watch_only(&config);
        if moved {
            self.remember_ejections();
            self.refresh()?;
        }
        Ok(doubtful)
    }

    /// True: something is wrong.
    fn take_in(&mut self, id: u16, counters: &BackendCounters) -> bool {
        let Evidence { unanswered, repeats, refused, unreachable } = self.plane.evidence(id);
        let syns = counters.new_connections;
        let counts = Counts { syns, unanswered, repeats, refused, unreachable };
        self.watches.note(id, counts, self.plane.take_networks(id))
    }

    /// Whether it gets new connections, whatever is known from the traffic.
    fn takes(&self, service: &Service, backend: &Backend) -> bool {
        let weight = self.weight_of(service, backend).into();
        let state = self.view.state(service, backend);
        let candidate = Candidate { weight, state, cut: false };
        candidate.is_up(service.initial_state) && self.drain_of(service, backend).is_none()
    }

    fn tell(&mut self, service: &Service, finding: Finding) {
        let (id, kind, what) = match finding {
            // Told with the new state.
            Finding::Moved(_) => return,
            Finding::Suspected(id, what) => (id, EventKind::Warning, what),
            Finding::Cleared(id, what) => (id, EventKind::WarningCleared, what),
        };
        let mut backends = service.backends.iter();
        if let Some(backend) =
            backends.find(|one| self.id_of(&service.name, one.address) == Some(id))
        {
            let event = Event::new(kind, what);
            self.journal.announce(event.of_backend(&service.name, &backend.name, backend.address));
        }
    }

    fn watch_only(&mut self, config: &Config) {
        let mut watched = HashSet::new();
        for service in config.services.iter().filter(|one| one.passive != Passive::Off) {
            let known = self.identity.services.get(&service.name);
            watched.extend(known.iter().flat_map(|known| known.backends.values().copied()));
        }
        self.watches.retain(|id| watched.contains(&id));
    }

    fn remember_ejections(&mut self) {
        let written = self.ejections_file.write(&self.watches.ejections());
        let trouble = written.err().map(|error| {
            format!("who is out is not known after a restart: {error}; see to the state directory")
        });
        self.trouble("what the traffic shows", trouble);
    }

    /// A backend that is taken out.
    pub(super) fn ejection(&self, service: &Service, backend: &Backend) -> Option<&Ejection> {
        if service.passive != Passive::On {
            return None;
        }
        match self.watches.standing(self.id_of(&service.name, backend.address)?) {
            Standing::Out(ejection) => Some(ejection),
            Standing::In | Standing::OnTrial(_) => None,
        }
    }

    /// The state by probes and by traffic.
    pub(super) fn state_of(&self, service: &Service, backend: &Backend) -> State {
        match self.view.state(service, backend) {
            State::Up | State::Unknown if self.ejection(service, backend).is_some() => {
                State::Failing
            }
            probed => probed,
        }
    }

    /// Why it is out, or not quite in again.
    pub(super) fn said_by_traffic(&self, service: &Service, backend: &Backend) -> Option<String> {
        let id = self.id_of(&service.name, backend.address)?;
        match self.watches.standing(id) {
            Standing::In => None,
            Standing::Out(ejection) => Some(ejection.reason.clone()),
            Standing::OnTrial(_) => Some(format!(
                "on trial with {TRIAL_WEIGHT} % of its weight: it was out for what the traffic showed"
            )),
        }
    }

    /// Per cent of its weight that it may have.
    pub(super) fn trusted_part(&self, id: u16) -> u32 {
        self.watches.weight(id)
    }

    pub(super) fn passive_stats(
        &self,
        service: &Service,
        backend: &Backend,
        id: u16,
    ) -> Option<PassiveStats> {
        if service.passive == Passive::Off {
            return None;
        }
        let Evidence { unanswered, refused, unreachable, .. } = self.plane.evidence(id);
        Some(PassiveStats {
            unanswered,
            refused,
            unreachable,
            out_until: self.ejection(service, backend).map(|ejection| ejection.until),
            times_out: self.watches.times_out(id),
            on_trial: matches!(self.watches.standing(id), Standing::OnTrial(_)),
        })
    }

    /// What is held against backends that are not taken out.
    pub(super) fn suspicions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (id, what) in self.watches.suspicions() {
            for service in &self.config.services {
                let is_it = |one: &&Backend| self.id_of(&service.name, one.address) == Some(id);
                if let Some(backend) = service.backends.iter().find(is_it) {
                    found.push(format!("{}/{}: {what}", service.name, backend.name));
                }
            }
        }
        found
    }
}
