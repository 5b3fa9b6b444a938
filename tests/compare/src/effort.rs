//! How much is measured, and at which rates.

use std::time::Duration;

use crate::load::{Kind, Load, Pace};

pub struct Effort {
    /// Visits of each subject with a fixed rate.
    pub rounds: u32,
    /// In each, pairs of windows of each kind, one direct and one of the subject.
    pub pairs: u32,
    /// Visits with all that it can take.
    pub saturated_rounds: u32,
    pub window: Duration,
    pub saturated_window: Duration,
    pub warm_up: Duration,
}

/// On one CPU with everything else, the slowest subject keeps up with these.
pub const REQUESTS_PER_MILLISECOND: u32 = 5;
pub const CONNECTIONS_PER_MILLISECOND: u32 = 2;
/// Kept by the client of a fixed rate: enough that each backend surely gets some.
pub const KEPT: usize = 48;
/// A client of new connections has no more than this open at a time.
const OPEN: usize = 200;
/// Of all threads of the saturating client together.
pub const SATURATING: usize = 64;

impl Effort {
    pub fn full(rounds: u32) -> Self {
        Self {
            rounds,
            pairs: 2,
            saturated_rounds: rounds.div_ceil(2),
            // The kernel tells idle time in steps of 10 ms: half a percent of this.
            window: Duration::from_secs(2),
            saturated_window: Duration::from_secs(2),
            warm_up: Duration::from_millis(200),
        }
    }

    pub fn quick() -> Self {
        Self {
            rounds: 1,
            pairs: 1,
            saturated_rounds: 1,
            window: Duration::from_millis(150),
            saturated_window: Duration::from_millis(150),
            warm_up: Duration::from_millis(50),
        }
    }

    /// A window of this kind with a fixed rate; targets and CPU are filled in later.
    pub fn paced(&self, kind: Kind) -> Load {
        let (connections, rate) = match kind {
            Kind::Request => (KEPT, REQUESTS_PER_MILLISECOND),
            Kind::Connection => (OPEN, CONNECTIONS_PER_MILLISECOND),
        };
        self.load(kind, Pace::PerMillisecond(rate), connections, self.window)
    }

    pub fn saturating(&self, kind: Kind, threads: usize) -> Load {
        let connections = SATURATING.div_ceil(threads);
        self.load(kind, Pace::Saturate, connections, self.saturated_window)
    }

    fn load(&self, kind: Kind, pace: Pace, connections: usize, time: Duration) -> Load {
        Load { targets: Vec::new(), kind, pace, connections, warm_up: self.warm_up, time, cpu: 0 }
    }
}
