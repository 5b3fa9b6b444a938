//! A table in plain memory.

use crate::abi::{NarrowBody, NarrowBucket, NatMeta};
use crate::nat::sweep::{Seen, peek};
use crate::nat::table::Table;

pub struct Memory(Vec<NarrowBucket>);

impl Memory {
    pub fn new(buckets: u32) -> Self {
        Self((0..buckets).map(|_| NarrowBucket::default()).collect())
    }

    /// Every line that is not free, while nobody changes the table.
    pub fn lines(&self) -> Vec<Seen> {
        let lines = self.0.iter().flat_map(|bucket| bucket.metas.iter().zip(&bucket.bodies));
        let used = lines.map(|(meta, body)| (NatMeta(meta.load()), body));
        used.filter(|(meta, _)| !meta.is_free()).map(|(meta, body)| peek(body, meta)).collect()
    }
}

impl Table for Memory {
    type Body = NarrowBody;

    fn buckets(&self) -> u32 {
        self.0.len() as u32
    }

    fn bucket(&self, index: u32) -> Option<&NarrowBucket> {
        self.0.get(index as usize)
    }
}
