//! The tables of translated flows, read past the daemon.

use std::path::Path;

use aya::maps::{Array, Map, MapData};
use lb_common::abi::{NAT_WAYS, NarrowBody, NatBucket, NatMeta, WideBody};
use lb_test_lab::Lab;

const NARROW_WORDS: usize = size_of::<NatBucket<NarrowBody>>() / 8;
const WIDE_WORDS: usize = size_of::<NatBucket<WideBody>>() / 8;

/// Lines of flows that are not over, whether they are half of a flow or not.
pub fn living_flows(lab: &Lab) -> usize {
    let narrow = ["NARROW", "NARROW_NEW"].map(|name| living::<NARROW_WORDS>(lab, name));
    let wide = ["WIDE", "WIDE_NEW"].map(|name| living::<WIDE_WORDS>(lab, name));
    narrow.into_iter().chain(wide).sum()
}

/// In a table whose buckets have so many words.
fn living<const WORDS: usize>(lab: &Lab, table: &str) -> usize {
    let path = Path::new("/sys/fs/bpf/lb-daemon").join(&lab.name).join(table);
    let data = MapData::from_pin(&path).unwrap_or_else(|error| panic!("{table}: {error}"));
    let map = Map::Array(data);
    let buckets: Array<_, [u64; WORDS]> = Array::try_from(&map).unwrap();
    let lives = |word: &u64| {
        let meta = NatMeta(*word);
        meta.in_use() && !meta.state().is_over()
    };
    (0..buckets.len())
        .map(|index| {
            buckets.get(&index, 0).unwrap()[..NAT_WAYS].iter().filter(|w| lives(w)).count()
        })
        .sum()
}
