//! A flow table in plain memory, as one packet sees it.

use std::collections::BTreeMap;

use lb_common::abi::{FlowEntry, FlowSeen, FlowState, NO_BACKEND, SlotWord};
use lb_common::transition::{FlowTable, Insert, PacketKind};
use lb_daemon::slots::SlotMemory;

use crate::memory::Memory;
use crate::mutants::Mutant;

pub struct OnePacket<'a> {
    pub flows: &'a mut BTreeMap<u64, FlowEntry>,
    pub capacity: usize,
    pub memory: &'a mut Memory,
    pub dead: &'a [bool],
    pub tuple: u64,
    /// The tuple's slots, by their place in the slot space.
    pub index: u32,
    pub old_index: Option<u32>,
    pub word: SlotWord,
    pub kind: PacketKind,
    pub now: u64,
    pub mutant: Option<Mutant>,
}

impl FlowTable for OnePacket<'_> {
    fn tag(&self) -> u32 {
        self.tuple as u32
    }

    fn find(&mut self) -> Option<FlowEntry> {
        let mut entry = *self.flows.get(&self.tuple)?;
        if self.mutant == Some(Mutant::NoEpoch) {
            entry.owner.0 = entry.owner.0 & !0xffff_0000 | (self.word.epoch() as u64) << 16;
        }
        Some(entry)
    }

    fn refresh(&mut self, seen: FlowSeen) {
        if self.mutant == Some(Mutant::DeleteAtFin) && seen.state() == FlowState::Closing {
            self.delete();
        } else if let Some(entry) = self.flows.get_mut(&self.tuple) {
            entry.seen = seen;
        }
    }

    fn insert(&mut self, entry: FlowEntry) -> Insert {
        assert!(self.word.store(), "stored a flow although S = 0");
        if self.flows.contains_key(&self.tuple) {
            return Insert::Exists;
        }
        if self.flows.len() >= self.capacity {
            let is_syn = self.kind == PacketKind::Syn;
            if self.mutant == Some(Mutant::LruTable) {
                let oldest = self.flows.iter().min_by_key(|(_, entry)| entry.seen.ticks());
                let oldest = *oldest.expect("a full table has entries").0;
                self.flows.remove(&oldest);
            } else if is_syn && self.mutant == Some(Mutant::FullTableSendsSynToCurrent) {
                self.note_failure();
                return Insert::Done;
            } else {
                return Insert::Full;
            }
        }
        self.flows.insert(self.tuple, entry);
        Insert::Done
    }

    fn overwrite(&mut self, entry: FlowEntry) -> bool {
        assert!(self.word.store(), "stored a flow although S = 0");
        self.flows.insert(self.tuple, entry);
        true
    }

    fn delete(&mut self) {
        self.flows.remove(&self.tuple);
    }

    fn note_failure(&mut self) {
        self.memory.slots.note_failure(self.index, self.now);
    }

    fn last_failure(&mut self) -> Option<u64> {
        self.memory.last_failure(self.index)
    }

    fn is_dead(&mut self, backend: u16) -> bool {
        backend == NO_BACKEND || self.dead[backend as usize]
    }

    fn old_word(&mut self) -> Option<SlotWord> {
        let word = self.memory.load(self.old_index?);
        if self.mutant == Some(Mutant::OldTableForgotten) {
            return Some(word.with_look_up(false));
        }
        Some(word)
    }
}
