//! The slots in the maps: their words, and the owners that packets read first.

use anyhow::Result;
use lb_common::abi::{Owners, SLOTS_PER_OWNERS, SlotStore, SlotWord, map_names};

use crate::kernel::{Kernel, SLOT_SPACE};
use crate::mapped::Mapped;

pub struct SlotMaps {
    words: Mapped<u64>,
    owners: Mapped<u64>,
}

impl SlotMaps {
    pub fn of(kernel: &Kernel) -> Result<Self> {
        let owners = SLOT_SPACE / SLOTS_PER_OWNERS;
        Ok(Self {
            words: Mapped::of(kernel.map(map_names::SLOTS)?, SLOT_SPACE)?,
            owners: Mapped::of(kernel.map(map_names::OWNERS)?, owners)?,
        })
    }

    pub fn get(&self, slot: u32) -> SlotWord {
        SlotWord(self.words.get(slot))
    }

    /// With the stores that the daemon makes.
    pub fn set(&mut self, slot: u32, word: SlotWord) {
        let index = slot / SLOTS_PER_OWNERS;
        let shown = Owners(self.owners.get(index)).of(slot);
        word.replace(shown, |store| match store {
            SlotStore::Word(word) => self.words.set(slot, word.0),
            SlotStore::Owner(owner) => {
                let others = Owners(self.owners.get(index));
                self.owners.set(index, others.with(slot, owner).0);
            }
        });
    }
}
