//! The unit of the data path's times.

use std::time::Duration;

/// Clock ticks (jiffies) per second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ticks {
    per_second: u32,
}

impl Ticks {
    /// What Linux can be built with on the machines we know.
    const RATES: [u32; 4] = [100, 250, 300, 1000];

    pub const fn per_second(self) -> u32 {
        self.per_second
    }

    /// `None` for a rate that no kernel has.
    pub fn new(per_second: u32) -> Option<Self> {
        Self::RATES.contains(&per_second).then_some(Self { per_second })
    }

    /// The nearest rate to `ticks` in `elapsed`.
    pub fn measured(ticks: u64, elapsed: Duration) -> Self {
        let rate = ticks as f64 / elapsed.as_secs_f64();
        let distance = |candidate: &u32| (f64::from(*candidate) - rate).abs();
        let nearest = Self::RATES.into_iter().min_by(|a, b| distance(a).total_cmp(&distance(b)));
        Self { per_second: nearest.expect("there are rates") }
    }

    /// Rounded up: nothing lives shorter than it was promised.
    pub fn of(self, duration: Duration) -> u64 {
        let ticks = (duration.as_nanos() * u128::from(self.per_second)).div_ceil(1_000_000_000);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    pub fn duration(self, ticks: u64) -> Duration {
        let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_rate_is_taken() {
        for (ticks, rate) in [(10, 100), (9, 100), (26, 250), (27, 250), (29, 300), (98, 1000)] {
            let measured = Ticks::measured(ticks, Duration::from_millis(100));
            assert_eq!(measured.per_second(), rate, "{ticks} ticks in 100 ms");
        }
    }

    #[test]
    fn durations_are_rounded_up_and_come_back() {
        let ticks = Ticks::new(250).unwrap();
        assert_eq!(ticks.of(Duration::from_millis(3500)), 875);
        assert_eq!(ticks.of(Duration::from_millis(1)), 1);
        assert_eq!(ticks.duration(875), Duration::from_millis(3500));
        assert_eq!(Ticks::new(0), None);
    }
}
