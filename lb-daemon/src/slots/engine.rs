//! The slots of all services.

use std::collections::BTreeMap;

use lb_common::abi::{ASK_OLD, NO_BACKEND, Service, SlotWord, Table, service_flags};
use lb_common::transition::{Health, Timing};

use super::ids::RetiredIds;
use super::memory::SlotMemory;
use super::service::{Around, ServiceSlots};
use super::table_change::{FinishedChange, OldTable, Refusal};

/// Moves slots to their desired owners. See the module.
#[derive(Debug)]
pub struct Engine<M> {
    memory: M,
    health: Vec<Health>,
    pub(super) services: BTreeMap<u16, ServiceSlots>,
    pub(super) ids: RetiredIds,
    pub(super) ticks_per_second: u32,
}

/// Slots that are not at rest, by what they wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct InTransition {
    /// New flows still go to the old owner.
    pub arming: u32,
    /// Flows of the old owner are being stored.
    pub storing: u32,
    /// All flows of other owners are stored; some live on.
    pub looking: u32,
}

/// The epoch that a new service begins with. Another service may have had its
/// address and port before, under another name say, and the flow table the
/// entries of that one: they must be void now and later. Epochs of a slot are at
/// least a second apart, so those of a service that began earlier lag behind a
/// faster clock.
fn first_epoch(now: u64, ticks_per_second: u32) -> u16 {
    (now * 4 / u64::from(ticks_per_second)) as u16
}

impl<M: SlotMemory> Engine<M> {
    pub fn new(memory: M, ticks_per_second: u32) -> Self {
        Self {
            memory,
            health: vec![Health::Up; 1 << 16],
            services: BTreeMap::new(),
            ids: RetiredIds::default(),
            ticks_per_second,
        }
    }

    pub fn memory(&self) -> &M {
        &self.memory
    }

    pub fn memory_mut(&mut self) -> &mut M {
        &mut self.memory
    }

    /// A new service: all slots at rest. To be called before packets can find it.
    pub fn add(&mut self, service_id: u16, service: Service, owners: &[u16], now: u64) {
        let slots = ServiceSlots::new(service, self.ticks_per_second, owners);
        let epoch = first_epoch(now, self.ticks_per_second);
        for (index, &owner) in (service.table.base..).zip(owners) {
            self.memory.store(index, SlotWord::at_rest(owner, epoch));
        }
        self.services.insert(service_id, slots);
    }

    /// A service whose words are there already, left by another daemon. Tell
    /// the health of its backends before.
    pub fn adopt(&mut self, service_id: u16, service: Service, owners: &[u16], now: u64) {
        let mut slots = ServiceSlots::new(service, self.ticks_per_second, owners);
        if service.flags & service_flags::HAS_OLD_TABLE != 0 {
            slots.old = Some(OldTable::new(service.old_table));
        }
        self.services.insert(service_id, slots);
        if let Some((slots, mut around)) = self.service(service_id, now) {
            slots.adopt(&mut around);
        }
    }

    /// Forgets a service that packets cannot find any more. Returns its
    /// tables, to be released.
    pub fn remove(&mut self, service_id: u16) -> Vec<Table> {
        let Some(slots) = self.services.remove(&service_id) else { return vec![] };
        let old = slots.old.map(|old| old.table);
        [slots.service.table].into_iter().chain(old).collect()
    }

    /// Takes new times and policies, as written to the service's map entry.
    /// The tables of `service` must be those the engine knows.
    pub fn set_policy(&mut self, service_id: u16, service: Service, now: u64) {
        let ticks_per_second = self.ticks_per_second;
        if let Some((slots, mut around)) = self.service(service_id, now) {
            debug_assert_eq!(slots.service.table, service.table);
            slots.service = service;
            slots.timing = Timing::of(&service, ticks_per_second);
            slots.advance_all(&mut around);
        }
    }

    /// The owners that the service's slots should have from now on. Returns how
    /// many should have had another one before.
    pub fn set_desired(&mut self, service_id: u16, owners: &[u16], now: u64) -> u64 {
        let Some((slots, mut around)) = self.service(service_id, now) else { return 0 };
        let moved = slots.desired.iter().zip(owners).filter(|(was, is)| was != is).count();
        slots.set_desired(owners, &mut around);
        moved as u64
    }

    /// Whether a slot of a service names the backend, or is to.
    pub fn names(&self, service_id: u16, id: u16) -> bool {
        let Some(slots) = self.services.get(&service_id) else { return false };
        let names = |word: SlotWord| word.current() == id || word.settled() == id;
        let old = slots.old.iter().flat_map(|old| old.words(&self.memory));
        slots.desired.contains(&id) || slots.words(&self.memory).chain(old).any(names)
    }

    /// To be called before a backend that was dead is marked up: no slot may
    /// still name its dead self. That is quick; the slots that it is to have
    /// again follow with [`Self::backend_changed`].
    pub fn backend_returns(&mut self, service_id: u16, id: u16, now: u64) {
        if self.health[id as usize] == Health::Dead
            && let Some((slots, mut around)) = self.service(service_id, now)
        {
            slots.forget_former_life(id, &mut around);
        }
    }

    /// A backend's health has changed. One that died: mark it in its map entry
    /// first, then call this. One that is back: call [`Self::backend_returns`]
    /// first, then mark it, then call this.
    pub fn backend_changed(&mut self, service_id: u16, id: u16, health: Health, now: u64) {
        if health != Health::Dead {
            self.backend_returns(service_id, id, now);
        }
        let was = self.health[id as usize];
        self.health[id as usize] = health;
        if was != health
            && let Some((slots, mut around)) = self.service(service_id, now)
        {
            slots.backend_changed(id, &mut around);
        }
    }

    /// Does what is due. Returns when something will be due next.
    pub fn tick(&mut self, now: u64) -> Option<u64> {
        self.for_each_service(now, |_, slots, around| slots.tick(around));
        let next = self.services.values().map(|slots| slots.next_deadline).min();
        next.filter(|&at| at != u64::MAX)
    }

    /// Moves a service to another table. `switch` writes the entry it is given
    /// to the service's map entry and returns the time after that; if it
    /// fails, nothing has changed.
    pub fn change_table<E: From<Refusal>>(
        &mut self,
        service_id: u16,
        table: Table,
        owners: &[u16],
        now: u64,
        switch: impl FnOnce(&Service) -> Result<u64, E>,
    ) -> Result<(), E> {
        let Some((slots, mut around)) = self.service(service_id, now) else { return Ok(()) };
        let service = slots.prepare_table(table, owners, &mut around)?;
        around.now = switch(&service)?;
        slots.switch_table(service, owners, &mut around);
        Ok(())
    }

    /// Table changes that have become complete.
    pub fn finish_table_changes(&mut self, now: u64) -> Vec<FinishedChange> {
        let memory = &self.memory;
        self.services
            .iter_mut()
            .filter_map(|(&id, slots)| slots.finish_table_change(id, memory, now))
            .collect()
    }

    /// The backend with this id is gone for good; its id is to be used again.
    /// It must not be desired anywhere.
    pub fn retire_id(&mut self, id: u16) {
        self.ids.retire(id);
    }

    /// The backend is back before its retired id was taken away.
    pub fn recall_id(&mut self, id: u16) {
        self.ids.recall(id);
    }

    /// Retired ids that may be used again.
    pub fn take_free_ids(&mut self) -> Vec<u16> {
        let free = self.ids.take_free();
        for &id in &free {
            self.health[id as usize] = Health::Up;
        }
        free
    }

    pub fn in_transition(&self, service_id: u16) -> InTransition {
        let mut counts = InTransition::default();
        let Some(slots) = self.services.get(&service_id) else { return counts };
        for one in &slots.active {
            let word = self.memory.load(slots.index(one.slot));
            if !word.store() {
                counts.looking += 1;
            } else if word.current() == word.settled() {
                counts.arming += 1;
            } else {
                counts.storing += 1;
            }
        }
        counts
    }

    /// How many slots send new flows to each backend.
    pub fn shares(&self, service_id: u16) -> BTreeMap<u16, u32> {
        let mut shares = BTreeMap::new();
        let Some(slots) = self.services.get(&service_id) else { return shares };
        for (word, &desired) in slots.words(&self.memory).zip(&slots.desired) {
            let owner = if word.current() == ASK_OLD { desired } else { word.current() };
            if owner != NO_BACKEND {
                *shares.entry(owner).or_default() += 1;
            }
        }
        shares
    }

    pub(super) fn service(
        &mut self,
        service_id: u16,
        now: u64,
    ) -> Option<(&mut ServiceSlots, Around<'_, M>)> {
        let slots = self.services.get_mut(&service_id)?;
        Some((slots, Around { memory: &mut self.memory, health: &self.health, now }))
    }

    pub(super) fn for_each_service(
        &mut self,
        now: u64,
        mut what: impl FnMut(u16, &mut ServiceSlots, &mut Around<'_, M>),
    ) {
        let mut around = Around { memory: &mut self.memory, health: &self.health, now };
        for (&id, slots) in &mut self.services {
            what(id, slots, &mut around);
        }
    }

    /// Tells the retired ids which of them slots still name.
    pub(super) fn note_named_ids(&mut self, now: u64) {
        if self.ids.is_empty() {
            return;
        }
        let mut named = vec![false; 1 << 16];
        let mut note = |word: SlotWord| {
            named[word.current() as usize] = true;
            named[word.settled() as usize] = true;
        };
        for slots in self.services.values() {
            slots.words(&self.memory).for_each(&mut note);
            if let Some(old) = &slots.old {
                old.words(&self.memory).for_each(&mut note);
            }
        }
        self.ids.begin_scan(|id| named[id as usize], now);
    }
}
