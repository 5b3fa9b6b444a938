//! One pass over a table, by the daemon: what lives there, and an end to what
//! has expired.
//!
//! It takes nothing that a new flow could not take just as well, and by the same
//! compare-and-swap, so the data path may go on meanwhile, and need not wait for
//! a pass either.

use core::ops::Range;

use super::table::{NatHash, Table};
use crate::abi::{NatBody, NatEntry, NatMeta};
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

/// What becomes of a line that has not expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Stays,
    /// It is of no use any more and is freed.
    Goes,
}

/// Goes over these buckets of a table. `guard`: ticks after which an expired
/// line may be freed. `visit` sees every line that is in use or was just freed,
/// and may send one away. A line that somebody changes meanwhile is left to the
/// next pass.
pub fn sweep<T: Table + ?Sized>(
    table: &T,
    buckets: Range<u32>,
    now: u64,
    guard: u64,
    mut visit: impl FnMut(&Seen) -> Fate,
) -> Swept {
    let mut swept = Swept::default();
    for bucket in buckets.map_while(|index| table.bucket(index)) {
        for (word, body) in bucket.metas.iter().zip(&bucket.bodies) {
            let meta = NatMeta(word.load());
            if !meta.in_use() {
                continue;
            }
            let mut seen = peek(body, meta);
            if meta.expires() + guard < now {
                seen.freed = word.exchange(meta.0, meta.freed().0);
                if seen.freed {
                    swept.freed += 1;
                    visit(&seen);
                }
                continue;
            }
            // Words that were read across a change of hands belong to nobody.
            if !NatMeta(word.load()).is_same_use(meta) {
                continue;
            }
            if visit(&seen) == Fate::Goes && word.exchange(meta.0, meta.freed().0) {
                swept.freed += 1;
                continue;
            }
            swept.live += 1;
            if seen.reverse && meta.expires() >= now {
                swept.by_state[meta.state() as usize] += 1;
            }
        }
    }
    swept
}

/// What a line says at the moment; whoever asks looks at its word again after.
pub fn peek<B: NatBody>(body: &B, meta: NatMeta) -> Seen {
    Seen {
        meta,
        key: body.key(),
        entry: body.entry(),
        packets: body.rest().packets(),
        bytes: body.rest().bytes(),
        reverse: body.rest().is_reverse(),
        freed: false,
    }
}

/// The line of `key` whose other line is that of `other`, also when it was
/// freed and nobody has taken its place yet.
pub fn trace<T: Table + ?Sized>(
    table: &T,
    key: &FlowWords,
    hash: NatHash,
    other: &FlowWords,
) -> Option<Seen> {
    let buckets = hash.buckets(table.buckets()).into_iter();
    let lines = buckets.filter_map(|index| table.bucket(index)).flat_map(|bucket| {
        bucket.metas.iter().map(|word| NatMeta(word.load())).zip(&bucket.bodies)
    });
    lines
        .filter(|(meta, body)| !meta.is_busy() && body.is(key) && body.to() == other.reversed())
        .map(|(meta, body)| peek(body, meta))
        .max_by_key(|seen| seen.meta.in_use())
}
