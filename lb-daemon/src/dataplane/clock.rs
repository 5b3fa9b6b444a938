//! The data path's clock, read from user space.
//!
//! The data path stamps times in jiffies, the cheapest clock there is in the
//! kernel, and user space has no call for it: a tiny XDP program returns the
//! low half as its verdict, through a test run. The high half is what fits the
//! time since boot.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};

use super::Ticks;
use crate::sys;

#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    #[error("the clock program cannot be run: {0}; is this kernel 5.15 or later?")]
    Run(#[source] io::Error),
    #[error("no monotonic clock: {0}")]
    Monotonic(#[from] nix::Error),
}

#[derive(Debug)]
pub struct Clock {
    program: OwnedFd,
    ticks: Ticks,
    last: u64,
}

/// Long enough to tell 250 ticks per second from 300.
const MEASURE: Duration = Duration::from_millis(120);

impl Clock {
    /// `known`: ticks per second, if measured since this machine's boot.
    pub fn new(program: OwnedFd, known: Option<Ticks>) -> Result<Self, ClockError> {
        let ticks = match known {
            Some(ticks) => ticks,
            None => measure(&program)?,
        };
        let low = low_half(&program)?;
        let since_boot = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC)?);
        let last = extend(expected(since_boot, ticks), low);
        Ok(Self { program, ticks, last })
    }

    /// What a clock says, roughly, before there is one; `None`: 0, by which
    /// nothing is over.
    pub fn estimate(ticks: Option<Ticks>) -> u64 {
        let since_boot = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        ticks.zip(since_boot.ok()).map_or(0, |(ticks, since_boot)| expected(since_boot, ticks))
    }

    /// Another one, for another thread.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { program: self.program.try_clone()?, ..*self })
    }

    pub fn ticks(&self) -> Ticks {
        self.ticks
    }

    pub fn now(&mut self) -> io::Result<u64> {
        let low = sys::test_run(self.program.as_fd())?;
        self.last = extend(self.last, low).max(self.last);
        Ok(self.last)
    }
}

fn low_half(program: &OwnedFd) -> Result<u32, ClockError> {
    sys::test_run(program.as_fd()).map_err(ClockError::Run)
}

fn measure(program: &OwnedFd) -> Result<Ticks, ClockError> {
    let (first, began) = (low_half(program)?, Instant::now());
    thread::sleep(MEASURE);
    let (last, elapsed) = (low_half(program)?, began.elapsed());
    Ok(Ticks::measured(u64::from(last.wrapping_sub(first)), elapsed))
}

/// Jiffies begin five minutes before 2^32, so that what cannot bear the low
/// half's wrap is found out soon after boot.
fn expected(since_boot: Duration, ticks: Ticks) -> u64 {
    (1 << 32) - 300 * u64::from(ticks.per_second()) + ticks.of(since_boot)
}

/// The number nearest to `near` whose low half is `low`.
fn extend(near: u64, low: u32) -> u64 {
    let ahead = low.wrapping_sub(near as u32) as i32;
    near.wrapping_add_signed(i64::from(ahead))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_half_follows_the_low_halfs_wrap() {
        assert_eq!(extend(0xffff_fffe, 0xffff_ffff), 0xffff_ffff);
        assert_eq!(extend(0xffff_fffe, 3), 0x1_0000_0003);
        assert_eq!(extend(0x1_0000_0003, 0xffff_fff0), 0xffff_fff0);
        assert_eq!(extend(0x7_0000_1000, 0x1010), 0x7_0000_1010);
    }

    #[test]
    fn jiffies_pass_two_to_the_32_five_minutes_after_boot() {
        let ticks = Ticks::new(100).unwrap();
        assert_eq!(expected(Duration::from_secs(300), ticks), 1 << 32);
    }
}
