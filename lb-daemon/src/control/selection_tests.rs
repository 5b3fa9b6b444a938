use proptest::prelude::*;

use super::*;
use crate::config::{MinHealthy, Percent};

use OnAllDown::{Backup, FailOpen, Reject};
use State::{Dead, Failing, Unknown, Up};

const DEFAULT: PoolPolicy = PoolPolicy {
    on_all_down: FailOpen,
    backup_below: Percent::NONE,
    min_healthy: MinHealthy::Count(1),
};

fn on_all_down(on_all_down: OnAllDown) -> PoolPolicy {
    PoolPolicy { on_all_down, ..DEFAULT }
}

fn primary((weight, state): (u32, State)) -> Candidate {
    Candidate { nominal: weight, weight, part: 100, state, cut: false, backup: false }
}

fn backup(weight: u32, state: State) -> Candidate {
    Candidate { backup: true, ..primary((weight, state)) }
}

fn pool(primaries: &[(u32, State)]) -> Vec<Candidate> {
    primaries.iter().copied().map(primary).collect()
}

/// As the controller asks, without anything from before.
fn chosen(candidates: &[Candidate], policy: &PoolPolicy) -> Selection {
    let wanted = wants_backups(candidates, InitialState::Up, policy);
    select(candidates, InitialState::Up, policy, wanted)
}

fn weights(selection: &Selection) -> Vec<u32> {
    selection.shares.iter().map(|share| share.weight).collect()
}

#[test]
fn only_those_that_are_up_get_new_flows() {
    let pool = pool(&[(2, Up), (1, Failing), (1, Dead), (0, Up), (3, Unknown)]);
    let found = chosen(&pool, &DEFAULT);
    assert_eq!(weights(&found), [2, 0, 0, 0, 3]);
    let expected = [Health::Up, Health::Failing, Health::Dead, Health::Up, Health::Up];
    assert_eq!(found.health, expected);
    assert_eq!(found.serving, Serving::Primaries);
}

#[test]
fn an_unknown_one_counts_as_the_file_says() {
    let pool = pool(&[(1, Up), (1, Unknown)]);
    let weights = |initial| weights(&select(&pool, initial, &DEFAULT, false));
    assert_eq!(weights(InitialState::Down), [1, 0]);
    assert_eq!(weights(InitialState::Up), [1, 1]);
}

#[test]
fn when_none_is_up_all_are_taken_and_nothing_is_dead() {
    let found = chosen(&pool(&[(1, Dead), (2, Failing), (0, Up)]), &DEFAULT);
    assert_eq!(weights(&found), [1, 2, 0]);
    assert_eq!(found.health, [Health::Up; 3]);
    assert_eq!(found.serving, Serving::FailOpen);
}

#[test]
fn one_that_is_cut_off_is_dead_even_when_all_others_are_taken() {
    let down = primary((1, Failing));
    let cut = Candidate { weight: 0, cut: true, ..primary((1, Up)) };
    let found = chosen(&[down, cut], &DEFAULT);
    assert_eq!(found.serving, Serving::FailOpen);
    assert_eq!(found.health, [Health::Up, Health::Dead]);
}

#[test]
fn a_pool_of_nothing_but_weight_0_selects_nobody() {
    for policy in [FailOpen, Reject] {
        let found = chosen(&pool(&[(0, Dead), (0, Up)]), &on_all_down(policy));
        assert_eq!(weights(&found), [0, 0]);
        assert_eq!(found.health, [Health::Dead, Health::Up]);
        assert_eq!(found.serving, Serving::Nobody);
    }
}

#[test]
fn a_service_that_rejects_keeps_the_flows_of_those_that_fail() {
    let found = chosen(&pool(&[(1, Dead), (2, Failing)]), &on_all_down(Reject));
    assert_eq!(weights(&found), [0, 0]);
    assert_eq!(found.health, [Health::Dead, Health::Failing]);
    assert_eq!(found.serving, Serving::Nobody);
}

#[test]
fn backups_stand_by_until_no_other_is_up() {
    let (a, b) = (primary((1, Up)), primary((1, Dead)));
    let found = chosen(&[a, b, backup(5, Up)], &DEFAULT);
    assert_eq!((&weights(&found)[..], found.serving), (&[1, 0, 0][..], Serving::Primaries));
    let found = chosen(&[b, b, backup(5, Up), backup(1, Failing)], &DEFAULT);
    assert_eq!((&weights(&found)[..], found.serving), (&[0, 0, 5, 0][..], Serving::Backups));
    assert_eq!(found.health[0], Health::Dead, "its flows are not the backup's");
}

#[test]
fn backups_help_below_a_share_of_the_weight() {
    let policy = PoolPolicy { backup_below: Percent(50), ..DEFAULT };
    let half = [primary((3, Up)), primary((2, Dead)), primary((1, Dead)), backup(1, Up)];
    assert!(!wants_backups(&half, InitialState::Up, &policy), "half is not below half");
    let less = [primary((2, Up)), primary((3, Failing)), primary((1, Up)), backup(1, Up)];
    assert!(!wants_backups(&less, InitialState::Up, &policy));
    let less = [primary((2, Up)), primary((3, Failing)), primary((0, Up)), backup(1, Up)];
    let found = chosen(&less, &policy);
    assert_eq!((&weights(&found)[..], found.serving), (&[2, 0, 0, 1][..], Serving::Backups));
}

#[test]
fn one_that_is_drained_counts_as_missing() {
    let policy = PoolPolicy { backup_below: Percent(100), ..DEFAULT };
    let drained = Candidate { weight: 0, ..primary((1, Up)) };
    assert!(wants_backups(&[primary((1, Up)), drained], InitialState::Up, &policy));
    // A slow start is not.
    let starting = Candidate { weight: 10, ..primary((100, Up)) };
    assert!(!wants_backups(&[primary((100, Up)), starting], InitialState::Up, &policy));
}

#[test]
fn with_backups_down_too_the_policy_decides() {
    let all = [primary((1, Dead)), primary((2, Failing)), backup(3, Dead)];
    for (policy, expected, health, serving) in [
        (FailOpen, [1, 2, 0], [Health::Up; 3], Serving::FailOpen),
        (Reject, [0; 3], [Health::Dead, Health::Failing, Health::Dead], Serving::Nobody),
        (Backup, [0, 0, 3], [Health::Dead, Health::Failing, Health::Up], Serving::LastResort),
    ] {
        let found = chosen(&all, &on_all_down(policy));
        assert_eq!((&weights(&found)[..], found.serving), (&expected[..], serving));
        assert_eq!(found.health, health);
    }
}

#[test]
fn nobody_is_left_when_the_last_resort_is_drained() {
    let drained = Candidate { weight: 0, ..backup(3, Up) };
    let found = chosen(&[primary((1, Failing)), drained], &on_all_down(Backup));
    assert_eq!((&weights(&found)[..], found.serving), (&[0, 0][..], Serving::Nobody));
    assert_eq!(found.health[0], Health::Failing);
}

#[test]
fn backups_are_all_there_is_when_the_others_are_drained() {
    let drained = Candidate { weight: 0, ..primary((3, Up)) };
    let found = chosen(&[drained, backup(1, Dead)], &DEFAULT);
    assert_eq!((&weights(&found)[..], found.serving), (&[0, 1][..], Serving::FailOpen));
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let state = prop::sample::select(vec![Unknown, Up, Failing, Dead]);
    (0u32..4, any::<bool>(), state, any::<bool>(), any::<bool>()).prop_map(
        |(nominal, drained, state, cut, backup)| {
            let weight = if drained || cut { 0 } else { nominal };
            Candidate { nominal, weight, part: 100, state, cut, backup }
        },
    )
}

proptest! {
    /// Whatever the pool and the policy.
    #[test]
    fn new_flows_go_to_whom_the_policy_lets_them(
        pool in prop::collection::vec(candidate(), 0..8),
        policy in prop::sample::select(vec![FailOpen, Reject, Backup]),
        below in 0u8..=100,
        used in any::<bool>(),
    ) {
        let policy = PoolPolicy { backup_below: Percent(below), ..on_all_down(policy) };
        let initial = InitialState::Down;
        let wanted = wants_backups(&pool, initial, &policy);
        let found = select(&pool, initial, &policy, used || wanted);
        let up = |one: &Candidate| one.is_up(initial);
        let mut got = pool.iter().zip(weights(&found)).filter(|(_, weight)| *weight > 0);
        let empty = weights(&found).iter().all(|weight| *weight == 0);
        prop_assert_eq!(found.serving == Serving::Nobody, empty);
        prop_assert!(got.clone().all(|(one, weight)| weight == one.weight && !one.cut));
        match found.serving {
            Serving::Primaries => prop_assert!(got.all(|(one, _)| up(one) && !one.backup)),
            Serving::Backups => {
                prop_assert!(used || wanted);
                prop_assert!(got.all(|(one, _)| up(one)));
            }
            Serving::FailOpen | Serving::LastResort => prop_assert!(!pool.iter().any(up)),
            Serving::Nobody => prop_assert!(!pool.iter().any(up)),
        }
        // Nobody who is cut off, or dead under a service that believes it, owns flows.
        for (one, health) in pool.iter().zip(&found.health) {
            if one.cut {
                prop_assert_eq!(*health, Health::Dead);
            } else if found.serving != Serving::FailOpen && *health == Health::Up {
                prop_assert!(one.state == Up || found.serving == Serving::LastResort);
            }
        }
    }
}
