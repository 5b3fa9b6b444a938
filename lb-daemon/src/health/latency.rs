//! How long a target's probes take.

use std::time::Duration;

/// Of successful probes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Latency {
    pub last: Duration,
    /// Each probe moves it by an eighth of the difference, as TCP smooths its
    /// round-trip time (RFC 6298).
    pub smoothed: Duration,
}

impl Latency {
    pub fn with(before: Option<Self>, last: Duration) -> Self {
        let smoothed = before.map_or(last, |before| (before.smoothed * 7 + last) / 8);
        Self { last, smoothed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_probe_moves_it_by_an_eighth() {
        let ms = Duration::from_millis;
        let first = Latency::with(None, ms(8));
        assert_eq!(first, Latency { last: ms(8), smoothed: ms(8) });
        let second = Latency::with(Some(first), ms(16));
        assert_eq!(second, Latency { last: ms(16), smoothed: ms(9) });
        let mut steady = second;
        for _ in 0..100 {
            steady = Latency::with(Some(steady), ms(16));
        }
        assert!(steady.smoothed > ms(15), "{steady:?}");
    }
}
