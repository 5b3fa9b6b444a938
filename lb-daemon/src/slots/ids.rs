//! When a backend's id may be given to another backend: no slot names it, and
//! a later whole scan of the flow table found no entry that does.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Retired {
    /// Since when no slot names it.
    unnamed_since: Option<u64>,
    /// The running scan has found an entry that names it.
    found: bool,
}

#[derive(Debug, Default)]
pub(super) struct RetiredIds {
    waiting: BTreeMap<u16, Retired>,
    free: Vec<u16>,
}

impl RetiredIds {
    pub fn retire(&mut self, id: u16) {
        self.waiting.entry(id).or_default();
    }

    pub fn recall(&mut self, id: u16) {
        self.waiting.remove(&id);
        self.free.retain(|free| *free != id);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn begin_scan(&mut self, is_named: impl Fn(u16) -> bool, now: u64) {
        for (&id, retired) in &mut self.waiting {
            retired.found = false;
            if is_named(id) {
                retired.unnamed_since = None;
            } else {
                retired.unnamed_since.get_or_insert(now);
            }
        }
    }

    pub fn entry_names(&mut self, id: u16) {
        if let Some(retired) = self.waiting.get_mut(&id) {
            retired.found = true;
        }
    }

    /// A packet may still act on a word for a second after it was written, so
    /// the scan that counts begins later.
    pub fn finish_scan(&mut self, began: u64, second: u64) {
        let free = &mut self.free;
        self.waiting.retain(|&id, retired| {
            let unnamed = retired.unnamed_since.is_some_and(|since| began >= since + second);
            let clean = unnamed && !retired.found;
            if clean {
                free.push(id);
            }
            !clean
        });
    }

    pub fn take_free(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.free)
    }
}
