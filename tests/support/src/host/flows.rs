//! The flow table in plain memory.

use std::collections::HashMap;

use lb_common::abi::{
    FlowEntry, FlowKey, FlowSeen, SLOTS_PER_FAIL_STAMP, SlotWord, backend_flags, service_flags,
};
use lb_common::datapath::{FlowContext, Tables};
use lb_common::hash::{FlowHash, FlowWords};
use lb_common::transition::{FlowTable, Insert};

use super::Host;

/// Entries, and how many there may be.
pub struct Flows {
    entries: HashMap<FlowKey, FlowEntry>,
    room: usize,
}

impl Flows {
    pub fn new(entries: HashMap<FlowKey, FlowEntry>, room: usize) -> Self {
        Self { entries, room }
    }

    pub fn get(&self, key: &FlowKey) -> Option<FlowEntry> {
        self.entries.get(key).copied()
    }

    pub fn keys(&self) -> Vec<FlowKey> {
        self.entries.keys().copied().collect()
    }

    pub fn remove(&mut self, key: &FlowKey) -> Option<FlowEntry> {
        self.entries.remove(key)
    }

    /// `false`: no room.
    pub fn put(&mut self, key: FlowKey, entry: FlowEntry) -> bool {
        if self.entries.len() >= self.room && !self.entries.contains_key(&key) {
            return false;
        }
        self.entries.insert(key, entry);
        true
    }
}

/// The table as one packet sees it.
pub struct HostFlow<'a> {
    host: &'a Host,
    words: &'a FlowWords,
    key: FlowKey,
    tag: u32,
    context: &'a FlowContext<'a>,
}

impl<'a> HostFlow<'a> {
    pub fn new(host: &'a Host, words: &'a FlowWords, context: &'a FlowContext<'a>) -> Self {
        Self { host, words, key: words.key(), tag: words.tag(), context }
    }

    fn group(&self) -> u32 {
        self.context.slot / SLOTS_PER_FAIL_STAMP
    }
}

impl FlowTable for HostFlow<'_> {
    fn tag(&self) -> u32 {
        self.tag
    }

    fn find(&mut self) -> Option<FlowEntry> {
        let mut state = self.host.state.borrow_mut();
        state.totals.looked_up += 1;
        state.flows.get(&self.key).filter(|entry| entry.owner.tag() == self.tag)
    }

    fn refresh(&mut self, seen: FlowSeen) {
        let mut state = self.host.state.borrow_mut();
        if let Some(entry) = state.flows.entries.get_mut(&self.key) {
            entry.seen = seen;
        }
    }

    fn insert(&mut self, entry: FlowEntry) -> Insert {
        let mut state = self.host.state.borrow_mut();
        if state.flows.entries.contains_key(&self.key) {
            return Insert::Exists;
        }
        if !state.flows.put(self.key, entry) {
            return Insert::Full;
        }
        state.totals.stored += 1;
        Insert::Done
    }

    fn overwrite(&mut self, entry: FlowEntry) -> bool {
        self.host.state.borrow_mut().flows.put(self.key, entry)
    }

    fn delete(&mut self) {
        self.host.state.borrow_mut().flows.entries.remove(&self.key);
    }

    fn note_failure(&mut self) {
        let now = self.host.now;
        let mut state = self.host.state.borrow_mut();
        state.totals.store_failed += 1;
        state.insert_failed.insert(self.group(), now);
    }

    fn last_failure(&mut self) -> Option<u64> {
        self.host.state.borrow().insert_failed.get(&self.group()).copied()
    }

    fn is_dead(&mut self, backend: u16) -> bool {
        self.host.backend(backend).is_none_or(|entry| entry.flags & backend_flags::DEAD != 0)
    }

    fn old_word(&mut self) -> Option<SlotWord> {
        let service = self.context.service;
        if service.flags & service_flags::HAS_OLD_TABLE == 0 {
            return None;
        }
        let table = &service.old_table;
        let hash = FlowHash::of(self.words, table.key);
        self.host.slot(table.base.wrapping_add(hash.slot(table.count)))
    }
}
