//! What each map must look like.
//!
//! aya reuses a pinned map of any type and size without a word, and a program
//! that reads values of another layout would forward packets to nowhere. So
//! what is pinned is compared first, and what was just created, too: a daemon
//! and an object from different builds do not go together either.

use std::fmt;

use aya::{
    EbpfLoader,
    maps::{MapInfo, MapType},
};
use lb_common::{
    abi::{
        Backend, BackendCounters, Budget, BudgetState, Evidence, FRAGMENTED_PACKETS, FlowEntry,
        FlowKey, FragmentKey, FragmentWay, Handoff, MAX_BACKENDS, MAX_POOLS, MAX_SERVICES,
        NAT_EVENT_BYTES, NAT_WAYS, NarrowBucket, NatSettings, PORT_BUCKETS, Peers, Pool,
        PortBucket, SLOTS_PER_FAIL_STAMP, SLOTS_PER_OWNERS, SYN_CELLS, Service, Settings, Totals,
        VIP_BUCKETS, VipBucket, WideBucket, map_names,
    },
    datapath::Next,
};

use super::tables::TABLES;
use crate::config::Limits;

/// Sizes that the configuration decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MapSizes {
    /// Slots of all services together.
    pub slots: u32,
    pub flows: u32,
    /// Translated flows, IPv4 on both sides and all others.
    pub nat_flows: u32,
    pub nat_flows_wide: u32,
}

impl MapSizes {
    pub const fn of(limits: &Limits) -> Self {
        Self {
            slots: limits.slot_space,
            flows: limits.flow_entries,
            nat_flows: limits.nat_flows,
            nat_flows_wide: limits.nat_flows_wide,
        }
    }

    /// Buckets of the tables of translated flows.
    pub const fn narrow(&self) -> u32 {
        buckets(self.nat_flows)
    }

    pub const fn wide(&self) -> u32 {
        buckets(self.nat_flows_wide)
    }

    /// Buckets for flows that only one end has confirmed, beside so many for
    /// the others.
    pub const fn new_flows(buckets: u32) -> u32 {
        match buckets / 8 {
            0 => 1,
            some => some,
        }
    }

    /// Buckets for so many flows of two lines each.
    pub const fn buckets(flows: u32) -> u32 {
        buckets(flows)
    }

    /// Flows that so many buckets are made for, at most.
    pub const fn flows_in(buckets: u32) -> u32 {
        ((buckets as u64 * 3 * NAT_WAYS as u64 + 2) / 8) as u32
    }

    /// The same with tables of so many buckets.
    pub const fn with_buckets(self, narrow: u32, wide: u32) -> Self {
        Self { nat_flows: Self::flows_in(narrow), nat_flows_wide: Self::flows_in(wide), ..self }
    }

    /// Whether the tables of translated flows are of the same size.
    pub const fn has_tables_of(&self, other: &Self) -> bool {
        self.narrow() == other.narrow() && self.wide() == other.wide()
    }

    /// Tells aya.
    pub(super) fn tell(&self, loader: &mut EbpfLoader<'_>) {
        loader.map_max_entries(map_names::SLOTS, self.slots);
        loader.map_max_entries(map_names::OWNERS, self.owners());
        loader.map_max_entries(map_names::INSERT_FAILED, self.fail_stamps());
        loader.map_max_entries(map_names::FLOWS, self.flows);
        loader.map_max_entries(map_names::NARROW, self.narrow());
        loader.map_max_entries(map_names::NARROW_NEW, Self::new_flows(self.narrow()));
        loader.map_max_entries(map_names::WIDE, self.wide());
        loader.map_max_entries(map_names::WIDE_NEW, Self::new_flows(self.wide()));
    }

    pub const fn fail_stamps(&self) -> u32 {
        self.slots.div_ceil(SLOTS_PER_FAIL_STAMP)
    }

    pub const fn owners(&self) -> u32 {
        self.slots.div_ceil(SLOTS_PER_OWNERS)
    }
}

/// Buckets for so many flows of two lines each, at most three quarters full.
const fn buckets(flows: u32) -> u32 {
    match (flows as u64 * 2 * 4 / 3).div_ceil(NAT_WAYS as u64) as u32 {
        0 => 1,
        some => some,
    }
}

/// The shape of a map, as the kernel tells it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Shape {
    pub kind: MapType,
    pub key_size: u32,
    pub value_size: u32,
    pub max_entries: u32,
    pub flags: u32,
}

impl From<&MapInfo> for Shape {
    fn from(info: &MapInfo) -> Self {
        Self {
            kind: info.map_type().unwrap_or(MapType::Unspecified),
            key_size: info.key_size(),
            value_size: info.value_size(),
            max_entries: info.max_entries(),
            flags: info.map_flags(),
        }
    }
}

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1;
/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1024;

/// Every pinned map and its shape.
pub(super) fn layout(sizes: MapSizes) -> [(&'static str, Shape); 25] {
    use map_names as name;
    [
        (name::SETTINGS, mapped::<Settings>(1)),
        (name::VIPS, mapped::<VipBucket>(VIP_BUCKETS)),
        (name::PORTS, mapped::<PortBucket>(PORT_BUCKETS)),
        (name::SERVICES, mapped::<Service>(MAX_SERVICES)),
        (name::SLOTS, mapped::<u64>(sizes.slots)),
        (name::OWNERS, mapped::<u64>(sizes.owners())),
        (name::INSERT_FAILED, mapped::<u64>(sizes.fail_stamps())),
        (name::BACKENDS, mapped::<Backend>(MAX_BACKENDS)),
        (name::FLOWS, shape::<FlowKey, FlowEntry>(MapType::Hash, sizes.flows, 0)),
        (name::TOTALS, per_cpu::<Totals>(1)),
        (name::BACKEND_STATS, per_cpu::<BackendCounters>(MAX_BACKENDS)),
        (name::BUDGETS, per_cpu::<BudgetState>(Budget::COUNT as u32)),
        (name::PROGRAMS, shape::<u32, u32>(MapType::ProgramArray, Next::COUNT as u32, 0)),
        (name::HANDOFF, per_cpu::<Handoff>(1)),
        (
            name::FRAGMENTS,
            shape::<FragmentKey, FragmentWay>(MapType::LruHash, FRAGMENTED_PACKETS, 0),
        ),
        (name::NAT_SETTINGS, mapped::<NatSettings>(1)),
        (
            name::NAT_EVENTS,
            Shape {
                kind: MapType::RingBuf,
                key_size: 0,
                value_size: 0,
                max_entries: NAT_EVENT_BYTES,
                flags: 0,
            },
        ),
        (name::POOLS, mapped::<Pool>(MAX_POOLS)),
        (name::NARROW, mapped::<NarrowBucket>(sizes.narrow())),
        (name::NARROW_NEW, mapped::<NarrowBucket>(MapSizes::new_flows(sizes.narrow()))),
        (name::WIDE, mapped::<WideBucket>(sizes.wide())),
        (name::WIDE_NEW, mapped::<WideBucket>(MapSizes::new_flows(sizes.wide()))),
        (name::SOCKET_PEERS, shape::<i32, Peers>(MapType::SkStorage, 0, NO_PREALLOC)),
        (name::EVIDENCE, mapped::<Evidence>(MAX_BACKENDS)),
        (name::SYN_SKETCH, shape::<u32, u64>(MapType::Array, SYN_CELLS, 0)),
    ]
}

const fn mapped<V>(max_entries: u32) -> Shape {
    shape::<u32, V>(MapType::Array, max_entries, MMAPABLE)
}

const fn per_cpu<V>(max_entries: u32) -> Shape {
    shape::<u32, V>(MapType::PerCpuArray, max_entries, 0)
}

const fn shape<K, V>(kind: MapType, max_entries: u32, flags: u32) -> Shape {
    let (key_size, value_size) = (size_of::<K>() as u32, size_of::<V>() as u32);
    Shape { kind, key_size, value_size, max_entries, flags }
}

/// What of a map the configuration decides.
const ENTRIES: &str = "number of entries";

/// One thing about a map that is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    pub map: String,
    pub what: &'static str,
    pub found: String,
    pub expected: String,
}

impl Difference {
    /// Tables of translated flows can be replaced when they are empty.
    pub(super) fn is_size_of_tables(&self) -> bool {
        self.what == ENTRIES && TABLES.contains(&self.map.as_str())
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, what, found, expected } = self;
        write!(f, "{map}: {what} is {found}, this version needs {expected}")
    }
}

/// Everything in which `found` is not `expected`.
pub(super) fn compare(map: &str, found: &Shape, expected: &Shape) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut note = |what, found: String, expected: String| {
        if found != expected {
            differences.push(Difference { map: map.to_owned(), what, found, expected });
        }
    };
    note("type", format!("{:?}", found.kind), format!("{:?}", expected.kind));
    note("key size", found.key_size.to_string(), expected.key_size.to_string());
    note("value size", found.value_size.to_string(), expected.value_size.to_string());
    note(ENTRIES, found.max_entries.to_string(), expected.max_entries.to_string());
    note("flags", format!("{:#x}", found.flags), format!("{:#x}", expected.flags));
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named_with_both_values() {
        let expected = mapped::<u64>(100);
        assert_eq!(compare("SLOTS", &expected, &expected), []);
        let found = Shape { max_entries: 50, flags: 0, ..expected };
        let said: Vec<_> =
            compare("SLOTS", &found, &expected).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "SLOTS: number of entries is 50, this version needs 100",
                "SLOTS: flags is 0x0, this version needs 0x400",
            ]
        );
    }

    #[test]
    fn tables_that_are_kept_are_described_by_flows_that_need_as_many_buckets() {
        let sizes = MapSizes { slots: 1, flows: 1, nat_flows: 0, nat_flows_wide: 0 };
        for buckets in (1..100).chain([1 << 16, 400_003, 1 << 28]) {
            let kept = sizes.with_buckets(buckets, buckets);
            assert_eq!((kept.narrow(), kept.wide()), (buckets, buckets));
        }
    }

    #[test]
    fn a_rest_of_slots_has_a_stamp_and_owners_too() {
        let sizes = MapSizes { slots: 65, flows: 1, nat_flows: 0, nat_flows_wide: 0 };
        assert_eq!((sizes.fail_stamps(), sizes.owners()), (2, 17));
    }
}
