//! The tables of translated flows, read past the daemon.

use std::path::Path;

use aya::maps::{Array, Map, MapData};
use lb_common::abi::{NAT_WAYS, NatMeta};
use lb_test_lab::Lab;

/// Lines of flows that are not over, whether they are half of a flow or not.
pub fn living_flows(lab: &Lab) -> usize {
    let narrow = ["NARROW", "NARROW_NEW"].map(|name| living::<8>(lab, name));
    let wide = ["WIDE", "WIDE_NEW"].map(|name| living::<16>(lab, name));
    narrow.into_iter().chain(wide).sum()
}

/// In a table whose lines have so many words.
fn living<const WORDS: usize>(lab: &Lab, table: &str) -> usize
where
    [[u64; WORDS]; NAT_WAYS]: aya::Pod,
{
    let path = Path::new("/sys/fs/bpf/lb-daemon").join(&lab.name).join(table);
    let data = MapData::from_pin(&path).unwrap_or_else(|error| panic!("{table}: {error}"));
    let map = Map::Array(data);
    let buckets: Array<_, [[u64; WORDS]; NAT_WAYS]> = Array::try_from(&map).unwrap();
    let lives = |line: &[u64; WORDS]| {
        let meta = NatMeta(line[0]);
        meta.in_use() && !meta.state().is_over()
    };
    (0..buckets.len())
        .map(|index| buckets.get(&index, 0).unwrap().iter().filter(|line| lives(line)).count())
        .sum()
}
