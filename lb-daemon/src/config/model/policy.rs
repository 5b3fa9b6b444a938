//! What a service does when too few of its backends are up.

use std::fmt;

use serde::{Serialize, Serializer};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct PoolPolicy {
    pub on_all_down: OnAllDown,
    /// Backups are used while the others that are up have less of the others'
    /// weight than this. 0: when none of the others is up.
    #[serde(skip_serializing_if = "Percent::is_none")]
    pub backup_below: Percent,
    /// With fewer, the service is reported down.
    pub min_healthy: MinHealthy,
}

/// What becomes of new flows when no backend is up, backups among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnAllDown {
    /// To all but the backups, as if all were up.
    FailOpen,
    /// They are refused; flows that exist stay.
    Reject,
    /// To the backups, as if those were up.
    Backup,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Percent(pub u8);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MinHealthy {
    Count(u32),
    /// Of the backends that are no backups, rounded up; one at least.
    Share(Percent),
}

impl Percent {
    pub const NONE: Self = Self(0);

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
    const fn is_none(&self) -> bool {
        self.0 == 0
    }

    /// Whether `part` of `whole` is less than this.
    pub const fn is_above(self, part: u64, whole: u64) -> bool {
        part * 100 < whole * self.0 as u64
    }
}

impl MinHealthy {
    /// How many of a pool with so many that are no backups.
    pub const fn of(self, pool: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Share(Percent::NONE) => 0,
            Self::Share(Percent(share)) => match (pool * share as u32).div_ceil(100) {
                0 => 1,
                some => some,
            },
        }
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl fmt::Display for MinHealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Share(share) => share.fmt(f),
        }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for MinHealthy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => count.serialize(serializer),
            Self::Share(share) => share.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_pool_is_rounded_up() {
        let half = MinHealthy::Share(Percent(50));
        assert_eq!([0, 1, 2, 3, 4].map(|pool| half.of(pool)), [1, 1, 1, 2, 2]);
        assert_eq!(MinHealthy::Share(Percent::NONE).of(7), 0);
        assert_eq!(MinHealthy::Share(Percent(100)).of(7), 7);
        assert_eq!(MinHealthy::Share(Percent(1)).of(7), 1);
        assert_eq!(MinHealthy::Count(3).of(1), 3);
    }

    #[test]
    fn below_a_share_means_less_than_it() {
        assert!(!Percent(50).is_above(5, 10));
        assert!(Percent(50).is_above(4, 10));
        assert!(!Percent(0).is_above(0, 10));
        assert!(Percent(100).is_above(9, 10));
    }
}
