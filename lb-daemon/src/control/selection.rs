//! Which backends of a service get new flows, and which keep theirs.
//!
//! When no backend is up, all of them are taken as up (*fail open*): a service
//! that answers some of its clients is better than one that answers none, and
//! probes that fail everywhere more often prove a broken probe than a broken pool.

use lb_common::transition::Health;

use crate::{config::InitialState, health::State};

/// One backend, as the selection sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    pub weight: u32,
    /// Per cent of its weight that it has by now.
    pub part: u32,
    pub state: State,
    /// It is taken out, and what is left of its flows counts as a dead one's.
    pub cut: bool,
}

impl Candidate {
    pub fn is_up(&self, initial: InitialState) -> bool {
        self.weight > 0 && health_of(self.state, initial) == Health::Up
    }
}

/// What a backend gets of new flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    /// That counts now. 0: no new flows.
    pub weight: u32,
    /// Per cent of it that it has by now.
    pub part: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// One per candidate.
    pub shares: Vec<Share>,
    /// What the data path and the slots are told.
    pub health: Vec<Health>,
    pub fail_open: bool,
}

pub fn select(candidates: &[Candidate], initial: InitialState) -> Selection {
    let up = candidates.iter().any(|one| one.is_up(initial));
    let fail_open = !up && candidates.iter().any(|one| one.weight > 0);
    let health = |one: &Candidate| match (one.cut, fail_open) {
        (true, _) => Health::Dead,
        (false, true) => Health::Up,
        (false, false) => health_of(one.state, initial),
    };
    let health: Vec<_> = candidates.iter().map(health).collect();
    let share = |(one, health): (&Candidate, &Health)| {
        let weight = if *health == Health::Up { one.weight } else { 0 };
        Share { weight, part: one.part }
    };
    let shares = candidates.iter().zip(&health).map(share).collect();
    Selection { shares, health, fail_open }
}

fn health_of(state: State, initial: InitialState) -> Health {
    match (state, initial) {
        (State::Up, _) | (State::Unknown, InitialState::Up) => Health::Up,
        (State::Failing, _) | (State::Unknown, InitialState::Down) => Health::Failing,
        (State::Dead, _) => Health::Dead,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(candidates: &[(u32, State)], initial: InitialState) -> Selection {
        let candidates: Vec<_> = candidates
            .iter()
            .map(|&(weight, state)| Candidate { weight, part: 100, state, cut: false })
            .collect();
        select(&candidates, initial)
    }

    fn weights(selection: &Selection) -> Vec<u32> {
        selection.shares.iter().map(|share| share.weight).collect()
    }

    #[test]
    fn only_those_that_are_up_get_new_flows() {
        use State::*;
        let found =
            selection(&[(2, Up), (1, Failing), (1, Dead), (0, Up), (3, Unknown)], InitialState::Up);
        assert_eq!(weights(&found), [2, 0, 0, 0, 3]);
        assert_eq!(
            found.health,
            [Health::Up, Health::Failing, Health::Dead, Health::Up, Health::Up]
        );
        assert!(!found.fail_open);
    }

    #[test]
    fn an_unknown_one_counts_as_the_file_says() {
        let candidates = [(1, State::Up), (1, State::Unknown)];
        assert_eq!(weights(&selection(&candidates, InitialState::Down)), [1, 0]);
        assert_eq!(weights(&selection(&candidates, InitialState::Up)), [1, 1]);
    }

    #[test]
    fn when_none_is_up_all_are_taken_and_nothing_is_dead() {
        let found =
            selection(&[(1, State::Dead), (2, State::Failing), (0, State::Up)], InitialState::Up);
        assert_eq!(weights(&found), [1, 2, 0]);
        assert_eq!(found.health, [Health::Up; 3]);
        assert!(found.fail_open);
    }

    #[test]
    fn one_that_is_cut_off_is_dead_even_when_all_others_are_taken() {
        let down = Candidate { weight: 1, part: 100, state: State::Failing, cut: false };
        let cut = Candidate { weight: 0, part: 100, state: State::Up, cut: true };
        let found = select(&[down, cut], InitialState::Up);
        assert!(found.fail_open);
        assert_eq!(found.health, [Health::Up, Health::Dead]);
    }

    #[test]
    fn a_pool_of_nothing_but_weight_0_selects_nobody() {
        let found = selection(&[(0, State::Dead), (0, State::Up)], InitialState::Up);
        assert_eq!(weights(&found), [0, 0]);
        assert_eq!(found.health, [Health::Dead, Health::Up]);
        assert!(!found.fail_open);
    }
}
