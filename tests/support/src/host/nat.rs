//! The tables of translated flows in plain memory.

use lb_common::abi::{
    Handoff, NarrowBody, NatBody, NatBucket, NatSettings, Pool, WideBody, map_names,
};
use lb_common::datapath::nat::NatTables;
use lb_common::nat::table::Table;

use super::Host;

/// Names of their maps.
pub const TABLES: [&str; 4] =
    [map_names::NARROW, map_names::NARROW_NEW, map_names::WIDE, map_names::WIDE_NEW];

pub struct Memory<B> {
    buckets: Vec<NatBucket<B>>,
}

impl<B: Default> Memory<B> {
    fn new(buckets: u32) -> Self {
        Self { buckets: (0..buckets).map(|_| Default::default()).collect() }
    }
}

impl<B: NatBody> Table for Memory<B> {
    type Body = B;

    fn buckets(&self) -> u32 {
        self.buckets.len() as u32
    }

    fn bucket(&self, index: u32) -> Option<&NatBucket<B>> {
        self.buckets.get(index as usize)
    }
}

pub struct Flows {
    narrow: Memory<NarrowBody>,
    narrow_new: Memory<NarrowBody>,
    wide: Memory<WideBody>,
    wide_new: Memory<WideBody>,
}

impl Flows {
    pub fn new(settings: &NatSettings) -> Self {
        Self {
            narrow: Memory::new(settings.narrow),
            narrow_new: Memory::new(settings.narrow_new),
            wide: Memory::new(settings.wide),
            wide_new: Memory::new(settings.wide_new),
        }
    }
}

impl NatTables for Host {
    type Narrow = Memory<NarrowBody>;
    type NarrowNew = Memory<NarrowBody>;
    type Wide = Memory<WideBody>;
    type WideNew = Memory<WideBody>;

    fn nat_settings(&self) -> Option<&NatSettings> {
        Some(&self.maps.nat_settings)
    }

    fn pool(&self, index: u32) -> Option<&Pool> {
        self.maps.pools.get(&index)
    }

    fn narrow(&self) -> &Self::Narrow {
        &self.nat.narrow
    }

    fn narrow_new(&self) -> &Self::NarrowNew {
        &self.nat.narrow_new
    }

    fn wide(&self) -> &Self::Wide {
        &self.nat.wide
    }

    fn wide_new(&self) -> &Self::WideNew {
        &self.nat.wide_new
    }

    /// Nobody waits for these to end.
    fn note_direct(&self, _service: u16) {}

    fn count_refused(&self, id: u16) {
        self.state.borrow_mut().counters.entry(id).or_default().refused += 1;
    }

    /// Nobody reads the log.
    fn log_begin(&self, _handoff: &Handoff) {}

    fn count_reply(&self, id: u16, bytes: usize) {
        let mut state = self.state.borrow_mut();
        let counters = state.counters.entry(id).or_default();
        counters.reply_packets += 1;
        counters.reply_bytes += bytes as u64;
    }
}
