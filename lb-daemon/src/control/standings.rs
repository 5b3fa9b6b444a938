//! What an operator is told of a backend: its state and why, and an event when that
//! is another one.

use std::{collections::HashMap, net::IpAddr};

use super::{Controller, life::Seen, snapshot::since};
use crate::{
    api::types::{BackendState, Decision, Event, EventKind},
    config::{Backend, Service},
    dataplane::DataPlane,
    slots::SlotMemory,
    state::{Drain, Removed},
};

/// Why a backend is drained that is not configured any more.
pub const REMOVED: &str = "it was removed from the pool";

/// What a backend was last found to be, by its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    pub state: BackendState,
    /// Unix seconds.
    pub since: u64,
    /// It may get new flows.
    pub selectable: bool,
    /// Since when it has been starting, in Unix seconds.
    pub starting: Option<u64>,
}

/// All standings.
pub type Standings = HashMap<u16, Standing>;

/// Who has a standing.
struct Subject<'a> {
    id: u16,
    service: &'a str,
    backend: &'a str,
    address: IpAddr,
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Of a backend that is configured.
    pub(super) fn standing(&self, service: &Service, backend: &Backend) -> (BackendState, String) {
        match self.drain_of(service, backend) {
            Some(drain) => {
                let id = self.id_of(&service.name, backend.address);
                self.drain_standing(id, drain.deadline, &words(&drain))
            }
            None => (self.view.state(service, backend).0.into(), self.reason(service, backend)),
        }
    }

    /// Of one that is not any more.
    pub(super) fn removed_standing(&self, id: u16, removed: &Removed) -> (BackendState, String) {
        self.drain_standing(Some(id), removed.deadline, REMOVED)
    }

    fn drain_standing(
        &self,
        id: Option<u16>,
        deadline: Option<u64>,
        why: &str,
    ) -> (BackendState, String) {
        let progress = id.and_then(|id| self.drains.get(&id)).cloned().unwrap_or_default();
        let is_past = self.is_past(deadline);
        let how = match (progress.cut, progress.done) {
            (Some(0), _) => "its deadline has passed; no flow was seen any more".into(),
            (Some(1), _) => "its deadline has passed: the flow that was left is cut off".into(),
            (Some(cut), _) => {
                format!("its deadline has passed: {cut} flows that were left are cut off")
            }
            (None, true) => "no flow is left".to_owned(),
            (None, false) if is_past => "flows that are left are cut off".to_owned(),
            (None, false) => return (BackendState::Draining, why.to_owned()),
        };
        (BackendState::Drained, format!("{how}; {why}"))
    }

    /// What led to a state that nobody ordered.
    fn reason(&self, service: &Service, backend: &Backend) -> String {
        match (self.view.status(service, backend), self.view.next_hops.get(&backend.address)) {
            (Some(status), _) => status.reason.clone(),
            (None, Some(Err(error))) if !error.is_own_host() => error.to_string(),
            (None, _) => String::new(),
        }
    }

    /// Tells of backends whose state is another one now.
    pub(super) fn note_standings(&mut self, service: &Service, seen: &[Seen]) {
        for (backend, seen) in service.backends.iter().zip(seen) {
            let Some(id) = seen.id else { continue };
            let was = self.standings.get(&id).map(|standing| standing.state);
            if !seen.drained && was == Some(seen.candidate.state.into()) {
                continue;
            }
            let (state, reason) = self.standing(service, backend);
            let Backend { name, address, .. } = backend;
            let subject = Subject { id, service: &service.name, backend: name, address: *address };
            let Some(event) = self.changed(&subject, state, reason) else { continue };
            // What probes find is logged once per probe, not once per service.
            if self.view.status(service, backend).is_some_and(|one| state == one.state.into()) {
                self.journal.record(event);
            } else {
                self.journal.announce(event);
            }
        }
    }

    /// The same of those that are not configured any more.
    pub(super) fn note_removed(&mut self, service: &Service) {
        for (address, id, removed) in self.removed_of(service) {
            let (state, reason) = self.removed_standing(id, &removed);
            self.note_of_removed(&service.name, (address, id, &removed), (state, reason));
        }
    }

    fn note_of_removed(
        &mut self,
        service: &str,
        (address, id, removed): (IpAddr, u16, &Removed),
        (state, reason): (BackendState, String),
    ) {
        // It may have gone while no daemon ran.
        if !self.standings.contains_key(&id) {
            self.know_standing(id, BackendState::Unknown, self.view.time);
        }
        let subject = Subject { id, service, backend: &removed.name, address };
        if let Some(event) = self.changed(&subject, state, reason) {
            self.journal.announce(event);
        }
    }

    /// Nothing names a backend any more, and its number is about to go.
    pub(super) fn note_gone(&mut self, id: u16) {
        let Some((service, address)) = self.identity.place_of(id) else { return };
        let Some(removed) = self.overrides.removed((&service, address)).cloned() else { return };
        let standing = match self.removed_standing(id, &removed) {
            (BackendState::Draining, why) => {
                (BackendState::Drained, format!("no flow is left; {why}"))
            }
            other => other,
        };
        self.note_of_removed(&service, (address, id, &removed), standing);
    }

    /// An event, if the state is another one than before.
    fn changed(
        &mut self,
        subject: &Subject<'_>,
        state: BackendState,
        reason: String,
    ) -> Option<Event> {
        let time = self.view.time;
        let standing = self.standings.get_mut(&subject.id)?;
        if standing.state == state {
            return None;
        }
        let event = Event {
            from: Some(standing.state.name().to_owned()),
            lasted: Some(time.saturating_sub(standing.since)),
            ..Event::new(EventKind::Backend, reason)
        };
        (standing.state, standing.since) = (state, time);
        Some(event.of_backend(subject.service, subject.backend, subject.address).to(state.name()))
    }

    /// What is known of states when the daemon begins is no event.
    pub(super) fn know_standings(&mut self) {
        let config = self.config.clone();
        for service in &config.services {
            for backend in &service.backends {
                let Some(id) = self.id_of(&service.name, backend.address) else { continue };
                let (state, _) = self.standing(service, backend);
                let since = self.view.status(service, backend).map(since);
                self.know_standing(id, state, since.unwrap_or(self.view.time));
            }
            for (_, id, removed) in self.removed_of(service) {
                let (state, _) = self.removed_standing(id, &removed);
                self.know_standing(id, state, removed.at);
            }
        }
    }

    fn know_standing(&mut self, id: u16, state: BackendState, since: u64) {
        let starting = self.standings.get(&id).and_then(|before| before.starting);
        let standing = Standing { state, since, selectable: true, starting };
        self.standings.insert(id, standing);
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
