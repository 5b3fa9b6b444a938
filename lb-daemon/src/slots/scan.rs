//! Scans of the flow table, which let slots rest and clear away entries.
//!
//! The caller begins a scan, has every entry judged, deletes what it is told
//! to, each at once and only if the entry is still the one that was judged,
//! and finishes the scan. A scan that could not be completed is dropped.

use lb_common::abi::FlowEntry;
use lb_common::transition::{Pressure, Scanned, Verdict, judge, may_rest};

use super::engine::Engine;
use super::memory::SlotMemory;
use super::service::{Active, Around, ServiceSlots};

/// A running scan.
#[derive(Debug)]
#[must_use = "a scan does nothing unless it is finished"]
pub struct Scan {
    pub(super) began: u64,
    pub(super) pressure: Pressure,
}

impl Scan {
    pub const fn began(&self) -> u64 {
        self.began
    }
}

/// Where a flow belongs: its service, and its slots there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub service_id: u16,
    pub slot: u32,
    /// In the previous table, if the service has one.
    pub old_slot: Option<u32>,
}

/// An entry that the scan has come to.
struct Found {
    place: Place,
    is_udp: bool,
    entry: FlowEntry,
    pressure: Pressure,
}

impl<M: SlotMemory> Engine<M> {
    pub fn begin_scan(&mut self, pressure: Pressure, now: u64) -> Scan {
        self.note_named_ids(now);
        for slots in self.services.values_mut() {
            slots.begin_scan();
        }
        Scan { began: now, pressure }
    }

    /// Whether to delete an entry, now and if it is still the same. `place`:
    /// `None` for a flow that no service has any more.
    pub fn judge(
        &mut self,
        scan: &Scan,
        place: Option<Place>,
        is_udp: bool,
        entry: FlowEntry,
        now: u64,
    ) -> bool {
        self.ids.entry_names(entry.owner.backend());
        let Some(place) = place else { return true };
        // Not adopted yet: its words may need the entry.
        let Some((slots, around)) = self.service(place.service_id, now) else { return false };
        let found = Found { place, is_udp, entry, pressure: scan.pressure };
        match slots.judge(&found, &around) {
            Verdict::Keep | Verdict::Hold => false,
            Verdict::Delete | Verdict::Relieve => true,
        }
    }

    /// Every entry has been judged.
    pub fn finish_scan(&mut self, scan: Scan, now: u64) {
        self.for_each_service(now, |_, slots, around| slots.finish_scan(scan.began, around));
        self.ids.finish_scan(scan.began, self.ticks_per_second as u64);
    }
}

impl ServiceSlots {
    fn begin_scan(&mut self) {
        for one in &mut self.active {
            one.held = false;
        }
    }

    fn judge<M: SlotMemory>(&mut self, found: &Found, around: &Around<'_, M>) -> Verdict {
        let Place { slot, old_slot, .. } = found.place;
        let old_word = match (self.old, old_slot) {
            (Some(old), Some(slot)) => Some(around.memory.load(old.table.base + slot)),
            _ => None,
        };
        let word = around.memory.load(self.index(slot));
        let mut at_rest = Active::new(slot, around.now);
        let one = match self.active.binary_search_by_key(&slot, |one| one.slot) {
            Ok(at) => &mut self.active[at],
            Err(_) => &mut at_rest,
        };
        let scanned = Scanned {
            entry: found.entry,
            is_udp: found.is_udp,
            word,
            written: one.written,
            old_word,
            service: &self.service,
            ticks_per_second: self.timing.second as u32,
            pressure: found.pressure,
        };
        let verdict = judge(&scanned, around.now);
        match verdict {
            Verdict::Hold => one.held = true,
            // Before the entry goes: the flow may have to be stored again.
            Verdict::Relieve => {
                one.base = around.now;
                one.until = around.now;
                self.next_deadline = around.now;
            }
            Verdict::Keep | Verdict::Delete => {}
        }
        verdict
    }

    /// Lets slots rest that a whole scan begun at `began` found clean.
    fn finish_scan<M: SlotMemory>(&mut self, began: u64, around: &mut Around<'_, M>) {
        let mut active = std::mem::take(&mut self.active);
        active.retain(|one| {
            let index = self.index(one.slot);
            let word = around.memory.load(index);
            match may_rest(word, one.written, began, &self.timing) {
                Some(rest) if !one.held => {
                    around.memory.store(index, rest);
                    false
                }
                _ => true,
            }
        });
        self.active = active;
        self.note_deadline();
    }
}
