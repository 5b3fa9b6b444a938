//! An array map as memory: the way the daemon writes big tables.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use anyhow::{Context, Result, bail};
use aya::maps::Map;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// All elements of a `BPF_F_MMAPABLE` array of `T`, whose size is a multiple
/// of 8, as the kernel lays elements out.
pub struct Mapped<T> {
    memory: NonNull<T>,
    count: usize,
    bytes: usize,
    marker: PhantomData<T>,
}

impl<T> Mapped<T> {
    const STRIDE: () = assert!(size_of::<T>().is_multiple_of(8));

    pub fn of(map: &Map, count: u32) -> Result<Self> {
        let () = Self::STRIDE;
        let Map::Array(data) = map else { bail!("not an array map: {map:?}") };
        let count = count as usize;
        let bytes = (count * size_of::<T>()).next_multiple_of(4096);
        let length = NonZeroUsize::new(bytes).context("an empty map")?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh mapping; the kernel refuses one longer than the map.
        let memory =
            unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, data.fd().as_fd(), 0) }
                .context("cannot map the array")?;
        Ok(Self { memory: memory.cast(), count, bytes, marker: PhantomData })
    }

    fn at(&self, index: u32) -> *mut T {
        assert!((index as usize) < self.count, "index {index} of {}", self.count);
        // SAFETY: the index lies in the mapping.
        unsafe { self.memory.as_ptr().add(index as usize) }
    }

    /// For elements that change through shared references only.
    pub fn reference(&self, index: u32) -> &T
    where
        T: Sync,
    {
        // SAFETY: `at` checked the index, and the mapping lives as long as `self`.
        unsafe { &*self.at(index) }
    }

    /// Sets every byte to 0.
    pub fn clear(&mut self) {
        // SAFETY: the whole mapping; programs use it only while run.
        unsafe { self.memory.as_ptr().cast::<u8>().write_bytes(0, self.bytes) }
    }
}

impl<T: Copy> Mapped<T> {
    pub fn get(&self, index: u32) -> T {
        // SAFETY: `at` checked the index; programs write it only while run.
        unsafe { self.at(index).read_volatile() }
    }

    pub fn set(&mut self, index: u32, value: T) {
        // SAFETY: as in `get`.
        unsafe { self.at(index).write_volatile(value) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `of`, whole.
        let result = unsafe { munmap(self.memory.cast(), self.bytes) };
        debug_assert!(result.is_ok());
    }
}
