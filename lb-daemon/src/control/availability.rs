//! Whether a service has as many healthy backends as it wants (`min_healthy`):
//! pure, for whoever tells routers where the VIP is served, and for people.
//!
//! Who gets new flows does not hang on this.

use super::selection::Candidate;
use crate::config::{InitialState, MinHealthy};

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Availability {
    /// Backends that are up and may get new flows, backups among them.
    pub healthy: u32,
    pub wanted: u32,
}

impl Availability {
    pub fn of(candidates: &[Candidate], initial: InitialState, wanted: MinHealthy) -> Self {
        let count = |which: &dyn Fn(&Candidate) -> bool| {
            let found = candidates.iter().filter(|one| which(one)).count();
            u32::try_from(found).unwrap_or(u32::MAX)
        };
        let pool = count(&|one| one.nominal > 0 && !one.backup);
        Self { healthy: count(&|one| one.is_up(initial)), wanted: wanted.of(pool) }
    }

    pub const fn is_up(self) -> bool {
        self.healthy >= self.wanted
    }

    /// What is so, in words.
    pub fn reason(self) -> String {
        let Self { healthy, wanted } = self;
        let of = match healthy {
            1 => "1 backend is healthy".to_owned(),
            _ => format!("{healthy} backends are healthy"),
        };
        format!("{of}, min_healthy is {wanted}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Percent, health::State};

    fn candidate(state: State, weight: u32, backup: bool) -> Candidate {
        Candidate { nominal: 1, weight, part: 100, state, cut: false, backup }
    }

    fn found(candidates: &[Candidate], wanted: MinHealthy) -> Availability {
        Availability::of(candidates, InitialState::Down, wanted)
    }

    #[test]
    fn drained_and_failing_ones_are_missing_and_backups_fill_in() {
        let pool = [
            candidate(State::Up, 1, false),
            candidate(State::Up, 0, false),
            candidate(State::Failing, 1, false),
            candidate(State::Unknown, 1, false),
        ];
        let half = MinHealthy::Share(Percent(50));
        let without = found(&pool, half);
        assert_eq!((without.healthy, without.wanted, without.is_up()), (1, 2, false));
        assert_eq!(without.reason(), "1 backend is healthy, min_healthy is 2");
        let with = [&pool[..], &[candidate(State::Up, 1, true)]].concat();
        let with = found(&with, half);
        assert_eq!((with.healthy, with.wanted, with.is_up()), (2, 2, true));
    }

    #[test]
    fn a_service_without_backends_is_down_unless_it_wants_none() {
        assert!(!found(&[], MinHealthy::Count(1)).is_up());
        assert!(found(&[], MinHealthy::Count(0)).is_up());
        assert!(!found(&[], MinHealthy::Share(Percent(50))).is_up());
    }
}
