//! The flow table of the small world: at most one entry.

use lb_common::abi::{FlowEntry, FlowOwner, FlowSeen, FlowState, SlotWord};
use lb_common::transition::{FlowTable, Insert, PacketKind};

use crate::mutants::Mutant;
use crate::state::{Entry, Flight, Mark, OLD, State};

/// The present: large enough that every age is a stamp before it.
pub const NOW: u64 = 1000;

const TAG: u32 = 7;

pub fn stamp(age: u8) -> u64 {
    NOW - age as u64
}

impl Entry {
    pub fn to_shared(self) -> FlowEntry {
        FlowEntry {
            owner: FlowOwner::new(self.owner, self.epoch, TAG),
            seen: FlowSeen::new(stamp(self.age), self.state),
        }
    }

    fn of_shared(entry: FlowEntry) -> Self {
        Self {
            owner: entry.owner.backend(),
            epoch: entry.owner.epoch(),
            state: entry.seen.state(),
            age: (NOW - entry.seen.ticks()) as u8,
        }
    }
}

/// The table during one packet's act.
pub struct OnePacket<'a> {
    pub state: &'a mut State,
    pub flight: Flight,
    pub insert_fails: bool,
    pub tried_to_insert: bool,
    pub mutant: Option<Mutant>,
}

impl OnePacket<'_> {
    fn set(&mut self, entry: Option<Entry>) {
        self.state.entry = entry;
        if self.state.mark == Mark::Unchanged {
            let unchecked = self.mutant == Some(Mutant::DeleteWithoutCheck);
            self.state.mark = if unchecked { Mark::Unchanged } else { Mark::None };
        }
    }
}

impl FlowTable for OnePacket<'_> {
    fn tag(&self) -> u32 {
        TAG
    }

    fn find(&mut self) -> Option<FlowEntry> {
        let mut entry = self.state.entry?;
        if self.mutant == Some(Mutant::NoEpoch) {
            entry.epoch = self.flight.word.epoch();
        }
        Some(entry.to_shared())
    }

    fn refresh(&mut self, seen: FlowSeen) {
        let entry = self.state.entry.expect("an entry that was found");
        let deleted =
            self.mutant == Some(Mutant::DeleteAtFin) && seen.state() == FlowState::Closing;
        let entry = (!deleted).then_some(Entry { state: seen.state(), age: 0, ..entry });
        self.set(entry);
    }

    fn insert(&mut self, entry: FlowEntry) -> Insert {
        assert!(self.flight.word.store(), "stored a flow although S = 0");
        self.tried_to_insert = true;
        if self.state.entry.is_some() {
            return Insert::Exists;
        }
        if self.insert_fails {
            let is_syn = self.flight.kind == PacketKind::Syn;
            if is_syn && self.mutant == Some(Mutant::FullTableSendsSynToCurrent) {
                self.note_failure();
                return Insert::Done;
            }
            return Insert::Full;
        }
        self.set(Some(Entry::of_shared(entry)));
        Insert::Done
    }

    fn overwrite(&mut self, entry: FlowEntry) -> bool {
        assert!(self.flight.word.store(), "stored a flow although S = 0");
        self.set(Some(Entry::of_shared(entry)));
        true
    }

    fn delete(&mut self) {
        self.set(None);
    }

    fn note_failure(&mut self) {
        if self.mutant != Some(Mutant::FailureNotNoted) {
            self.state.failed = 0;
        }
    }

    fn last_failure(&mut self) -> Option<u64> {
        (self.state.failed < OLD).then(|| stamp(self.state.failed))
    }

    fn is_dead(&mut self, backend: u16) -> bool {
        self.state.is_dead(backend)
    }

    fn old_word(&mut self) -> Option<SlotWord> {
        self.state.old_word
    }
}
