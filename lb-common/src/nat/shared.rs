//! A word that several CPUs and the daemon change at the same time.
//!
//! The same memory is seen by the XDP program as a map element and by the
//! daemon as mapped memory; all change it through this type.

use core::cell::UnsafeCell;

/// An aligned u64 that is only read, written and exchanged as a whole.
#[derive(Default)]
#[repr(transparent)]
pub struct Shared(UnsafeCell<u64>);

// SAFETY: every access is volatile or atomic, of an aligned word.
unsafe impl Sync for Shared {}

impl Shared {
    pub const fn new(value: u64) -> Self {
        Self(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn load(&self) -> u64 {
        interleaving_point();
        imp::load(self.0.get())
    }

    /// For words that nobody else writes at the same time, or whose last
    /// writer may win.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        interleaving_point();
        imp::store(self.0.get(), value);
    }

    /// Writes `new` if the word is `old`; says whether it was. A full barrier.
    #[inline(always)]
    pub fn exchange(&self, old: u64, new: u64) -> bool {
        interleaving_point();
        imp::exchange(self.0.get(), old, new)
    }

    /// Adds; none is lost.
    #[inline(always)]
    pub fn add(&self, more: u64) {
        interleaving_point();
        imp::add(self.0.get(), more);
    }

    /// Sets bits; none is lost.
    #[inline(always)]
    pub fn set(&self, bits: u64) {
        interleaving_point();
        imp::set(self.0.get(), bits);
    }
}

#[cfg(not(target_arch = "bpf"))]
mod imp {
    use core::sync::atomic::{AtomicU64, Ordering};

    /// The word as the standard library's atomic.
    #[inline(always)]
    fn atomic<'a>(word: *mut u64) -> &'a AtomicU64 {
        // SAFETY: `word` is from an `UnsafeCell` whose reference the caller
        // holds: valid, aligned, and accessed in no other way.
        unsafe { AtomicU64::from_ptr(word) }
    }

    #[inline(always)]
    pub fn load(word: *mut u64) -> u64 {
        atomic(word).load(Ordering::Acquire)
    }

    #[inline(always)]
    pub fn store(word: *mut u64, value: u64) {
        atomic(word).store(value, Ordering::Release);
    }

    #[inline(always)]
    pub fn exchange(word: *mut u64, old: u64, new: u64) -> bool {
        atomic(word).compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    #[inline(always)]
    pub fn add(word: *mut u64, more: u64) {
        atomic(word).fetch_add(more, Ordering::Relaxed);
    }

    #[inline(always)]
    pub fn set(word: *mut u64, bits: u64) {
        atomic(word).fetch_or(bits, Ordering::Relaxed);
    }
}

/// The target has no atomic types; the intrinsics behind them it has.
#[cfg(target_arch = "bpf")]
mod imp {
    use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_or, atomic_xadd};

    const RELAXED: AtomicOrdering = AtomicOrdering::Relaxed;

    #[inline(always)]
    pub fn load(word: *mut u64) -> u64 {
        // SAFETY: see `Shared`.
        unsafe { word.read_volatile() }
    }

    #[inline(always)]
    pub fn store(word: *mut u64, value: u64) {
        // SAFETY: see `Shared`.
        unsafe { word.write_volatile(value) };
    }

    #[inline(always)]
    pub fn exchange(word: *mut u64, old: u64, new: u64) -> bool {
        const SEQUENTIAL: AtomicOrdering = AtomicOrdering::SeqCst;
        // SAFETY: see `Shared`.
        unsafe { atomic_cxchg::<u64, SEQUENTIAL, SEQUENTIAL>(word, old, new).1 }
    }

    #[inline(always)]
    pub fn add(word: *mut u64, more: u64) {
        // SAFETY: see `Shared`.
        unsafe { atomic_xadd::<u64, u64, RELAXED>(word, more) };
    }

    #[inline(always)]
    pub fn set(word: *mut u64, bits: u64) {
        // SAFETY: see `Shared`.
        unsafe { atomic_or::<u64, u64, RELAXED>(word, bits) };
    }
}

/// Where tests let another thread run.
#[cfg(not(test))]
#[inline(always)]
fn interleaving_point() {}

#[cfg(test)]
use super::interleave::point as interleaving_point;
