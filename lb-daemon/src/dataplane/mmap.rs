//! An array map in this process's memory: reads and writes are loads and
//! stores, with no system call. Values are used as words of 64 bits, each
//! loaded and stored as a whole, since the data path reads them at any time.

use std::{
    io,
    marker::PhantomData,
    mem::MaybeUninit,
    num::NonZeroUsize,
    os::fd::AsFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use lb_common::abi::{
    Backend, EVIDENCE_LEN, NatSettings, Owners, Pool, PortBucket, PortEntry, Service, Settings,
    SlotWord, VipBucket, VipEntry,
};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// What may stand in a mapped array.
///
/// # Safety
/// Integers without padding: any bytes are a value, and all of a value's bytes
/// are initialised. Size and alignment are such that it is whole u64s.
pub unsafe trait Words: Copy {
    const COUNT: usize = {
        assert!(size_of::<Self>().is_multiple_of(8) && align_of::<Self>().is_multiple_of(8));
        size_of::<Self>() / 8
    };
}

macro_rules! words {
    ($($type:ty),*) => {
        $(
            // SAFETY: `repr(C)` or `repr(transparent)`, integers and arrays of
            // them, padding explicit; the count checks size and alignment.
            unsafe impl Words for $type {}
        )*
    };
}
words!(
    u64,
    Settings,
    VipBucket,
    VipEntry,
    PortBucket,
    PortEntry,
    Service,
    SlotWord,
    Owners,
    Backend,
    NatSettings,
    Pool,
    [u64; EVIDENCE_LEN]
);

/// All words of a value.
pub fn to_words<T: Words, const N: usize>(value: &T) -> [u64; N] {
    const { assert!(T::COUNT == N) };
    // SAFETY: `Words` promises N initialised u64s.
    unsafe { std::ptr::from_ref(value).cast::<[u64; N]>().read() }
}

#[derive(Debug)]
pub struct Mapped<T> {
    start: NonNull<AtomicU64>,
    bytes: NonZeroUsize,
    len: u32,
    kind: PhantomData<T>,
}

// SAFETY: the memory belongs to no thread, and is only used by atomic words.
unsafe impl<T> Send for Mapped<T> {}

impl<T: Words> Mapped<T> {
    /// Maps an array map of `len` values of type `T`, which the caller has
    /// compared with the map's own numbers.
    pub fn new(map: impl AsFd, len: u32) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(len as usize * size_of::<T>())
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(None, bytes, access, MapFlags::MAP_SHARED, map, 0) }?;
        Ok(Self { start: start.cast(), bytes, len, kind: PhantomData })
    }

    /// The words of one value.
    pub fn words(&self, index: u32) -> &[AtomicU64] {
        assert!(index < self.len, "index {index} of a map with {} entries", self.len);
        // SAFETY: within the mapping, which lives as long as `self`; pages are
        // aligned, values are whole words, and others use them atomically, too.
        unsafe {
            let first = self.start.add(index as usize * T::COUNT);
            std::slice::from_raw_parts(first.as_ptr(), T::COUNT)
        }
    }

    pub fn load(&self, index: u32) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        for (position, word) in self.words(index).iter().enumerate() {
            // SAFETY: `T` has as many words; each is written where it belongs.
            unsafe {
                value.as_mut_ptr().cast::<u64>().add(position).write(word.load(Ordering::Acquire))
            };
        }
        // SAFETY: every word is initialised, and any words are a value.
        unsafe { value.assume_init() }
    }

    /// Stores every word that differs, the first one last: it says whether the
    /// rest holds.
    pub fn store<const N: usize>(&mut self, index: u32, value: &T) {
        let new = to_words::<T, N>(value);
        let words = self.words(index);
        for (word, new) in words.iter().zip(new).skip(1) {
            if word.load(Ordering::Relaxed) != new {
                word.store(new, Ordering::Release);
            }
        }
        words[0].store(new[0], Ordering::Release);
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: our own mapping, and no reference into it outlives `self`.
        // Nothing can be done about a failure.
        let _ = unsafe { munmap(self.start.cast(), self.bytes.get()) };
    }
}
