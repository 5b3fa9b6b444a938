//! Services' slot tables, and after them ports and VIPs.
//!
//! Tables cost a millisecond each, so services wait in a queue, and the daemon
//! looks for news between two of them.

use lb_common::abi::Service as Entry;

use super::{
    ControlError, Controller,
    frontends::{Frontends, Step},
    lingering::Reason,
    service_entry,
    table::Recipe,
    translation,
};
use crate::{
    config::Service,
    dataplane::DataPlane,
    slots::{Refusal, SlotMemory},
    state::{ServiceIdentity, StateError, StoredTable},
};

/// Why a service's table was not changed.
enum NotChanged {
    Refused(Refusal),
    State(StateError),
    DataPlane(std::io::Error),
}

impl From<Refusal> for NotChanged {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Settles the next service of the queue; with the last one, ports and VIPs
    /// follow. What fails is tried again by and by.
    pub fn work(&mut self) {
        let done = self.settle_next();
        self.trouble("changes wait", done.err().map(|error| error.to_string()));
    }

    fn settle_next(&mut self) -> Result<(), ControlError> {
        let config = self.config.clone();
        while let Some(name) = self.queue.pop_first() {
            if let Some(service) = config.services.iter().find(|service| service.name == name) {
                self.settle(service)?;
                break;
            }
        }
        if self.queue.is_empty() { self.publish() } else { Ok(()) }
    }

    fn settle(&mut self, service: &Service) -> Result<(), ControlError> {
        let Some(known) = self.identity.services.get(&service.name).cloned() else {
            return Ok(());
        };
        self.tell_slots(&known)?;
        let Some(stored) = known.table else {
            let what = "the slot space has no room for its table yet; raise limits.slot_space, or \
                        wait until tables of removed services are free";
            self.trouble(&service.name, Some(what.to_owned()));
            self.allocate_tables()?;
            return Ok(());
        };
        let recipe = self.recipe(service, &known);
        let is_as_configured = (stored.count, stored.key) == (service.table_size, self.key);
        self.put_pool(service, &known);
        let live = self.services.entry(service.name.clone()).or_default();
        if !live.ready {
            let owners = recipe.owners(stored.count, stored.key);
            self.begin(service, &known, stored, &owners)?;
        } else {
            let changed = live.recipe != recipe;
            self.follow_policy(service, &known, stored)?;
            if changed && is_as_configured {
                let owners = recipe.owners(stored.count, stored.key);
                let now = self.plane.now()?;
                let moved = self.engine.set_desired(known.id, &owners, now);
                self.services.entry(service.name.clone()).or_default().moved += moved;
            }
        }
        let live = self.services.entry(service.name.clone()).or_default();
        live.ready = true;
        live.shares_hold = false;
        if is_as_configured {
            live.recipe = recipe;
            self.trouble(&service.name, None);
            return Ok(());
        }
        let owners = recipe.owners(service.table_size, self.key);
        let done = self.change_table(service, &known, &owners)?;
        if done {
            self.services.entry(service.name.clone()).or_default().recipe = recipe;
        }
        Ok(())
    }

    /// Backends of a service with the weights that count now.
    fn recipe(&self, service: &Service, known: &ServiceIdentity) -> Recipe {
        let live = self.services.get(&service.name);
        let shares = live.and_then(|live| live.selection.as_ref());
        let shares = shares.map_or(&[][..], |selection| &selection.shares);
        let backends = service.backends.iter().zip(shares);
        Recipe::of(backends.filter_map(|(one, share)| {
            let id = *known.backends.get(&one.address)?;
            Some((id, one.address, share.weight, share.part))
        }))
    }

    /// A service that the engine does not know: new, or left by an earlier daemon.
    fn begin(
        &mut self,
        service: &Service,
        known: &ServiceIdentity,
        stored: StoredTable,
        owners: &[u16],
    ) -> Result<(), ControlError> {
        let now = self.plane.now()?;
        let entry = service_entry::entry(service, known, stored, self.plane.ticks());
        let present = self.plane.service(known.entry);
        let entry = self.with_former_mode(service, entry, &present, now);
        let is_there = present.table == entry.table;
        if is_there {
            self.engine.adopt(known.id, entry, owners, now);
        } else {
            self.engine.add(known.id, entry, owners, now);
        }
        self.put_service(known.entry, &entry);
        Ok(())
    }

    /// New times and policies.
    fn follow_policy(
        &mut self,
        service: &Service,
        known: &ServiceIdentity,
        stored: StoredTable,
    ) -> Result<(), ControlError> {
        let present = self.plane.service(known.entry);
        let now = self.plane.now()?;
        let entry = service_entry::entry(service, known, stored, self.plane.ticks());
        let mut entry = self.with_former_mode(service, entry, &present, now);
        // A table without flows was changed without asking the one before.
        let tables = Entry { old_table: present.old_table, ..entry };
        let old_flag = lb_common::abi::service_flags::HAS_OLD_TABLE;
        entry = Entry { flags: entry.flags & !old_flag | present.flags & old_flag, ..tables };
        if entry != present {
            self.directory_stale = true;
            self.plane.set_service(known.entry, &entry);
            self.engine.set_policy(known.id, entry, now);
        }
        Ok(())
    }

    /// Where the service's flows leave from, before packets may ask.
    fn put_pool(&mut self, service: &Service, known: &ServiceIdentity) {
        let Some(snat) = service.mode.snat() else { return };
        let pool = translation::pool(snat);
        if self.plane.pool(known.id) != pool {
            self.plane.set_pool(known.id, &pool);
        }
    }

    fn put_service(&mut self, place: u16, entry: &Entry) {
        if self.plane.service(place) != *entry {
            self.plane.set_service(place, entry);
        }
    }

    /// Moves a service to a table of another size or key. Packets find it by
    /// another service entry, which one store per port switches to: an entry
    /// that is read must not change its table.
    fn change_table(
        &mut self,
        service: &Service,
        known: &ServiceIdentity,
        owners: &[u16],
    ) -> Result<bool, ControlError> {
        let now = self.plane.now()?;
        let resting = self.resting_entries.iter().map(|one| one.entry);
        let room = self.identity.spare_entry(resting);
        let base = self.space.allocate(service.table_size, now);
        let (Some(place), Some(base)) = (room, base) else {
            if let Some(base) = base {
                self.space.release(base, now);
            }
            let what = "its new table has no room beside the old one yet; raise limits.slot_space";
            self.trouble(&service.name, Some(what.to_owned()));
            return Ok(false);
        };
        let new = StoredTable { base, count: service.table_size, key: self.key };
        let mut next = known.clone();
        (next.entry, next.table, next.old_table) = (place, Some(new), known.table);
        let Self { plane, engine, identity, state_file, ports, .. } = self;
        let changed = engine.change_table(known.id, new.into(), owners, now, |entry| {
            identity.services.insert(service.name.clone(), next);
            if let Err(error) = state_file.write(identity) {
                identity.services.insert(service.name.clone(), known.clone());
                return Err(NotChanged::State(error));
            }
            plane.set_service(place, entry);
            ports.hand_over(plane, known.entry, place);
            plane.now().map_err(NotChanged::DataPlane)
        });
        match changed {
            Ok(()) => {
                self.rest_entry(known.entry, now, Reason::Moved(service.name.clone()));
                self.trouble(&service.name, None);
                tracing::info!(
                    "service {}: moving to a new table of {} slots; flows stay where they are",
                    service.name,
                    service.table_size
                );
                Ok(true)
            }
            Err(NotChanged::Refused(refusal)) => {
                self.space.release(base, now);
                self.trouble(&service.name, Some(format!("its table waits: {refusal}")));
                Ok(false)
            }
            Err(NotChanged::State(error)) => Err(error.into()),
            Err(NotChanged::DataPlane(error)) => Err(error.into()),
        }
    }

    pub(super) fn finish_table_changes(&mut self, now: u64) -> Result<(), ControlError> {
        let finished = self.engine.finish_table_changes(now);
        if finished.is_empty() {
            return Ok(());
        }
        for change in finished {
            self.space.release(change.freed.base, now);
            let services = self.identity.services.values_mut();
            if let Some(known) = services.into_iter().find(|one| one.id == change.service_id) {
                known.old_table = None;
                self.plane.set_service(known.entry, &change.service);
            }
        }
        Ok(self.save()?)
    }

    /// Brings ports and VIPs to what they should be.
    pub fn publish(&mut self) -> Result<(), ControlError> {
        let services = &self.services;
        let ready = |name: &str| services.get(name).is_some_and(|live| live.ready);
        let (config, around) = (&self.config, (&*self.view.addresses, &self.marks));
        let desired = Frontends::desired(config, &self.identity, around, ready);
        let configured = Frontends::desired(config, &self.identity, around, |_| true);
        let mut trouble = None;
        for step in desired.plan(&configured, &self.vips, &self.ports) {
            let Self { plane, vips, ports, .. } = self;
            let done = match step {
                Step::SetPort(entry) => ports.set(plane, entry),
                Step::SetVip(address, meta) => vips.set(plane, address, meta),
                Step::RemoveVip(address) => {
                    vips.remove(plane, address)?;
                    self.vip_removed = self.plane.now()?;
                    Ok(())
                }
                Step::RemovePort(key) => {
                    ports.remove(plane, key)?;
                    Ok(())
                }
            };
            if let Err(error) = done {
                trouble = Some(error.to_string());
            }
        }
        self.trouble("frontends", trouble);
        self.publish_directory();
        Ok(())
    }
}
