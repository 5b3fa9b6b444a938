//! What the daemon does all the time where there are translated flows: a pass over
//! their tables every five seconds, which counts flows and finds those that have ended.

use std::net::Ipv4Addr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lb_common::abi::{NatBody, NatEntry, NatState};
use lb_common::hash::FlowWords;
use lb_common::nat::table::{Claim, NatHash, Table, Taking, publish};
use lb_daemon::dataplane::{Ticks, words_of};
use lb_daemon::loader::MapSizes;
use lb_daemon::nat::{Buckets, Directory, NatTables, Pass, Registry};

use crate::median;

pub const FLOWS: u32 = 1 << 20;
const NOW: u64 = 1 << 32;

/// Milliseconds of a pass, the median.
pub fn measure(runs: u32) -> Result<f64> {
    let narrow = MapSizes::buckets(FLOWS);
    let buckets = Buckets { narrow, narrow_new: MapSizes::new_flows(narrow), wide: 1, wide_new: 1 };
    let tables = NatTables::of_nothing(buckets)?;
    // A few find no room here and would stay in the table of new flows.
    let opened = (0..FLOWS).filter(|number| open(&tables, *number).is_some()).count() as u64;
    ensure!(opened > u64::from(FLOWS) / 100 * 99, "only {opened} of {FLOWS} flows found room");
    let ticks = Ticks::new(1000).context("a clock")?;
    let registry = Registry::new(tables, Directory::empty(ticks));
    let mut times = Vec::new();
    for _ in 0..runs {
        let (mut pass, begun) = (Pass::begin(&registry), Instant::now());
        while pass.slice(NOW, &mut |_| {}) {}
        times.push(begun.elapsed().as_secs_f64() * 1e3);
        let found = pass.finish().flows();
        ensure!(found >= opened, "{found} of {opened} flows were counted");
    }
    Ok(median(&mut times))
}

/// Both lines of a flow that lives on.
fn open(tables: &NatTables, number: u32) -> Option<()> {
    let ends = |source: Ipv4Addr, destination: [u8; 4], port: u16| {
        let [high, low] = port.to_be_bytes();
        FlowWords {
            source: words_of(source.into()),
            destination: words_of(destination.into()),
            ports: FlowWords::pack_ports([high, low, 0, 80], 6),
        }
    };
    let client = Ipv4Addr::from(0x0b00_0000 + number);
    let outside = ends(client, [192, 0, 2, 1], 40_000);
    // So many sources, each with so many ports.
    let inside = ends(
        Ipv4Addr::from(0x0a00_0000 + (number >> 14)),
        [10, 1, 0, 1],
        number as u16 & 0x3fff | 0x4000,
    );
    let entry = |to| NatEntry { to, backend: 5, service: 3, began: NOW, ..NatEntry::default() };
    for (key, to, reverse) in
        [(inside.reversed(), outside.reversed(), true), (outside, inside, false)]
    {
        let taking = Taking::expired(NOW, 0, false);
        let claim = tables.narrow.claim(&key, NatHash::of(&key, [0; 2]), taking);
        if matches!(claim, Claim::FULL | Claim::EXISTS) {
            return None;
        }
        let line = tables.narrow.line(claim.0)?;
        line.body.write(&key, &entry(to), reverse);
        publish(line, NatState::Established, NOW + 1000);
    }
    Some(())
}
