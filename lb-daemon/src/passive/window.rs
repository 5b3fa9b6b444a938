//! What the last seconds of traffic say of one backend.

use std::{collections::VecDeque, fmt};

/// Seconds that count. Short, so that what was well before does not hide for long
/// what is not.
const SECONDS: usize = 10;

/// What the data path has counted for a backend, ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// SYNs that were sent to it.
    pub syns: u64,
    /// Connections whose SYN came again.
    pub unanswered: u64,
    /// SYNs that came again.
    pub repeats: u64,
    pub refused: u64,
    pub unreachable: u64,
}

/// A time's connections, and how many of them came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sample {
    pub connections: u64,
    pub unanswered: u64,
    pub refused: u64,
    pub unreachable: u64,
    /// One bit for each client network with such a connection.
    pub networks: u64,
}

impl Sample {
    /// What has been counted since `before`. Counters that were set back begin anew.
    fn between(before: &Counts, now: &Counts, networks: u64) -> Self {
        let grown = |of: fn(&Counts) -> u64| of(now).saturating_sub(of(before));
        Self {
            // A SYN that comes again begins no connection.
            connections: grown(|counts| counts.syns).saturating_sub(grown(|one| one.repeats)),
            unanswered: grown(|counts| counts.unanswered),
            refused: grown(|counts| counts.refused),
            unreachable: grown(|counts| counts.unreachable),
            networks,
        }
    }

    /// Connections that came to nothing.
    pub fn failed(&self) -> u64 {
        self.unanswered + self.refused + self.unreachable
    }

    /// Client networks that they came from, at least: two may share a bit.
    pub fn networks(&self) -> u32 {
        self.networks.count_ones()
    }

    /// Part of the connections that came to nothing.
    pub fn rate(&self) -> f64 {
        self.failed() as f64 / self.connections.max(1) as f64
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            connections: self.connections + other.connections,
            unanswered: self.unanswered + other.unanswered,
            refused: self.refused + other.refused,
            unreachable: self.unreachable + other.unreachable,
            networks: self.networks | other.networks,
        }
    }
}

/// As in "34 of 40 connections unanswered".
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = [
            (self.unanswered, "unanswered"),
            (self.refused, "refused"),
            (self.unreachable, "unreachable"),
        ];
        let found: Vec<_> = kinds.into_iter().filter(|(count, _)| *count > 0).collect();
        write!(f, "{} of {} connections", self.failed(), self.connections)?;
        match found.as_slice() {
            [] => f.write_str(" failed"),
            [(_, what)] => write!(f, " {what}"),
            many => {
                let words: Vec<_> =
                    many.iter().map(|(count, what)| format!("{count} {what}")).collect();
                write!(f, " failed ({})", words.join(", "))
            }
        }
    }
}

/// The last seconds.
#[derive(Clone, Debug, Default)]
pub struct Window {
    counted: Option<Counts>,
    seconds: VecDeque<Sample>,
}

impl Window {
    /// Takes in a second. The first only says where counting begins.
    pub fn note(&mut self, now: Counts, networks: u64) {
        if let Some(before) = self.counted.replace(now) {
            self.seconds.push_back(Sample::between(&before, &now, networks));
            if self.seconds.len() > SECONDS {
                self.seconds.pop_front();
            }
        }
    }

    /// What was is of another time.
    pub fn forget(&mut self) {
        self.seconds.clear();
    }

    pub fn sum(&self) -> Sample {
        self.seconds.iter().copied().fold(Sample::default(), Sample::plus)
    }

    pub fn last(&self) -> Sample {
        self.seconds.back().copied().unwrap_or_default()
    }

    pub fn seconds_with_failures(&self) -> usize {
        self.seconds.iter().filter(|second| second.failed() > 0).count()
    }

    pub fn seconds(&self) -> usize {
        self.seconds.len()
    }
}
