//! One pass over a table, by the daemon: what lives there, and an end to what
//! has expired.
//!
//! It takes nothing that a new flow could not take just as well, and by the same
//! compare-and-swap, so the data path may go on meanwhile, and need not wait for
//! a pass either.

use core::ops::Range;

use super::table::Table;
use crate::abi::{NAT_WAYS, NatEntry, NatLine, NatMeta};
use crate::hash::FlowWords;

/// A line, all of whose words belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    pub meta: NatMeta,
    pub key: FlowWords,
    pub entry: NatEntry,
    /// Of this direction alone.
    pub packets: u16,
    pub bytes: u64,
    /// The line of the backend's packets. Every flow and every tuple that rests
    /// has one; the other line goes when the flow ends.
    pub reverse: bool,
    /// It had expired, and this pass freed it.
    pub freed: bool,
}

/// What a pass found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Lines in use, expired or not, that were left as they are.
    pub live: u64,
    /// Lines that were given up.
    pub freed: u64,
    /// Reverse lines that have not expired, and so flows and resting tuples, by
    /// [`NatState`](crate::abi::NatState).
    pub by_state: [u64; 16],
}

impl Swept {
    /// Adds another pass.
    pub fn add(&mut self, other: &Self) {
        self.live += other.live;
        self.freed += other.freed;
        for (sum, more) in self.by_state.iter_mut().zip(other.by_state) {
            *sum += more;
        }
    }
}

/// Goes over these buckets of a table. `guard`: ticks after which an expired
/// line may be freed. A line that somebody changes meanwhile is left to the next
/// pass.
pub fn sweep<T: Table + ?Sized>(
    table: &T,
    buckets: Range<u32>,
    now: u64,
    guard: u64,
    mut visit: impl FnMut(&Seen),
) -> Swept {
    let mut swept = Swept::default();
    for bucket in buckets.map_while(|index| table.bucket(index)) {
        let bucket: &[T::Line; NAT_WAYS] = bucket;
        for line in bucket {
            let meta = NatMeta(line.meta().load());
            if !meta.in_use() {
                continue;
            }
            let mut seen = read(line, meta);
            if meta.expires() + guard < now {
                seen.freed = line.meta().exchange(meta.0, meta.freed().0);
                if seen.freed {
                    swept.freed += 1;
                    visit(&seen);
                }
                continue;
            }
            // Words that were read across a change of hands belong to nobody.
            if !NatMeta(line.meta().load()).is_same_use(meta) {
                continue;
            }
            swept.live += 1;
            if seen.reverse && meta.expires() >= now {
                swept.by_state[meta.state() as usize] += 1;
            }
            visit(&seen);
        }
    }
    swept
}

fn read<L: NatLine>(line: &L, meta: NatMeta) -> Seen {
    Seen {
        meta,
        key: line.key(),
        entry: line.entry(),
        packets: line.rest().packets(),
        bytes: line.rest().bytes(),
        reverse: line.rest().is_reverse(),
        freed: false,
    }
}
