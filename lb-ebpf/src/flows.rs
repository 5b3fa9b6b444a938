//! The flow table, which only packets of slots in transition touch.
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "by value, keys and entries would be copied on a stack that has no room"
)]

use core::ptr;

use aya_ebpf::bindings::{BPF_ANY, BPF_NOEXIST};
use lb_common::abi::{
    FlowEntry, FlowKey, FlowSeen, SLOTS_PER_FAIL_STAMP, SlotWord, backend_flags, service_flags,
};
use lb_common::datapath::FlowContext;
use lb_common::hash::{FlowHash, FlowWords};
use lb_common::transition::{FlowTable, Insert};

use crate::maps;
use crate::tables::{now, slot_word};

const EEXIST: i32 = -17;

pub struct KernelFlow<'a> {
    words: &'a FlowWords,
    key: FlowKey,
    tag: u32,
    context: &'a FlowContext<'a>,
    found: *mut FlowEntry,
}

impl<'a> KernelFlow<'a> {
    #[inline(always)]
    pub fn new(words: &'a FlowWords, context: &'a FlowContext<'a>) -> Self {
        Self { words, key: words.key(), tag: words.tag(), context, found: ptr::null_mut() }
    }
}

impl FlowTable for KernelFlow<'_> {
    #[inline(always)]
    fn tag(&self) -> u32 {
        self.tag
    }

    #[inline(always)]
    fn find(&mut self) -> Option<FlowEntry> {
        if let Some(totals) = maps::TOTALS.get_ptr_mut(0) {
            // SAFETY: a per-CPU element; XDP programs are not preempted by each other.
            unsafe { (*totals).looked_up += 1 };
        }
        let found = maps::FLOWS.get_ptr_mut(&self.key)?;
        // SAFETY: elements are preallocated, so the memory stays; a recycled
        // element is told by its tag.
        let entry = unsafe { found.read_volatile() };
        if entry.owner.tag() != self.tag {
            return None;
        }
        self.found = found;
        Some(entry)
    }

    #[inline(always)]
    fn refresh(&mut self, seen: FlowSeen) {
        if self.found.is_null() {
            return;
        }
        // SAFETY: as in `find`; should the element be recycled between check
        // and store, another flow looks a little younger than it is.
        unsafe {
            if (*self.found).owner.tag() == self.tag {
                (&raw mut (*self.found).seen).write_volatile(seen);
            }
        }
    }

    #[inline(always)]
    fn insert(&mut self, entry: FlowEntry) -> Insert {
        match maps::FLOWS.insert(&self.key, &entry, BPF_NOEXIST as u64) {
            Ok(()) => {
                if let Some(totals) = maps::TOTALS.get_ptr_mut(0) {
                    // SAFETY: as in `find`.
                    unsafe { (*totals).stored += 1 };
                }
                Insert::Done
            }
            Err(EEXIST) => Insert::Exists,
            Err(_) => Insert::Full,
        }
    }

    #[inline(always)]
    fn overwrite(&mut self, entry: FlowEntry) -> bool {
        self.found = ptr::null_mut();
        maps::FLOWS.insert(&self.key, &entry, BPF_ANY as u64).is_ok()
    }

    #[inline(always)]
    fn delete(&mut self) {
        self.found = ptr::null_mut();
        // Gone already is as good.
        let _ = maps::FLOWS.remove(&self.key);
    }

    #[inline(always)]
    fn note_failure(&mut self) {
        if let Some(totals) = maps::TOTALS.get_ptr_mut(0) {
            // SAFETY: a per-CPU element; XDP programs are not preempted by each other.
            unsafe { (*totals).store_failed += 1 };
        }
        let group = self.context.slot / SLOTS_PER_FAIL_STAMP;
        if let Some(stamp) = maps::INSERT_FAILED.get_ptr_mut(group) {
            // SAFETY: an aligned store into a map element.
            unsafe { stamp.write_volatile(now()) };
        }
    }

    #[inline(always)]
    fn last_failure(&mut self) -> Option<u64> {
        let stamp = maps::INSERT_FAILED.get_ptr(self.context.slot / SLOTS_PER_FAIL_STAMP)?;
        // SAFETY: an aligned load from a map element.
        match unsafe { stamp.read_volatile() } {
            0 => None,
            at => Some(at),
        }
    }

    #[inline(always)]
    fn is_dead(&mut self, backend: u16) -> bool {
        match maps::BACKENDS.get(backend as u32) {
            Some(entry) => entry.flags & backend_flags::DEAD != 0,
            None => true,
        }
    }

    #[inline(always)]
    fn old_word(&mut self) -> Option<SlotWord> {
        let service = self.context.service;
        if service.flags & service_flags::HAS_OLD_TABLE == 0 {
            return None;
        }
        let table = &service.old_table;
        let hash = FlowHash::of(self.words, table.key);
        slot_word(table.base.wrapping_add(hash.slot(table.count)))
    }
}
