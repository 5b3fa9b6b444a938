//! The tables of translated flows: memory-mapped arrays of buckets, each of
//! seven lines. A flow has two lines, one under the key of the client's packets
//! (forward) and one under the key of the backend's (reverse).
//!
//! A line is a word, `meta`, and a body. The words of a bucket stand together
//! in one cache line, so that looking for a key reads one, and another for the
//! body only where the key is. A line is claimed, changed and given up by
//! compare-and-swap on its word alone; see `nat::table`.

mod body;
mod entry;
mod handoff;
mod meta;
mod narrow;
mod pool;
mod wide;

pub use body::{NatBody, NatRest};
pub use entry::{NatEntry, NatHop, mac_of, mac_word};
pub use handoff::{Draft, Handoff, NAT_EVENT_BYTES, NatBegin};
pub use meta::{NatMeta, NatState};
pub use narrow::NarrowBody;
pub use pool::{MAX_POOLS, NatSettings, POOL_ADDRESSES, Pool};
pub use wide::WideBody;

use crate::nat::Shared;

/// Lines per bucket.
pub const NAT_WAYS: usize = 7;

/// A bucket: the lines' words, then their bodies.
#[derive(Default)]
#[repr(C, align(64))]
pub struct NatBucket<B> {
    /// See [`NatMeta`]; the only words that are exchanged.
    pub metas: [Shared; NAT_WAYS],
    reserved: u64,
    pub bodies: [B; NAT_WAYS],
}

/// One line of a bucket.
pub struct NatLine<'a, B> {
    /// See [`NatMeta`].
    pub meta: &'a Shared,
    pub body: &'a B,
}

impl<B> Clone for NatLine<'_, B> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for NatLine<'_, B> {}

pub type NarrowBucket = NatBucket<NarrowBody>;
pub type WideBucket = NatBucket<WideBody>;

const _: () = assert!(size_of::<NarrowBucket>() == 512);
const _: () = assert!(size_of::<WideBucket>() == 960);
