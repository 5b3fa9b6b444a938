//! What the daemon does when a pool changes: a new Maglev table, and its way
//! into the mapped array.

use std::time::Instant;

use anyhow::Result;
use lb_common::abi::SlotWord;
use lb_common::maglev::{self, MAX_SIZE, Member, Scratch, Turns};

use crate::kernel::{Kernel, SLOT_SPACE};
use crate::median;
use crate::slot_maps::SlotMaps;

pub const BACKENDS: u16 = 1000;

/// Microseconds, medians.
pub struct Tables {
    pub build: f64,
    pub write: f64,
}

pub fn measure(kernel: &Kernel, runs: u32) -> Result<Tables> {
    let mut slots = SlotMaps::of(kernel)?;
    let first = SLOT_SPACE - MAX_SIZE;
    let mut table = vec![0; MAX_SIZE as usize];
    let mut turns = vec![Turns::default(); BACKENDS.into()];
    let mut calendar = vec![0; MAX_SIZE as usize];
    let members: Vec<Member> =
        (0..BACKENDS).map(|id| Member { id, weight: 1, identity: [0, id as u64] }).collect();
    let (mut builds, mut writes) = (Vec::new(), Vec::new());
    for seed in 0..runs as u64 {
        let mut scratch = Scratch { turns: &mut turns, calendar: &mut calendar };
        let start = Instant::now();
        maglev::build(&mut table, &members, seed, &mut scratch);
        builds.push(start.elapsed().as_nanos() as f64 / 1e3);
        let start = Instant::now();
        for (slot, owner) in (first..).zip(&table) {
            slots.set(slot, SlotWord::at_rest(*owner, 1));
        }
        writes.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    Ok(Tables { build: median(&mut builds), write: median(&mut writes) })
}
