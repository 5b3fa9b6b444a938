//! Backends' entries: state and way, brought to what they should be.
//!
//! Cheap, so that it is done for all services at once and before any slot
//! table is made: a dead backend's flows are answered within milliseconds, even
//! when a thousand services are to be moved off it.

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::{
    abi::{backend_flags as flag, service_flags},
    transition::Health,
};

use super::{
    ControlError, Controller,
    backend_entry::{Wanted, entry},
    life::Seen,
    serving,
    translation::Marks,
    view::{Status, target},
};
use crate::{
    config::{Mode, Service},
    dataplane::DataPlane,
    health::{State, Target},
    slots::SlotMemory,
    state::{HealthMemory, ServiceIdentity},
};

/// The health that an entry's flags tell.
pub(super) fn health_of(flags: u32) -> Health {
    if flags & flag::DEAD != 0 {
        Health::Dead
    } else if flags & flag::FAILING != 0 {
        Health::Failing
    } else {
        Health::Up
    }
}

/// A backend and what it should be.
struct Subject<'a> {
    service_id: u16,
    id: u16,
    mode: &'a Mode,
    address: IpAddr,
    port: u16,
    health: Health,
    probed: bool,
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Brings all backends' entries up to date, and queues the services whose
    /// selection changed.
    pub fn refresh(&mut self) -> Result<(), ControlError> {
        let now = self.plane.now()?;
        let config = self.config.clone();
        self.note_cuts();
        for service in &config.services {
            self.refresh_service(service, now);
        }
        self.renew_marks()
    }

    /// Addresses whose packets may be answers.
    pub(super) fn renew_marks(&mut self) -> Result<(), ControlError> {
        let config = self.config.clone();
        let version = self.directory_version + 1;
        let marks = Marks::of(&config, &self.view.next_hops)
            .after(&self.marks, version)
            .with_probes(self.probe_ways.sources());
        if marks != self.marks {
            self.marks = marks;
            self.follow_marks()?;
        }
        Ok(())
    }

    /// The VIP table and the settings follow the marks.
    pub(super) fn follow_marks(&mut self) -> Result<(), ControlError> {
        self.directory_stale = true;
        self.put_settings();
        // Services that wait in the queue publish when they are done.
        if self.queue.is_empty() { self.publish() } else { Ok(()) }
    }

    fn refresh_service(&mut self, service: &Service, now: u64) {
        let Some(known) = self.identity.services.get(&service.name) else { return };
        let (service_id, mut ids) = (known.id, known.backends.clone());
        let mut changed = false;
        let seen = self.look(service, &ids);
        let candidates: Vec<_> = seen.iter().map(|one| one.candidate).collect();
        let selection = self.choose(service, &candidates);
        let backends = service.backends.iter().zip(&seen);
        for ((backend, seen), health) in backends.zip(&selection.health) {
            let Some(id) = ids.remove(&backend.address) else { continue };
            let (mode, address, health) = (&service.mode, backend.address, *health);
            let probed = seen.probed;
            let port = backend.port.unwrap_or(0);
            let subject = Subject { service_id, id, mode, address, port, health, probed };
            changed |= self.put(&subject, now);
        }
        // The rest have departed; flows may still go to them.
        for (address, id) in ids {
            let over = self.is_over(service, address);
            let health = if over { Health::Dead } else { self.health_of_departed(id, address) };
            let mode = &service.mode;
            let port = self.plane.backend(id).port;
            let subject = Subject { service_id, id, mode, address, port, health, probed: false };
            changed |= self.put(&subject, now);
        }
        if changed {
            self.queue.insert(service.name.clone());
        }
        self.note_standings(service, &seen);
        self.note_removed(service);
        let live = self.services.entry(service.name.clone()).or_default();
        if live.selection.as_ref() != Some(&selection) {
            let before = live.selection.as_ref().map(|before| before.serving);
            let now = selection.serving;
            live.selection = Some(selection);
            self.queue.insert(service.name.clone());
            if let Some(event) = serving::changed(service, before, now) {
                self.journal.announce(event);
            }
        }
    }

    /// Looked at once for all that follows: where a host dies that serves in a
    /// thousand services, every look counts.
    fn look(&mut self, service: &Service, ids: &BTreeMap<IpAddr, u16>) -> Vec<Seen> {
        // All backends of a new service start together.
        let runs = self.services.get(&service.name).is_some_and(|live| live.ready);
        let seen = |one| self.see(service, one, (ids.get(&one.address).copied(), runs));
        service.backends.iter().map(seen).collect()
    }

    /// Nobody probes it any more: as it was, unless the kernel knows worse.
    fn health_of_departed(&self, id: u16, address: IpAddr) -> Health {
        match self.view.next_hops.get(&address) {
            Some(Err(error)) if error.is_dead() => Health::Dead,
            _ => self.health.get(&id).copied().unwrap_or_default(),
        }
    }

    /// Writes the entry; returns whether the slots have to follow. They do that
    /// in their turn ([`Self::tell_slots`]), since to look through the slots of
    /// all services takes longer than to mark a backend in all of them. Before
    /// one that returns, only those change that still name its dead self.
    fn put(&mut self, subject: &Subject<'_>, now: u64) -> bool {
        let Subject { service_id, id, mode, address, port, health, probed } = *subject;
        let next_hop = self.view.next_hops.get(&address);
        let present = self.plane.backend(id);
        let entry = entry(&Wanted { mode, address, port, health, probed, next_hop }, &present);
        let was = self.health.insert(id, health).unwrap_or_default();
        let returns = was == Health::Dead && health != Health::Dead;
        if returns {
            self.engine.backend_returns(service_id, id, now);
        }
        if entry != present {
            self.plane.set_backend(id, &entry);
        }
        was != health
    }

    /// Tells the slots what the entries say by now.
    pub(super) fn tell_slots(&mut self, known: &ServiceIdentity) -> Result<(), ControlError> {
        let now = self.plane.now()?;
        for id in known.backends.values() {
            let health = self.health.get(id).copied().unwrap_or_default();
            self.engine.backend_changed(known.id, *id, health, now);
        }
        Ok(())
    }

    /// What the entries that an earlier daemon left say of backends that are
    /// probed now; since when and why, where `memory` agrees. One that is drained
    /// until a deadline may be marked dead for that alone, and its target may be
    /// probed for other services, too: of it only `memory` counts.
    pub fn remembered(&self, memory: &HealthMemory) -> Vec<(Target, Status)> {
        let mut found = Vec::new();
        for service in &self.config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            for backend in &service.backends {
                let Some(id) = known.backends.get(&backend.address) else { continue };
                let flags = self.plane.backend(*id).flags;
                // What the traffic took out, probes may find up.
                if flags & flag::PROBED == 0 || self.ejection(service, backend).is_some() {
                    continue;
                }
                let state = match health_of(flags) {
                    Health::Up => State::Up,
                    Health::Failing => State::Failing,
                    Health::Dead => State::Dead,
                };
                let has_deadline =
                    self.drain_of(service, backend).is_some_and(|drain| drain.deadline.is_some());
                let status = match memory.states.get(id) {
                    Some(remembered) if has_deadline || remembered.state == state => {
                        remembered.into()
                    }
                    None if has_deadline => continue,
                    _ => Status::found_at_start(state),
                };
                found.extend(target(service, backend).map(|target| (target, status)));
            }
        }
        found
    }

    /// For [`Self::remembered`] of a later daemon.
    pub fn to_remember(&self) -> HealthMemory {
        let mut memory = HealthMemory { starting: self.starting(), ..HealthMemory::default() };
        for service in &self.config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            for backend in &service.backends {
                let id = known.backends.get(&backend.address);
                let status = self.view.status(service, backend);
                memory.states.extend(id.zip(status).map(|(id, status)| (*id, status.into())));
            }
        }
        memory
    }

    /// The backends that a target is the probe of, in words.
    pub fn whose(&self, wanted: &Target) -> String {
        let mut found = Vec::new();
        for service in &self.config.services {
            let mut backends = service.backends.iter();
            if let Some(one) = backends.find(|one| target(service, one).as_ref() == Some(wanted)) {
                found.push(format!("{}/{}", service.name, one.name));
            }
        }
        match found.as_slice() {
            [] => "a backend that was removed".to_owned(),
            [one] => format!("backend {one}"),
            [first, rest @ ..] => format!("backend {first}, and of {} more services,", rest.len()),
        }
    }

    /// Addresses whose next hops are needed.
    pub fn next_hop_targets(&self) -> Vec<IpAddr> {
        let services = &self.identity.services;
        let configured = self.config.services.iter().filter_map(|one| services.get(&one.name));
        configured.flat_map(|known| known.backends.keys().copied()).collect()
    }

    /// Addresses of backends that packets were dropped for, since their next
    /// hop is unknown.
    pub fn unresolved(&self) -> Vec<IpAddr> {
        let services = self.identity.services.values();
        let backends = services.flat_map(|service| &service.backends);
        backends
            .filter(|(_, id)| self.plane.backend(**id).flags & (flag::RESOLVED | flag::LOCAL) == 0)
            .map(|(address, _)| *address)
            .collect()
    }

    /// Whether a service that translates has a backend on this host, be it one
    /// that departed and may still have flows.
    pub fn translates_for_own_host(&self) -> bool {
        self.identity.services.values().any(|known| {
            self.plane.service(known.entry).flags & service_flags::NAT_LOOKUP != 0
                && known
                    .backends
                    .values()
                    .any(|id| self.plane.backend(*id).flags & flag::LOCAL != 0)
        }) || self.config.services.iter().any(|service| {
            let mut backends = service.backends.iter();
            service.mode.snat().is_some() && backends.any(|one| self.view.is_own_host(one.address))
        })
    }
}
