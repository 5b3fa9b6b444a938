//! What is not configured any more: it goes when nothing names it.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use super::{ControlError, Controller, lingering::Reason};
use crate::{dataplane::DataPlane, slots::SlotMemory, state::FormerTraffic};

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Takes out services that are gone; packets cannot find them any more.
    pub(super) fn remove_departed_services(&mut self) -> Result<(), ControlError> {
        let configured: BTreeSet<&str> =
            self.config.services.iter().map(|service| service.name.as_str()).collect();
        let gone: Vec<String> = self
            .identity
            .services
            .keys()
            .filter(|name| !configured.contains(name.as_str()))
            .cloned()
            .collect();
        if gone.is_empty() {
            return Ok(());
        }
        let now = self.plane.now()?;
        for name in gone {
            let Some(known) = self.identity.dismiss(&name) else { continue };
            // An engine that has not taken it over yet knows no tables of it.
            self.engine.remove(known.id);
            for table in known.table.iter().chain(&known.old_table) {
                self.space.release(table.base, now);
            }
            self.rest_entry(known.entry, now, Reason::Removed);
            self.services.remove(&name);
            self.queue.remove(&name);
            self.troubles.remove(&name);
        }
        Ok(self.save()?)
    }

    /// Backends that are back keep their numbers.
    pub(super) fn recall_returned(&mut self) {
        let departed: BTreeSet<u16> = self.identity.departed(&self.config).into_iter().collect();
        let back: Vec<u16> = self.retired.difference(&departed).copied().collect();
        for id in back {
            self.engine.recall_id(id);
            self.waiting_ids.remove(&id);
            self.retired.remove(&id);
        }
    }

    /// Tells the engine of backends that are gone and that no table is made of.
    pub(super) fn retire_departed(&mut self) {
        for id in self.identity.departed(&self.config) {
            let mut lives = self.services.values().flat_map(|live| &live.recipe.members);
            if !self.retired.contains(&id) && !lives.any(|member| member.id == id) {
                self.engine.retire_id(id);
                self.retired.insert(id);
            }
        }
    }

    /// Gives back numbers of backends that nothing names any more.
    pub(super) fn release_ids(&mut self) -> Result<(), ControlError> {
        let free = self.unneeded_ids();
        if free.is_empty() {
            return Ok(());
        }
        for id in free {
            self.note_gone(id);
            self.keep_counts(id)?;
            self.identity.release(id);
            self.retired.remove(&id);
            self.health.remove(&id);
            self.drains.remove(&id);
            self.standings.remove(&id);
            self.plane.set_backend(id, &Default::default());
            self.plane.clear_backend_counters(id)?;
        }
        Ok(self.save()?)
    }

    /// A service's counters do not go back when a backend's do.
    fn keep_counts(&mut self, id: u16) -> Result<(), ControlError> {
        let mut services = self.identity.services.values_mut();
        if let Some(of) = services.find(|known| known.backends.values().any(|one| *one == id)) {
            let counters = self.plane.backend_counters(id)?;
            let FormerTraffic { packets, bytes, new_connections } = &mut of.former;
            *packets = packets.wrapping_add(counters.packets);
            *bytes = bytes.wrapping_add(counters.bytes);
            *new_connections = new_connections.wrapping_add(counters.new_connections);
        }
        Ok(())
    }

    /// Numbers of VIPs that have been out of the table for a second.
    pub(super) fn forget_vips(&mut self, now: u64, second: u64) -> Result<(), ControlError> {
        if now < self.vip_removed + second {
            return Ok(());
        }
        let vips = &self.vips;
        let configured: HashSet<IpAddr> =
            self.config.services.iter().flat_map(|one| one.vips.iter().copied()).collect();
        let before = self.identity.vips.len();
        self.identity.vips.retain(|vip, _| configured.contains(vip) || vips.get(*vip).is_some());
        if self.identity.vips.len() < before { Ok(self.save()?) } else { Ok(()) }
    }
}
