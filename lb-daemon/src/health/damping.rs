//! A target that goes down again and again has to prove itself longer each time.
//!
//! - The first two falls cost nothing: once is no pattern, and a restart or a
//!   deployment may well take two.
//! - From the third on, each fall doubles the successes in a row that bring it
//!   up, until those take [`LONGEST`].
//! - Whenever it has been up for [`FORGET`] without a break, the older half of
//!   its falls is forgotten. Time alone forgets nothing: one that falls every
//!   four minutes is not trusted more because it fell long ago as well.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Falls that cost nothing.
const FREE: usize = 2;
/// Falls remembered: more make no difference.
const MOST: usize = 16;
/// That successes in a row are asked for at most, unless `rise` of them take longer.
pub const LONGEST: Duration = Duration::from_secs(300);
/// Uninterrupted time up that half of the falls are forgotten for.
pub const FORGET: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
pub struct Damping {
    rise: u32,
    /// No more successes than these are ever needed.
    most: u32,
    falls: VecDeque<Instant>,
    up_since: Option<Instant>,
}

/// How often a target went down, and in what time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Falls {
    pub times: u32,
    pub within: Duration,
}

impl Damping {
    pub fn new(rise: u32, interval: Duration) -> Self {
        let probes = LONGEST.as_millis() / interval.as_millis().max(1);
        let most = u32::try_from(probes).unwrap_or(u32::MAX).max(rise);
        Self { rise, most, falls: VecDeque::new(), up_since: None }
    }

    pub fn rose(&mut self, now: Instant) {
        self.up_since = Some(now);
    }

    /// It was up.
    pub fn fell(&mut self, now: Instant) {
        let up = self.up_since.take().map_or(Duration::ZERO, |since| now - since);
        let mut forgiven = up.as_secs() / FORGET.as_secs();
        while forgiven > 0 && !self.falls.is_empty() {
            self.falls.drain(..self.falls.len().div_ceil(2));
            forgiven -= 1;
        }
        if self.falls.len() == MOST {
            self.falls.pop_front();
        }
        self.falls.push_back(now);
    }

    /// Successes in a row that bring it up.
    pub fn needed(&self) -> u32 {
        let costly = self.falls.len().saturating_sub(FREE) as u32;
        let needed = u64::from(self.rise) << costly;
        u32::try_from(needed).unwrap_or(u32::MAX).min(self.most)
    }

    /// Why more successes are needed than usual, if they are.
    pub fn falls(&self, now: Instant) -> Option<Falls> {
        let first = self.falls.front().filter(|_| self.needed() > self.rise)?;
        let times = u32::try_from(self.falls.len()).unwrap_or(u32::MAX);
        Some(Falls { times, within: now.saturating_duration_since(*first) })
    }
}

impl std::fmt::Display for Falls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { times, within } = self;
        match within.as_secs() {
            seconds @ 0..120 => write!(f, "it went down {times} times in {} s", seconds.max(1)),
            seconds => write!(f, "it went down {times} times in {} min", seconds / 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Falls, each after so many seconds up and with ten down behind it.
    fn after(ups: &[u64]) -> Damping {
        let (mut damping, mut now) = (Damping::new(2, SECOND), Instant::now());
        for up in ups {
            damping.rose(now);
            now += SECOND * u32::try_from(*up).unwrap();
            damping.fell(now);
            now += 10 * SECOND;
        }
        damping
    }

    #[test]
    fn two_falls_are_free_and_each_one_more_doubles() {
        let needed: Vec<_> = (0..14).map(|falls| after(&vec![60; falls]).needed()).collect();
        let expected = [2, 2, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300];
        assert_eq!(needed, expected);
    }

    #[test]
    fn five_minutes_up_forget_half_of_them() {
        let flapping = [10; 7];
        assert_eq!(after(&flapping).needed(), 64);
        assert_eq!(after(&[&flapping[..], &[299]].concat()).needed(), 128);
        assert_eq!(after(&[&flapping[..], &[300]].concat()).needed(), 8, "3 left, and this one");
        assert_eq!(after(&[&flapping[..], &[900]].concat()).needed(), 2);
    }

    #[test]
    fn probes_that_are_far_apart_are_needed_no_more_often() {
        let mut damping = Damping::new(2, Duration::from_secs(3600));
        (0..9).for_each(|_| damping.fell(Instant::now()));
        assert_eq!(damping.needed(), 2);
        assert_eq!(damping.falls(Instant::now()), None);
    }

    #[test]
    fn the_falls_are_told_with_their_time() {
        let (mut damping, start) = (Damping::new(2, SECOND), Instant::now());
        (0..3).for_each(|n| damping.fell(start + 20 * SECOND * n));
        let falls = |after| damping.falls(start + after).unwrap().to_string();
        assert_eq!(falls(45 * SECOND), "it went down 3 times in 45 s");
        assert_eq!(falls(190 * SECOND), "it went down 3 times in 3 min");
    }

    proptest! {
        #[test]
        fn what_is_needed_is_bounded_and_a_long_good_time_forgives_all(
            ups in prop::collection::vec(0u64..1000, 0..40),
            rise in 1u32..=100,
            interval in 100u64..3_600_000,
        ) {
            let mut damping = Damping::new(rise, Duration::from_millis(interval));
            let mut now = Instant::now();
            for up in ups {
                let before = damping.needed();
                damping.rose(now);
                now += Duration::from_secs(up);
                damping.fell(now);
                let needed = damping.needed();
                prop_assert!(needed >= rise);
                prop_assert!(
                    needed == rise || Duration::from_millis(interval) * needed <= LONGEST
                );
                prop_assert!(up >= FORGET.as_secs() || needed >= before, "no sooner than before");
            }
            damping.rose(now);
            damping.fell(now + 6 * FORGET);
            prop_assert_eq!(damping.needed(), rise);
        }
    }
}
