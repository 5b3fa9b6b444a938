//! Passes over the tables, a slice at a time, in a thread of their own.
//!
//! Tables of new flows come first: a flow that moves during a pass is then seen
//! in one of the two.

use std::{
    io,
    sync::{Arc, Weak},
    thread,
    time::Duration,
};

use lb_common::{
    abi::NatBody,
    nat::{
        sweep::{Fate, Seen, sweep, trace},
        table::{NatHash, Table},
    },
};
use tracing::error;

use super::{Census, Directory, Mapping, NatTables, Registry};
use crate::dataplane::Clock;

/// Between two slices.
const PAUSE: Duration = Duration::from_millis(50);
/// Slices of a pass over large tables: five seconds.
const SLICES: u32 = 100;
/// Buckets that are not worth being divided.
const LEAST_SLICE: u32 = 512;
/// Between two passes over small tables.
const REST: Duration = Duration::from_millis(500);

/// A pass under way.
#[derive(Debug)]
pub struct Pass {
    tables: Arc<NatTables>,
    directory: Arc<Directory>,
    census: Census,
    /// Bucket to go on with, counted over all tables.
    next: u32,
}

/// A flow that is over, from both of its lines.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub reverse: Seen,
    /// `None`: another flow has taken its place already.
    pub forward: Option<Seen>,
}

impl Pass {
    pub fn begin(registry: &Registry) -> Self {
        let directory = registry.directory();
        let census = Census::begin(directory.version);
        Self { tables: registry.tables(), directory, census, next: 0 }
    }

    fn total(&self) -> u32 {
        let buckets = self.tables.buckets();
        buckets.narrow_new + buckets.narrow + buckets.wide_new + buckets.wide
    }

    /// Goes over the next buckets; says whether there are more.
    pub fn slice(&mut self, now: u64, ended: &mut impl FnMut(&Ended)) -> bool {
        let total = self.total();
        let end = total.min(self.next + (total / SLICES).max(LEAST_SLICE));
        let tables = self.tables.clone();
        let mut first = 0;
        first = self.part(&tables.narrow_new, first, end, now, ended);
        first = self.part(&tables.narrow, first, end, now, ended);
        first = self.part(&tables.wide_new, first, end, now, ended);
        self.part(&tables.wide, first, end, now, ended);
        self.next = end;
        end < total
    }

    /// The part of a slice that lies in a table whose first bucket has the
    /// number `first`; returns that of the next table.
    fn part<B: NatBody>(
        &mut self,
        table: &Mapping<B>,
        first: u32,
        end: u32,
        now: u64,
        ended: &mut impl FnMut(&Ended),
    ) -> u32 {
        let last = first + table.buckets();
        let from = self.next.clamp(first, last) - first;
        let to = end.clamp(first, last) - first;
        let (census, directory) = (&mut self.census, &*self.directory);
        let guard = directory.settings.guard.into();
        let swept = sweep(table, from..to, now, guard, |seen| {
            census.note(seen, directory);
            let gone = directory.gone.contains(&seen.entry.service);
            if seen.reverse && (seen.freed || gone) {
                ended(&Ended { reverse: *seen, forward: forward_of(table, seen, directory) });
            }
            if gone { Fate::Goes } else { Fate::Stays }
        });
        self.census.swept.add(&swept);
        last
    }

    pub fn finish(self) -> Census {
        self.census
    }
}

/// The other line of a flow, also of one that has ended.
pub fn forward_of<B: NatBody>(
    table: &Mapping<B>,
    reverse: &Seen,
    directory: &Directory,
) -> Option<Seen> {
    let key = reverse.entry.to.reversed();
    trace(table, &key, NatHash::of(&key, directory.settings.key), &reverse.key)
}

/// Sweeps for as long as `registry` is there.
pub fn start(
    registry: &Arc<Registry>,
    clock: Clock,
    ended: impl FnMut(&Ended) + Send + 'static,
) -> io::Result<()> {
    let registry = Arc::downgrade(registry);
    let thread = thread::Builder::new().name("nat-sweep".to_owned());
    thread.spawn(move || run(&registry, clock, ended)).map(drop)
}

fn run(registry: &Weak<Registry>, mut clock: Clock, mut ended: impl FnMut(&Ended)) {
    loop {
        let Some(pass) = registry.upgrade().map(|registry| Pass::begin(&registry)) else { return };
        match whole(pass, &mut clock, &mut ended) {
            Ok(census) => {
                let Some(registry) = registry.upgrade() else { return };
                registry.set_census(census);
            }
            Err(error) => {
                error!("the clock cannot be read: {error}; no translated flow is collected")
            }
        }
        thread::sleep(REST);
    }
}

fn whole(mut pass: Pass, clock: &mut Clock, ended: &mut impl FnMut(&Ended)) -> io::Result<Census> {
    while pass.slice(clock.now()?, ended) {
        thread::sleep(PAUSE);
    }
    Ok(pass.finish())
}
