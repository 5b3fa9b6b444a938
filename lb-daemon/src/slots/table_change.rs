//! Moving a service to a table of another size or seed.
//!
//! Every flow then asks another slot. The new table's slots start out saying
//! [`ASK_OLD`]: flows without an entry go where the previous table says, and
//! are stored. After arming, new flows go to the new owners; after `idle`
//! every live flow has an entry, nobody asks the previous table any more, and
//! it goes.
//!
//! The previous table is frozen meanwhile, but for backends that die.

use lb_common::abi::{ASK_OLD, NO_BACKEND, Service, SlotWord, Table, service_flags};
use lb_common::transition::{Health, without_dead};

use super::memory::SlotMemory;
use super::service::{Active, Around, ServiceSlots};

/// Why a table cannot be changed now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error(
        "the service is still moving its flows from the table before; try again when `stats` shows no slots in transition"
    )]
    Busy,
    #[error(
        "the flow table is full, and a new slot table needs room for all flows of the service; try again later or raise the number of flow entries"
    )]
    FlowTableFull,
}

/// A change that is complete: write `service`, and release `freed` after that.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FinishedChange {
    pub service_id: u16,
    pub service: Service,
    pub freed: Table,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OldTable {
    pub table: Table,
    /// Since when no word asks it.
    pub unasked_since: Option<u64>,
}

impl OldTable {
    pub fn new(table: Table) -> Self {
        Self { table, unasked_since: None }
    }

    pub fn words<'a, M: SlotMemory>(&self, memory: &'a M) -> impl Iterator<Item = SlotWord> + 'a {
        let table = self.table;
        (table.base..table.base + table.count).map(|index| memory.load(index))
    }

    /// Takes a dead backend out of the frozen words.
    pub fn bury<M: SlotMemory>(&self, dead: u16, desired: &[u16], memory: &mut M) {
        for slot in 0..self.table.count {
            let index = self.table.base + slot;
            let word = memory.load(index);
            let next = without_dead(word, dead, self.substitute(slot, dead, desired));
            if next != word {
                memory.store(index, next);
            }
        }
    }

    pub fn bury_the_dead<M: SlotMemory>(&self, desired: &[u16], around: &mut Around<'_, M>) {
        let named: std::collections::BTreeSet<u16> =
            self.words(around.memory).flat_map(|word| [word.current(), word.settled()]).collect();
        for id in named {
            if around.health_of(id) == Health::Dead {
                self.bury(id, desired, around.memory);
            }
        }
    }

    /// Who gets new flows of a dead backend until the new owners do: spread as
    /// the new table is.
    fn substitute(&self, slot: u32, dead: u16, desired: &[u16]) -> u16 {
        let at = slot as usize * desired.len() / self.table.count as usize;
        if desired[at] == dead { NO_BACKEND } else { desired[at] }
    }
}

impl ServiceSlots {
    /// Writes the words of the new table, which no packet sees yet, and
    /// returns the entry that makes them seen.
    pub fn prepare_table<M: SlotMemory>(
        &self,
        table: Table,
        owners: &[u16],
        around: &mut Around<'_, M>,
    ) -> Result<Service, Refusal> {
        assert_eq!(table.count as usize, owners.len(), "one owner per slot");
        if self.old.is_some() {
            return Err(Refusal::Busy);
        }
        if self.failed_lately(around) {
            return Err(Refusal::FlowTableFull);
        }
        let epoch = epoch_after(self.words(around.memory));
        // Where nobody gets new flows, entries may still name those who had some.
        let may_have_flows = |word: SlotWord| word.settled() != NO_BACKEND || word.look_up();
        let has_flows = !self.timing.stateless && self.words(around.memory).any(may_have_flows);
        for (index, &owner) in (table.base..).zip(owners) {
            let word = if has_flows {
                SlotWord::new(ASK_OLD, ASK_OLD, epoch, true, true)
            } else {
                SlotWord::at_rest(owner, epoch)
            };
            around.memory.store(index, word);
        }
        let mut service = Service { table, ..self.service };
        if has_flows {
            service.flags |= service_flags::HAS_OLD_TABLE;
            service.old_table = self.service.table;
        }
        Ok(service)
    }

    /// Packets see the new table since `around.now`.
    pub fn switch_table<M: SlotMemory>(
        &mut self,
        service: Service,
        owners: &[u16],
        around: &mut Around<'_, M>,
    ) {
        self.old = Some(OldTable::new(self.service.table));
        self.service = service;
        self.desired = owners.to_vec();
        self.active = if service.flags & service_flags::HAS_OLD_TABLE != 0 {
            (0..service.table.count).map(|slot| Active::new(slot, around.now)).collect()
        } else {
            vec![]
        };
        self.advance_all(around);
    }

    /// The change that is complete, once nobody has asked the previous table
    /// for a second.
    pub fn finish_table_change<M: SlotMemory>(
        &mut self,
        service_id: u16,
        memory: &M,
        now: u64,
    ) -> Option<FinishedChange> {
        let asked = self.asks_old(memory);
        let old = self.old.as_mut()?;
        if asked {
            return None;
        }
        let since = *old.unasked_since.get_or_insert(now);
        if now < since + self.timing.second {
            return None;
        }
        let freed = old.table;
        self.old = None;
        self.service.flags &= !service_flags::HAS_OLD_TABLE;
        self.service.old_table = Table::default();
        Some(FinishedChange { service_id, service: self.service, freed })
    }

    /// Whether an insert failed so lately that a copy of its SYN may come.
    fn failed_lately<M: SlotMemory>(&self, around: &Around<'_, M>) -> bool {
        (0..self.service.table.count)
            .filter_map(|slot| around.memory.last_failure(self.index(slot)))
            .any(|at| around.now < at + self.timing.arming.max(self.timing.second))
    }
}

/// An epoch that no entry made under these words has: epochs count up, so all
/// of them lie in one arc of the 16-bit circle, and the first one after it is
/// new.
fn epoch_after(words: impl Iterator<Item = SlotWord>) -> u16 {
    let mut used = vec![false; 1 << 16];
    for word in words {
        used[word.epoch() as usize] = true;
    }
    let mut longest = (0, 0);
    let mut gap = 0;
    // Twice around, for the gap that spans the zero.
    for at in 0..2 * used.len() {
        let epoch = at % used.len();
        gap = if used[epoch] { 0 } else { gap + 1 };
        if gap > longest.0 && gap <= used.len() {
            longest = (gap, epoch + used.len() + 1 - gap);
        }
    }
    longest.1 as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(epochs: &[u16]) -> u16 {
        epoch_after(epochs.iter().map(|&epoch| SlotWord::at_rest(0, epoch)))
    }

    #[test]
    fn the_new_epoch_follows_the_arc_of_the_old_ones() {
        assert_eq!(after(&[0]), 1);
        assert_eq!(after(&[3, 1, 7]), 8);
        assert_eq!(after(&[65_535]), 0);
        assert_eq!(after(&[65_530, 2]), 3);
        assert_eq!(after(&[100, 60_000]), 101);
    }
}
