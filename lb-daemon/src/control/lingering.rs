//! What translated flows still need of what is not configured any more: service
//! entries, numbers of backends, addresses that answers come to, modes. It goes
//! when a pass over the tables has found nobody who needs it.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

use lb_common::abi::{MAX_SERVICES, Service as Entry, service_flags as flag};

use super::{ControlError, Controller};
use crate::{
    config::Service,
    dataplane::{DataPlane, words_of},
    nat::{BackendName, Census, Directory, ServiceName},
    slots::SlotMemory,
    state::ServiceIdentity,
};

/// A service entry that packets or flows may still read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestingEntry {
    pub entry: u16,
    /// Whose it was, if that goes on with another entry: then its flows go on,
    /// too.
    pub service: Option<String>,
    /// In ticks.
    pub since: u64,
    /// Of the directory that first said so.
    pub version: u64,
    /// The service is gone: its flows end.
    pub removed: bool,
    /// Cleared; only lines may still name it.
    pub cleared: bool,
}

/// Why an entry is not a service's any more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    Removed,
    /// The service has another table, and another entry with it.
    Moved(String),
    /// An earlier daemon knew.
    Unknown,
}

/// A mode that a service had, while flows of it go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FormerMode {
    /// Flows without translation: until then, in ticks, if no packet of theirs
    /// comes.
    pub direct_until: Option<u64>,
    /// Translated ones: until a pass that began with this directory finds none.
    pub translated: Option<u64>,
}

impl FormerMode {
    /// What a service's entry says besides what its configuration does.
    fn flags(&self) -> u32 {
        let direct = if self.direct_until.is_some() { flag::DIRECT_TOO } else { 0 };
        let translated = if self.translated.is_some() { flag::NAT_LOOKUP } else { 0 };
        direct | translated
    }
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Entries that an earlier daemon left resting.
    pub(super) fn find_resting_entries(&mut self, now: u64) {
        let known: BTreeSet<u16> = self.identity.services.values().map(|one| one.entry).collect();
        for entry in 0..MAX_SERVICES as u16 {
            if !known.contains(&entry) && self.plane.service(entry).flags & flag::USED != 0 {
                self.rest_entry(entry, now, Reason::Unknown);
            }
        }
    }

    pub(super) fn rest_entry(&mut self, entry: u16, since: u64, reason: Reason) {
        let version = self.next_version();
        let removed = matches!(reason, Reason::Removed);
        let service = match reason {
            Reason::Moved(service) => Some(service),
            Reason::Removed | Reason::Unknown => None,
        };
        let cleared = false;
        let resting = RestingEntry { entry, service, since, version, removed, cleared };
        self.resting_entries.push(resting);
    }

    /// The version of a directory that does not exist yet, and will soon.
    pub(super) fn next_version(&mut self) -> u64 {
        self.directory_stale = true;
        self.directory_version + 1
    }

    /// Tells the sweeper and those who look at flows what numbers mean now.
    pub(super) fn publish_directory(&mut self) {
        if !std::mem::take(&mut self.directory_stale) {
            return;
        }
        self.directory_version += 1;
        let mut directory = Directory::empty(self.plane.ticks());
        directory.version = self.directory_version;
        directory.settings = self.plane.nat_settings();
        for (name, known) in &self.identity.services {
            let entry = self.plane.service(known.entry);
            directory.services.insert(known.entry, ServiceName { name: name.clone(), entry });
        }
        for one in &self.resting_entries {
            let Some(name) = one.service.clone() else { continue };
            let entry = self.plane.service(one.entry);
            directory.services.insert(one.entry, ServiceName { name, entry });
        }
        for service in &self.config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            directory.backends.extend(backend_names(service, known));
        }
        let gone = self.resting_entries.iter().filter(|one| one.removed);
        directory.gone = gone.map(|one| one.entry).collect();
        directory.watched = self.marks.former().map(words_of).collect();
        self.nat.set_directory(directory);
    }

    /// Lets go of what nobody needs any more. To be called every second.
    pub(super) fn let_go(&mut self, now: u64, second: u64) -> Result<(), ControlError> {
        let census = self.nat.census();
        self.clear_entries(&census, now, second);
        self.end_former_modes(&census, now);
        if self.marks.forget(&census) {
            self.follow_marks()?;
        }
        Ok(())
    }

    fn clear_entries(&mut self, census: &Census, now: u64, second: u64) {
        let mut version = None;
        let mut resting = std::mem::take(&mut self.resting_entries);
        resting.retain_mut(|one| {
            let packets_may_read = now < one.since + second;
            let unused = census.has_no_service(one.entry, one.version);
            let clear = !packets_may_read && (one.removed || unused);
            if clear && !one.cleared {
                self.plane.set_service(one.entry, &Entry::default());
                one.cleared = true;
                // A flow may have begun since the last pass did.
                one.version = *version.get_or_insert_with(|| self.next_version());
            } else if one.cleared && unused {
                self.directory_stale = true;
                return false;
            }
            true
        });
        resting.append(&mut self.resting_entries);
        self.resting_entries = resting;
    }

    fn end_former_modes(&mut self, census: &Census, now: u64) {
        let moving = !self.resting_entries.is_empty();
        let ticks = self.plane.ticks();
        for service in &self.config.services {
            let Some(known) = self.identity.services.get(&service.name) else { continue };
            let Some(live) = self.services.get_mut(&service.name) else { continue };
            let former = &mut live.former_mode;
            let before = *former;
            if let Some(until) = &mut former.direct_until {
                let last = self.plane.service(known.entry).direct_at;
                *until = (*until).max(last + ticks.of(service.idle.tcp));
            }
            former.direct_until = former.direct_until.filter(|until| now < *until);
            former.translated = former
                .translated
                .filter(|version| moving || !census.has_no_service(known.entry, *version));
            if former.flags() != before.flags() {
                self.queue.insert(service.name.clone());
            }
        }
    }

    /// `entry` as it should be while flows of the mode before go on. `present`:
    /// the entry that packets see.
    pub(super) fn with_former_mode(
        &mut self,
        service: &Service,
        entry: Entry,
        present: &Entry,
        now: u64,
    ) -> Entry {
        let next = self.next_version();
        let ticks = self.plane.ticks();
        let live = self.services.entry(service.name.clone()).or_default();
        let former = &mut live.former_mode;
        if entry.flags & flag::NAT == 0 {
            former.direct_until = None;
            let was_translated = present.flags & flag::NAT != 0;
            // An earlier daemon did not say whether some are left.
            let unknown = present.flags & flag::NAT_LOOKUP != 0 && !live.ready;
            if was_translated || unknown {
                former.translated = Some(next);
            }
        } else {
            former.translated = None;
            let was_direct = present.flags & flag::USED != 0 && present.flags & flag::NAT == 0;
            // An earlier daemon did not say until when.
            let unknown = present.flags & flag::DIRECT_TOO != 0 && !live.ready;
            if was_direct || unknown {
                former.direct_until = Some(now + ticks.of(service.idle.tcp));
            }
        }
        // What the data path noted stays.
        let direct_at = if present.table == entry.table { present.direct_at } else { 0 };
        Entry { flags: entry.flags | live.former_mode.flags(), direct_at, ..entry }
    }

    /// Numbers of backends that no slot names, and no translated flow either.
    pub(super) fn unneeded_ids(&mut self) -> Vec<u16> {
        let free = self.engine.take_free_ids();
        if !free.is_empty() {
            let version = self.next_version();
            self.waiting_ids.extend(free.into_iter().map(|id| (id, version)));
        }
        let census = self.nat.census();
        let waiting = self.waiting_ids.iter();
        let unneeded = waiting.filter(|(id, version)| census.has_no_backend(**id, **version));
        let unneeded: Vec<u16> = unneeded.map(|(id, _)| *id).collect();
        for id in &unneeded {
            self.waiting_ids.remove(id);
        }
        unneeded
    }
}

fn backend_names(service: &Service, known: &ServiceIdentity) -> HashMap<u16, BackendName> {
    let name_of = |address: IpAddr| {
        let configured = service.backends.iter().find(|one| one.address == address);
        configured.map_or_else(|| address.to_string(), |one| one.name.clone())
    };
    let named = |(address, id): (&IpAddr, &u16)| {
        let (service, name) = (service.name.clone(), name_of(*address));
        (*id, BackendName { service, name, address: *address })
    };
    known.backends.iter().map(named).collect()
}
