//! The tables of translated flows in plain memory.

use lb_common::abi::{NAT_WAYS, NarrowLine, NatLine, NatSettings, Pool, WideLine, map_names};
use lb_common::datapath::nat::NatTables;
use lb_common::nat::table::{Table, place};

use super::Host;

/// Names of their maps.
pub const TABLES: [&str; 4] =
    [map_names::NARROW, map_names::NARROW_NEW, map_names::WIDE, map_names::WIDE_NEW];

pub struct Memory<L> {
    buckets: Vec<[L; NAT_WAYS]>,
}

impl<L: Default> Memory<L> {
    fn new(mask: u32) -> Self {
        Self { buckets: (0..=mask).map(|_| Default::default()).collect() }
    }
}

impl<L: NatLine> Table for Memory<L> {
    type Line = L;

    fn mask(&self) -> u32 {
        self.buckets.len() as u32 - 1
    }

    fn bucket(&self, index: u32) -> Option<&[L; NAT_WAYS]> {
        self.buckets.get(index as usize)
    }

    fn line(&self, position: u32) -> Option<&L> {
        let (bucket, way) = place(position);
        self.bucket(bucket).map(|bucket| &bucket[way])
    }
}

pub struct Flows {
    narrow: Memory<NarrowLine>,
    narrow_new: Memory<NarrowLine>,
    wide: Memory<WideLine>,
    wide_new: Memory<WideLine>,
}

impl Flows {
    pub fn new(settings: &NatSettings) -> Self {
        Self {
            narrow: Memory::new(settings.narrow_mask),
            narrow_new: Memory::new(settings.narrow_new_mask),
            wide: Memory::new(settings.wide_mask),
            wide_new: Memory::new(settings.wide_new_mask),
        }
    }
}

impl NatTables for Host {
    type Narrow = Memory<NarrowLine>;
    type NarrowNew = Memory<NarrowLine>;
    type Wide = Memory<WideLine>;
    type WideNew = Memory<WideLine>;

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

    fn count_reply(&self, id: u16, bytes: usize) {
        let mut state = self.state.borrow_mut();
        let counters = state.counters.entry(id).or_default();
        counters.reply_packets += 1;
        counters.reply_bytes += bytes as u64;
    }
}
