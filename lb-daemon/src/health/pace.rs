//! When a target's probes are due.
//!
//! Probes of many targets must not fall on the same instant: the first ones are
//! spread over a second (less if the interval is shorter), and every gap
//! varies by a tenth. The seed differs between processes, so balancers that share
//! a file do not probe in step.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::target::Target;

/// First probes are spread over at most this long.
const START_SPREAD: Duration = Duration::from_secs(1);

/// An endless sequence of gaps between probes.
pub struct Pace {
    interval: Duration,
    random: u64,
}

impl Pace {
    pub fn new(target: &Target) -> Self {
        Self { interval: target.interval, random: RandomState::new().hash_one(target) }
    }

    /// How long to wait before the first probe.
    pub fn start(&mut self) -> Duration {
        self.interval.min(START_SPREAD).mul_f64(self.fraction())
    }

    /// From one probe's due time to the next: the interval, give or take a tenth.
    pub fn gap(&mut self) -> Duration {
        self.interval.mul_f64(0.9 + 0.2 * self.fraction())
    }

    /// A number in 0..1 (the SplitMix64 generator).
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn starts_are_spread_evenly() {
        let mut buckets = [0; 10];
        for seed in 0..10_000u64 {
            let start = Pace { interval: INTERVAL, random: seed }.start();
            assert!(start < START_SPREAD);
            buckets[(start.as_millis() / 100) as usize] += 1;
        }
        assert!(buckets.iter().all(|n| (800..1200).contains(n)), "{buckets:?}");
    }

    #[test]
    fn a_short_interval_is_not_exceeded_by_the_start() {
        let interval = Duration::from_millis(100);
        for seed in 0..1000 {
            assert!(Pace { interval, random: seed }.start() < interval);
        }
    }

    #[test]
    fn gaps_vary_around_the_interval() {
        let mut pace = Pace { interval: INTERVAL, random: 1 };
        let gaps: Vec<_> = (0..1000).map(|_| pace.gap()).collect();
        assert!(gaps.iter().all(|g| *g >= INTERVAL.mul_f64(0.9) && *g <= INTERVAL.mul_f64(1.1)));
        let mean = gaps.iter().sum::<Duration>() / 1000;
        assert!(mean > INTERVAL.mul_f64(0.99) && mean < INTERVAL.mul_f64(1.01), "{mean:?}");
        assert_ne!(gaps[0], gaps[1]);
    }
}
