//! Who serves now, and whether that is enough: what the policies of a service
//! make of its backends' states, and what is said when it changes.

use super::{
    Controller,
    availability::Availability,
    selection::{Candidate, Selection, Serving, select, wants_backups},
};
use crate::{
    api::types::{Event, EventKind, ServiceState, ServingStats},
    config::{OnAllDown, Service},
    dataplane::DataPlane,
    slots::SlotMemory,
};

/// A service's availability, and since when it has been up or down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reported {
    pub availability: Availability,
    /// Unix seconds.
    pub since: u64,
}

impl Reported {
    pub const fn state(&self) -> ServiceState {
        if self.availability.is_up() { ServiceState::Up } else { ServiceState::Down }
    }
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Who is to get the service's new flows.
    pub(super) fn choose(&mut self, service: &Service, candidates: &[Candidate]) -> Selection {
        self.report(service, candidates);
        let (initial, policy) = (service.initial_state, &service.policy);
        let wanted = wants_backups(candidates, initial, policy);
        let live = self.services.entry(service.name.clone()).or_default();
        let used = live.backups.follow(wanted, self.view.time);
        select(candidates, initial, policy, used)
    }

    /// Notes whether there are as many healthy backends as the service wants.
    fn report(&mut self, service: &Service, candidates: &[Candidate]) {
        let Service { initial_state, policy, .. } = service;
        let availability = Availability::of(candidates, *initial_state, policy.min_healthy);
        let time = self.view.time;
        let live = self.services.entry(service.name.clone()).or_default();
        let before = live.reported;
        let mut now = Reported { availability, since: time };
        let from = before.map_or(ServiceState::Up, |before| before.state());
        if now.state() == from {
            now.since = before.map_or(time, |before| before.since);
        }
        live.reported = Some(now);
        if now.state() != from {
            let event = Event::new(EventKind::Service, availability.reason());
            let event = event.to(now.state().name());
            self.journal.announce(Event {
                service: Some(service.name.clone()),
                from: before.map(|_| from.name().to_owned()),
                lasted: before.map(|before| time.saturating_sub(before.since)),
                ..event
            });
        }
    }
}

/// What is said when others than before get new flows; nothing as long as a
/// service has no backends at all.
pub fn changed(service: &Service, before: Option<Serving>, now: Serving) -> Option<Event> {
    if before.unwrap_or(Serving::Primaries) == now || service.backends.is_empty() {
        return None;
    }
    let (kind, what) = match now {
        Serving::Primaries => (EventKind::WarningCleared, "enough backends are up again"),
        _ => (EventKind::Warning, words(service, now)),
    };
    Some(Event { service: Some(service.name.clone()), ..Event::new(kind, what) })
}

fn words(service: &Service, serving: Serving) -> &'static str {
    let refuses = service.policy.on_all_down != OnAllDown::FailOpen;
    match serving {
        Serving::Primaries => "new connections go to the backends that are up",
        Serving::Backups => "too few backends are up; new connections go to the backups, too",
        Serving::FailOpen => {
            "no backend is up; new connections go to all of them (on_all_down: fail-open)"
        }
        Serving::LastResort => {
            "no backend is up; new connections go to the backups all the same (on_all_down: backup)"
        }
        Serving::Nobody if refuses => "no backend is up; new connections are refused",
        Serving::Nobody => {
            "no backend is left: all are drained or have weight 0; new connections are dropped"
        }
    }
}

impl From<Serving> for ServingStats {
    fn from(serving: Serving) -> Self {
        match serving {
            Serving::Primaries => Self::Primaries,
            Serving::Backups => Self::Backups,
            Serving::FailOpen => Self::FailOpen,
            Serving::LastResort => Self::LastResort,
            Serving::Nobody => Self::Nobody,
        }
    }
}
