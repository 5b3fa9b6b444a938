//! Slot words whose writer may die at any of its writes, or be broken.

use lb_common::abi::SlotWord;
use lb_daemon::slots::{HeapSlots, SlotMemory};

use crate::mutants::Mutant;

impl Memory {
    pub fn new(slots: HeapSlots, mutant: Option<Mutant>) -> Self {
        Self { slots, writes_left: u64::MAX, left_behind: None, mutant }
    }
}

pub struct Memory {
    pub slots: HeapSlots,
    /// The daemon dies before it has written more words than this. It does
    /// not notice; what was written by then is in `left_behind`.
    pub writes_left: u64,
    pub left_behind: Option<HeapSlots>,
    pub mutant: Option<Mutant>,
}

impl SlotMemory for Memory {
    fn load(&self, index: u32) -> SlotWord {
        self.slots.load(index)
    }

    fn store(&mut self, index: u32, word: SlotWord) {
        if self.writes_left == 0 {
            self.left_behind.get_or_insert_with(|| self.slots.clone());
        }
        self.writes_left = self.writes_left.saturating_sub(1);
        let before = self.slots.load(index);
        let same_table = before.epoch() == word.epoch();
        let word = match self.mutant {
            Some(Mutant::SettledOverwritten) if same_table && before.store() && word.store() => {
                word.with_settled(before.current())
            }
            Some(Mutant::EqualMeansRest) if word.current() == word.settled() && !word.store() => {
                word.with_look_up(false)
            }
            _ => word,
        };
        self.slots.store(index, word);
    }

    fn last_failure(&self, index: u32) -> Option<u64> {
        self.slots.last_failure(index)
    }
}
