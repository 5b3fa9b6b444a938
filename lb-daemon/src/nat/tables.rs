//! The tables of translated flows in this process's memory.

use std::{fmt, io, num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

use lb_common::{
    abi::{NarrowBody, NatBody, NatBucket, NatMeta, WideBody, map_names},
    nat::table::Table,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

use crate::{
    dataplane::{OpenError, open_map},
    loader::PinDir,
};

/// One table: a mapped array of buckets.
pub struct Mapping<B> {
    start: NonNull<NatBucket<B>>,
    buckets: u32,
}

impl<B> fmt::Debug for Mapping<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} buckets", self.buckets)
    }
}

// SAFETY: the memory belongs to no thread, and all its words are `Shared`.
unsafe impl<B> Send for Mapping<B> {}
// SAFETY: as above.
unsafe impl<B> Sync for Mapping<B> {}

const ACCESS: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

impl<B: NatBody> Mapping<B> {
    /// Maps an array map of `buckets` values, whose size the loader has compared.
    fn of_map(map: impl AsFd, buckets: u32) -> io::Result<Self> {
        let bytes = Self::bytes(buckets)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(None, bytes, ACCESS, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self { start: start.cast(), buckets })
    }

    /// A table that no program sees.
    pub fn of_nothing(buckets: u32) -> io::Result<Self> {
        let bytes = Self::bytes(buckets)?;
        // SAFETY: as in `of_map`.
        let start = unsafe { mmap_anonymous(None, bytes, ACCESS, MapFlags::MAP_PRIVATE) }?;
        Ok(Self { start: start.cast(), buckets })
    }

    fn bytes(buckets: u32) -> io::Result<NonZeroUsize> {
        NonZeroUsize::new(buckets as usize * size_of::<NatBucket<B>>())
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

impl<B> Drop for Mapping<B> {
    fn drop(&mut self) {
        let bytes = self.buckets as usize * size_of::<NatBucket<B>>();
        // SAFETY: our own mapping, and no reference into it outlives `self`.
        // Nothing can be done about a failure.
        let _ = unsafe { munmap(self.start.cast(), bytes) };
    }
}

impl<B: NatBody> Table for Mapping<B> {
    type Body = B;

    fn buckets(&self) -> u32 {
        self.buckets
    }

    fn bucket(&self, index: u32) -> Option<&NatBucket<B>> {
        if index >= self.buckets {
            return None;
        }
        // SAFETY: within the mapping, which lives as long as `self`; pages are
        // aligned; any bytes are a bucket, whose words are all `Shared`.
        Some(unsafe { self.start.add(index as usize).as_ref() })
    }
}

/// Buckets of each table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buckets {
    pub narrow: u32,
    pub narrow_new: u32,
    pub wide: u32,
    pub wide_new: u32,
}

/// All four tables.
#[derive(Debug)]
pub struct NatTables {
    pub narrow: Mapping<NarrowBody>,
    pub narrow_new: Mapping<NarrowBody>,
    pub wide: Mapping<WideBody>,
    pub wide_new: Mapping<WideBody>,
}

impl NatTables {
    /// Opens the maps that the loader has compared and pinned.
    pub fn open(pins: &PinDir) -> Result<Self, OpenError> {
        Ok(Self {
            narrow: open(pins, map_names::NARROW)?,
            narrow_new: open(pins, map_names::NARROW_NEW)?,
            wide: open(pins, map_names::WIDE)?,
            wide_new: open(pins, map_names::WIDE_NEW)?,
        })
    }

    /// Tables that no program sees.
    pub fn of_nothing(buckets: Buckets) -> io::Result<Self> {
        Ok(Self {
            narrow: Mapping::of_nothing(buckets.narrow)?,
            narrow_new: Mapping::of_nothing(buckets.narrow_new)?,
            wide: Mapping::of_nothing(buckets.wide)?,
            wide_new: Mapping::of_nothing(buckets.wide_new)?,
        })
    }

    pub fn buckets(&self) -> Buckets {
        Buckets {
            narrow: self.narrow.buckets,
            narrow_new: self.narrow_new.buckets,
            wide: self.wide.buckets,
            wide_new: self.wide_new.buckets,
        }
    }

    /// Whether no flow lives and no tuple rests.
    pub fn is_empty(&self, now: u64) -> bool {
        has_ended(&self.narrow_new, now)
            && has_ended(&self.narrow, now)
            && has_ended(&self.wide_new, now)
            && has_ended(&self.wide, now)
    }
}

fn has_ended<B: NatBody>(table: &Mapping<B>, now: u64) -> bool {
    let buckets = (0..table.buckets).map_while(|index| table.bucket(index));
    let words = buckets.flat_map(|bucket| &bucket.metas).map(|word| NatMeta(word.load()));
    words.into_iter().all(|meta| meta.is_free() || meta.in_use() && meta.expires() < now)
}

fn open<B: NatBody>(pins: &PinDir, name: &str) -> Result<Mapping<B>, OpenError> {
    let (data, info) = open_map(pins, name)?;
    Mapping::of_map(data.fd(), info.max_entries())
        .map_err(|source| OpenError::Mmap { path: pins.map(name), source })
}
