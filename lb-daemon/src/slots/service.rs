//! The slots of one service.

use lb_common::abi::{ASK_OLD, Service, SlotWord};
use lb_common::transition::{Health, Plan, Situation, Timing, forget_settled, plan};

use super::memory::SlotMemory;
use super::table_change::OldTable;

/// What a step of a slot needs from outside its service.
pub(super) struct Around<'a, M> {
    pub memory: &'a mut M,
    /// By backend id.
    pub health: &'a [Health],
    pub now: u64,
}

impl<M> Around<'_, M> {
    pub fn health_of(&self, backend: u16) -> Health {
        self.health[backend as usize]
    }
}

/// A slot that is not at rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub slot: u32,
    /// Since when flows have been stored.
    pub base: u64,
    /// When the word was last written.
    pub written: u64,
    /// When to look at the slot again.
    pub until: u64,
    /// The running scan found a flow that is not `current`'s.
    pub held: bool,
}

impl Active {
    /// A slot of which nothing is known but its word: flows count as stored
    /// from now on.
    pub fn new(slot: u32, now: u64) -> Self {
        Self { slot, base: now, written: now, until: now, held: false }
    }
}

const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(super) struct ServiceSlots {
    pub service: Service,
    pub timing: Timing,
    pub desired: Vec<u16>,
    /// Sorted by slot.
    pub active: Vec<Active>,
    pub old: Option<OldTable>,
    pub next_deadline: u64,
}

impl ServiceSlots {
    pub fn new(service: Service, ticks_per_second: u32, desired: &[u16]) -> Self {
        assert_eq!(service.table.count as usize, desired.len(), "one owner per slot");
        Self {
            service,
            timing: Timing::of(&service, ticks_per_second),
            desired: desired.to_vec(),
            active: vec![],
            old: None,
            next_deadline: NEVER,
        }
    }

    pub fn index(&self, slot: u32) -> u32 {
        self.service.table.base + slot
    }

    pub fn words<'a, M: SlotMemory>(&self, memory: &'a M) -> impl Iterator<Item = SlotWord> + 'a {
        let table = self.service.table;
        (table.base..table.base + table.count).map(|index| memory.load(index))
    }

    /// Takes up the words that are there.
    pub fn adopt<M: SlotMemory>(&mut self, around: &mut Around<'_, M>) {
        let words = self.words(around.memory).enumerate();
        self.active = words
            .filter(|(_, word)| word.look_up())
            .map(|(slot, _)| Active::new(slot as u32, around.now))
            .collect();
        if let Some(old) = &self.old {
            old.bury_the_dead(&self.desired, around);
        }
        self.advance_all(around);
    }

    pub fn set_desired<M: SlotMemory>(&mut self, owners: &[u16], around: &mut Around<'_, M>) {
        assert_eq!(owners.len(), self.desired.len(), "one owner per slot");
        self.desired.copy_from_slice(owners);
        self.advance_all(around);
    }

    /// Advances every slot that is active or should be.
    pub fn advance_all<M: SlotMemory>(&mut self, around: &mut Around<'_, M>) {
        let mut known = std::mem::take(&mut self.active).into_iter().peekable();
        let mut active = vec![];
        for slot in 0..self.service.table.count {
            let mut one = match known.next_if(|one| one.slot == slot) {
                Some(one) => one,
                None if self.is_as_desired(slot, around.memory) => continue,
                None => Active::new(slot, around.now),
            };
            if self.advance(&mut one, around) {
                active.push(one);
            }
        }
        self.active = active;
        self.note_deadline();
    }

    fn is_as_desired<M: SlotMemory>(&self, slot: u32, memory: &M) -> bool {
        let word = memory.load(self.index(slot));
        !word.look_up() && word.current() == self.desired[slot as usize]
    }

    /// Advances the active slots that `which` picks by their word.
    pub fn advance_where<M: SlotMemory>(
        &mut self,
        around: &mut Around<'_, M>,
        which: impl Fn(&Active, SlotWord) -> bool,
    ) {
        let mut active = std::mem::take(&mut self.active);
        active.retain_mut(|one| {
            let word = around.memory.load(self.index(one.slot));
            !which(one, word) || self.advance(one, around)
        });
        self.active = active;
        self.note_deadline();
    }

    /// Writes the slot's next words until it has to wait. Whether it is still
    /// in transition then.
    fn advance<M: SlotMemory>(&self, one: &mut Active, around: &mut Around<'_, M>) -> bool {
        let index = self.index(one.slot);
        loop {
            let word = around.memory.load(index);
            let situation = Situation {
                word,
                desired: self.desired[one.slot as usize],
                current: around.health_of(word.current()),
                settled: around.health_of(word.settled()),
                base: one.base,
                written: one.written,
                last_failure: around.memory.last_failure(index),
            };
            match plan(&situation, &self.timing, around.now) {
                Plan::Write { word, storing_begins } => {
                    self.write(one, word, around);
                    if storing_begins {
                        one.base = around.now;
                    }
                }
                Plan::Wait { until } => {
                    one.until = until.unwrap_or(NEVER);
                    return word.look_up();
                }
            }
        }
    }

    fn write<M: SlotMemory>(&self, one: &mut Active, word: SlotWord, around: &mut Around<'_, M>) {
        around.memory.store(self.index(one.slot), word);
        one.written = around.now;
    }

    pub fn note_deadline(&mut self) {
        self.next_deadline = self.active.iter().map(|one| one.until).min().unwrap_or(NEVER);
    }

    pub fn tick<M: SlotMemory>(&mut self, around: &mut Around<'_, M>) {
        let now = around.now;
        if self.next_deadline <= now {
            self.advance_where(around, |one, _| one.until <= now);
        }
    }

    /// A backend has become what `around` says it is.
    pub fn backend_changed<M: SlotMemory>(&mut self, id: u16, around: &mut Around<'_, M>) {
        if around.health_of(id) == Health::Dead
            && let Some(old) = &self.old
        {
            old.bury(id, &self.desired, around.memory);
        }
        self.advance_where(around, |_, word| word.current() == id || word.settled() == id);
    }

    /// Before a dead backend comes back: no slot may say that flows of its
    /// former life are its own.
    pub fn forget_former_life<M: SlotMemory>(&mut self, id: u16, around: &mut Around<'_, M>) {
        let mut active = std::mem::take(&mut self.active);
        for one in &mut active {
            let word = around.memory.load(self.index(one.slot));
            if word.settled() == id && word.current() != id {
                self.write(one, forget_settled(word), around);
                one.until = around.now;
                self.next_deadline = self.next_deadline.min(around.now);
            }
        }
        self.active = active;
    }

    /// Whether any word asks the previous table.
    pub fn asks_old<M: SlotMemory>(&self, memory: &M) -> bool {
        self.active.iter().any(|one| memory.load(self.index(one.slot)).settled() == ASK_OLD)
    }
}
