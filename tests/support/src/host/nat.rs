//! The tables of translated flows in plain memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use lb_common::abi::{
    FragmentKey, FragmentWay, Handoff, NarrowBody, NatBody, NatBucket, NatSettings, Pool, WideBody,
    map_names,
};
use lb_common::datapath::nat::NatTables;
use lb_common::hash::{FlowWords, is_v4};
use lb_common::nat::table::{NatHash, Table, Taking, is_taken};

use super::Host;

/// Names of their maps.
pub const TABLES: [&str; 4] =
    [map_names::NARROW, map_names::NARROW_NEW, map_names::WIDE, map_names::WIDE_NEW];

/// Says whether another table has a key.
type Elsewhere = Box<dyn Fn(&FlowWords, NatHash, Taking) -> bool + Send>;

pub struct Memory<B> {
    buckets: Arc<Vec<NatBucket<B>>>,
    elsewhere: Option<Elsewhere>,
}

impl<B: Default> Memory<B> {
    fn new(buckets: u32) -> Self {
        let buckets = (0..buckets).map(|_| Default::default()).collect();
        Self { buckets: Arc::new(buckets), elsewhere: None }
    }
}

impl<B> Memory<B> {
    /// The same table.
    fn share(&self) -> Self {
        Self { buckets: self.buckets.clone(), elsewhere: None }
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

    fn is_taken_elsewhere(&self, key: &FlowWords, hash: NatHash, taking: Taking) -> bool {
        self.elsewhere.as_ref().is_some_and(|elsewhere| elsewhere(key, hash, taking))
    }
}

/// Whether either table has the key, for the tables of the other kind of lines.
fn elsewhere<B: NatBody + Send + Sync + 'static>(
    main: &Memory<B>,
    new: &Memory<B>,
    mixed: bool,
) -> Elsewhere {
    let (main, new) = (main.share(), new.share());
    Box::new(move |key, hash, taking| {
        mixed
            && is_v4(key.source)
            && (is_taken(&main, key, hash, taking) || is_taken(&new, key, hash, taking))
    })
}

pub struct Flows {
    narrow: Memory<NarrowBody>,
    narrow_new: Memory<NarrowBody>,
    wide: Memory<WideBody>,
    wide_new: Memory<WideBody>,
    fragments: RefCell<HashMap<FragmentKey, FragmentWay>>,
}

impl Flows {
    pub fn new(settings: &NatSettings) -> Self {
        let mixed = settings.mixed != 0;
        let (narrow, wide) = (Memory::new(settings.narrow), Memory::new(settings.wide));
        let mut narrow_new = Memory::new(settings.narrow_new);
        let mut wide_new = Memory::new(settings.wide_new);
        narrow_new.elsewhere = Some(elsewhere(&wide, &wide_new, mixed));
        wide_new.elsewhere = Some(elsewhere(&narrow, &narrow_new, mixed));
        Self { narrow, narrow_new, wide, wide_new, fragments: RefCell::default() }
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

    fn fragment(&self, key: &FragmentKey) -> Option<&FragmentWay> {
        // Leaked: the trait's reference outlives the borrow of the map.
        let way = self.nat.fragments.borrow().get(key).copied()?;
        Some(Box::leak(Box::new(way)))
    }

    fn note_fragment(&self, key: &FragmentKey, way: &FragmentWay) {
        self.nat.fragments.borrow_mut().insert(*key, *way);
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
