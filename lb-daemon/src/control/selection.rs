//! Which backends of a service get new flows, and which keep theirs.
//!
//! Backups stand by while enough of the others are up. When nobody is up at
//! all, the service's policy decides. By default all are then taken as up (*fail
//! open*): a service that answers some of its clients is better than one that
//! answers none, and probes that fail everywhere more often prove a broken probe
//! than a broken pool.

use lb_common::transition::Health;

use crate::{
    config::{InitialState, OnAllDown, PoolPolicy},
    health::State,
};

/// One backend, as the selection sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Candidate {
    /// As ordered, whether it may be used or not.
    pub nominal: u32,
    /// That counts now. 0: it is drained, or has none.
    pub weight: u32,
    /// Per cent of its weight that it has by now.
    pub part: u32,
    pub state: State,
    /// It is taken out, and what is left of its flows counts as a dead one's.
    pub cut: bool,
    pub backup: bool,
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

/// Who gets new flows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serving {
    /// Those that are up, without the backups.
    Primaries,
    /// Those that are up, and the backups that are.
    Backups,
    /// None is up: all, as if they were.
    FailOpen,
    /// None is up: the backups, as if they were.
    LastResort,
    Nobody,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// One per candidate.
    pub shares: Vec<Share>,
    /// What the data path and the slots are told.
    pub health: Vec<Health>,
    pub serving: Serving,
}

/// Whether less of the others' weight is up than the service wants without its
/// backups.
pub fn wants_backups(candidates: &[Candidate], initial: InitialState, policy: &PoolPolicy) -> bool {
    let primaries = || candidates.iter().filter(|one| !one.backup);
    let nominal = |one: &Candidate| u64::from(one.nominal);
    let up: u64 = primaries().filter(|one| one.is_up(initial)).map(nominal).sum();
    up == 0 || policy.backup_below.is_above(up, primaries().map(nominal).sum())
}

/// `backups`: they are used.
pub fn select(
    candidates: &[Candidate],
    initial: InitialState,
    policy: &PoolPolicy,
    backups: bool,
) -> Selection {
    let health: Vec<_> = candidates.iter().map(|one| real_health(one, initial)).collect();
    let selection = among(candidates, health, backups);
    if selection.serving != Serving::Nobody {
        return selection;
    }
    let taken = |one: &Candidate| match policy.on_all_down {
        OnAllDown::FailOpen => true,
        OnAllDown::Backup => one.backup && one.weight > 0,
        OnAllDown::Reject => false,
    };
    let health = candidates.iter().map(|one| match real_health(one, initial) {
        _ if taken(one) && !one.cut => Health::Up,
        health => health,
    });
    let has_primaries = candidates.iter().any(|one| !one.backup && one.weight > 0);
    let backups = policy.on_all_down == OnAllDown::Backup || !has_primaries;
    let all_down = among(candidates, health.collect(), backups);
    match (all_down.serving, policy.on_all_down) {
        // Nobody has a weight: there is nobody to take as up.
        (Serving::Nobody, _) => selection,
        (_, OnAllDown::Backup) => Selection { serving: Serving::LastResort, ..all_down },
        _ => Selection { serving: Serving::FailOpen, ..all_down },
    }
}

/// Those that are up, by `health`.
fn among(candidates: &[Candidate], health: Vec<Health>, backups: bool) -> Selection {
    let share = |(one, health): (&Candidate, &Health)| {
        let used = *health == Health::Up && (backups || !one.backup);
        Share { weight: if used { one.weight } else { 0 }, part: one.part }
    };
    let shares: Vec<Share> = candidates.iter().zip(&health).map(share).collect();
    let used = |(one, share): (&Candidate, &Share)| one.backup && share.weight > 0;
    let serving = if shares.iter().all(|share| share.weight == 0) {
        Serving::Nobody
    } else if candidates.iter().zip(&shares).any(used) {
        Serving::Backups
    } else {
        Serving::Primaries
    };
    Selection { shares, health, serving }
}

fn real_health(one: &Candidate, initial: InitialState) -> Health {
    if one.cut { Health::Dead } else { health_of(one.state, initial) }
}

fn health_of(state: State, initial: InitialState) -> Health {
    match (state, initial) {
        (State::Up, _) | (State::Unknown, InitialState::Up) => Health::Up,
        (State::Failing, _) | (State::Unknown, InitialState::Down) => Health::Failing,
        (State::Dead, _) => Health::Dead,
    }
}

#[cfg(test)]
#[path = "selection_tests.rs"]
mod tests;
