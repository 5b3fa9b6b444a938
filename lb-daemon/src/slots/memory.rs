//! Where the slot words are.

use lb_common::abi::{NO_BACKEND, SLOTS_PER_FAIL_STAMP, SlotWord};

/// The slot space of all services, and the stamps of failed inserts.
pub trait SlotMemory {
    fn load(&self, index: u32) -> SlotWord;

    /// In one store, so that a packet sees the old word or the new one.
    fn store(&mut self, index: u32, word: SlotWord);

    /// When an insert last failed in the slot's group of
    /// [`SLOTS_PER_FAIL_STAMP`].
    fn last_failure(&self, index: u32) -> Option<u64>;
}

/// Slots in plain memory: for tests, and for showing what a plan would do.
#[derive(Clone, Debug)]
pub struct HeapSlots {
    words: Vec<SlotWord>,
    failures: Vec<Option<u64>>,
}

impl HeapSlots {
    pub fn new(count: u32) -> Self {
        Self {
            words: vec![SlotWord::at_rest(NO_BACKEND, 0); count as usize],
            failures: vec![None; count.div_ceil(SLOTS_PER_FAIL_STAMP) as usize],
        }
    }

    pub fn note_failure(&mut self, index: u32, now: u64) {
        self.failures[(index / SLOTS_PER_FAIL_STAMP) as usize] = Some(now);
    }
}

impl SlotMemory for HeapSlots {
    fn load(&self, index: u32) -> SlotWord {
        self.words[index as usize]
    }

    fn store(&mut self, index: u32, word: SlotWord) {
        self.words[index as usize] = word;
    }

    fn last_failure(&self, index: u32) -> Option<u64> {
        self.failures[(index / SLOTS_PER_FAIL_STAMP) as usize]
    }
}
