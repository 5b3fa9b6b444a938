//! The slots of all services, in this process's memory.

use std::sync::atomic::Ordering;

use lb_common::abi::{
    Owners, SLOTS_PER_FAIL_STAMP, SLOTS_PER_OWNERS, SlotStore, SlotWord, map_names,
};

use super::{OpenError, kernel::open_mapped, mmap::Mapped};
use crate::{loader::PinDir, slots::SlotMemory};

#[derive(Debug)]
pub struct KernelSlots {
    words: Mapped<SlotWord>,
    owners: Mapped<Owners>,
    insert_failed: Mapped<u64>,
}

impl KernelSlots {
    pub fn open(pins: &PinDir) -> Result<Self, OpenError> {
        Ok(Self {
            words: open_mapped(pins, map_names::SLOTS)?,
            owners: open_mapped(pins, map_names::OWNERS)?,
            insert_failed: open_mapped(pins, map_names::INSERT_FAILED)?,
        })
    }
}

impl SlotMemory for KernelSlots {
    fn load(&self, index: u32) -> SlotWord {
        self.words.load(index)
    }

    fn store(&mut self, index: u32, word: SlotWord) {
        let owners = &self.owners.words(index / SLOTS_PER_OWNERS)[0];
        let shown = Owners(owners.load(Ordering::Relaxed)).of(index);
        word.replace(shown, |store| match store {
            SlotStore::Word(word) => {
                self.words.words(index)[0].store(word.0, Ordering::Release);
            }
            SlotStore::Owner(owner) => {
                // Nobody else writes: a load and a store do.
                let others = Owners(owners.load(Ordering::Relaxed));
                owners.store(others.with(index, owner).0, Ordering::Release);
            }
        });
    }

    fn last_failure(&self, index: u32) -> Option<u64> {
        Some(self.insert_failed.load(index / SLOTS_PER_FAIL_STAMP)).filter(|ticks| *ticks != 0)
    }
}
