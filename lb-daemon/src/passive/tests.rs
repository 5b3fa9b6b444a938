//! Pools of backends, second by second.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Counts, Ejection, Finding, Member, Standing, TRIAL_WEIGHT, Watches};

const START: u64 = 1_700_000_000;
/// Client networks.
const MANY: u64 = u64::MAX;

/// One second of a backend: connections, and those unanswered.
#[derive(Clone, Copy, Debug)]
struct Second(u64, u64);

struct Pool {
    watches: Watches,
    members: Vec<Member>,
    counts: Vec<Counts>,
    acts: bool,
    now: u64,
    hurried: Vec<u16>,
}

impl Pool {
    fn of(backends: u16) -> Self {
        let mut pool = Self {
            watches: Watches::default(),
            members: (0..backends).map(|id| Member { id, takes: true }).collect(),
            counts: vec![Counts::default(); backends.into()],
            acts: true,
            now: START,
            hurried: Vec::new(),
        };
        pool.second(&vec![Second(0, 0); backends.into()], 0);
        pool
    }

    /// A second of traffic; evidence comes from `networks`.
    fn second(&mut self, traffic: &[Second], networks: u64) -> Vec<Finding> {
        self.now += 1;
        for (id, Second(connections, unanswered)) in (0..).zip(traffic) {
            let counts = &mut self.counts[usize::from(id)];
            // Each is repeated twice.
            counts.syns += connections + 2 * unanswered;
            counts.repeats += 2 * unanswered;
            counts.unanswered += unanswered;
            let networks = if *unanswered > 0 { networks } else { 0 };
            if self.watches.note(id, *counts, networks) {
                self.hurried.push(id);
            }
        }
        self.watches.judge(&self.members, self.acts, self.now)
    }

    /// Seconds of the same traffic; all that was found.
    fn seconds(&mut self, seconds: u64, traffic: &[Second], networks: u64) -> Vec<Finding> {
        (0..seconds).flat_map(|_| self.second(traffic, networks)).collect()
    }

    fn out(&self) -> Vec<u16> {
        let ids = self.members.iter().map(|member| member.id);
        ids.filter(|id| self.watches.is_out(*id)).collect()
    }

    fn ejection(&self, id: u16) -> Ejection {
        match self.watches.standing(id) {
            Standing::Out(ejection) => ejection.clone(),
            other => panic!("{id} is {other:?}"),
        }
    }
}

const GOOD: Second = Second(10, 0);
const BAD: Second = Second(10, 9);
const NONE: Second = Second(0, 0);

#[test]
fn a_black_hole_is_taken_out_and_the_reason_has_the_numbers() {
    let mut pool = Pool::of(3);
    assert_eq!(pool.seconds(20, &[GOOD; 3], MANY), []);
    let found = pool.seconds(10, &[GOOD, GOOD, BAD], 0b1111_0000_1111);
    assert_eq!(found, [Finding::Moved(2)]);
    let Ejection { reason, times, .. } = pool.ejection(2);
    assert_eq!(times, 1);
    assert_eq!(
        reason,
        "from the traffic: 54 of 100 connections unanswered in 10 s, from at least 8 client \
         networks; the better half of its peers: 0 of 100; tried again after 30 s"
    );
}

#[test]
fn kinds_of_trouble_are_told_apart() {
    let mut watches = Watches::default();
    for (id, (refused, unreachable)) in [(0, (0, 0)), (1, (2, 1))] {
        for second in 0..4 {
            let (refused, unreachable) = (second * refused, second * unreachable);
            let counts = Counts { syns: 3 * second, refused, unreachable, ..Counts::default() };
            watches.note(id, counts, 0xff);
        }
    }
    watches.judge(&[0, 1].map(|id| Member { id, takes: true }), true, START);
    let Standing::Out(ejection) = watches.standing(1) else { panic!("it is in") };
    let what = "9 of 9 connections failed (6 refused, 3 unreachable) in 3 s, from at least 8 \
                client networks; its peer: 0 of 9";
    assert!(ejection.reason.contains(what), "{}", ejection.reason);
}

#[test]
fn evidence_hurries_a_probe_long_before() {
    let mut pool = Pool::of(3);
    pool.seconds(10, &[GOOD; 3], MANY);
    // Three in a hundred are no reason.
    pool.seconds(3, &[GOOD, GOOD, Second(10, 1)], MANY);
    assert!(pool.hurried.is_empty());
    assert_eq!(pool.seconds(1, &[GOOD, GOOD, Second(10, 8)], MANY), []);
    assert_eq!(pool.hurried, [2]);
}

#[test]
fn a_moment_takes_nobody_out() {
    let mut pool = Pool::of(3);
    pool.seconds(10, &[NONE; 3], MANY);
    pool.second(&[Second(100, 0), Second(100, 0), Second(100, 100)], MANY);
    pool.second(&[NONE, NONE, Second(20, 20)], MANY);
    assert!(pool.seconds(20, &[NONE; 3], MANY).is_empty());
}

#[test]
fn one_client_network_takes_nobody_out() {
    let mut pool = Pool::of(3);
    for networks in [0b1, 0b111] {
        assert_eq!(pool.seconds(60, &[GOOD, GOOD, BAD], networks), []);
    }
    assert!(pool.hurried.contains(&2));
}

#[test]
fn what_befalls_all_alike_takes_nobody_out() {
    let mut pool = Pool::of(3);
    assert_eq!(pool.seconds(60, &[BAD; 3], MANY), []);
    assert_eq!(pool.seconds(60, &[Second(10, 8), BAD, Second(10, 10)], MANY), []);
}

#[test]
fn peers_without_traffic_prove_nothing() {
    let mut pool = Pool::of(3);
    assert_eq!(pool.seconds(60, &[NONE, NONE, BAD], MANY), []);
    // Nor do those who get none.
    pool.members[0].takes = false;
    pool.members[1].takes = false;
    assert_eq!(pool.seconds(60, &[GOOD, GOOD, BAD], MANY), []);
}

#[test]
fn failures_of_no_connection_take_nobody_out() {
    let mut pool = Pool::of(3);
    // Datagrams that are not delivered, for example.
    assert_eq!(pool.seconds(60, &[GOOD, GOOD, Second(0, 20)], MANY), []);
}

#[test]
fn of_two_one_may_be_out_and_the_last_never() {
    let mut pool = Pool::of(2);
    pool.seconds(20, &[GOOD, BAD], MANY);
    assert_eq!(pool.out(), [1]);
    assert_eq!(pool.seconds(5, &[BAD, NONE], MANY), [], "nobody is left to compare it with");
    let mut pool = Pool::of(2);
    pool.members[0].takes = false;
    pool.seconds(20, &[GOOD, BAD], MANY);
    assert!(pool.out().is_empty());
}

#[test]
fn who_should_be_out_and_may_not_is_told() {
    let mut pool = Pool::of(5);
    let found = pool.seconds(8, &[GOOD, GOOD, GOOD, BAD, Second(10, 10)], MANY);
    assert_eq!(pool.out(), [4], "the worst, and one in three of five");
    let suspected: Vec<_> = pool.watches.suspicions().map(|(id, _)| id).collect();
    assert_eq!(suspected, [3]);
    let Finding::Suspected(3, what) = &found[1] else { panic!("{found:?}") };
    assert!(what.ends_with("not taken out: as many of the pool are out as may be"), "{what}");
    assert_eq!(found.len(), 2, "once");
    let found = pool.seconds(20, &[GOOD; 5], MANY);
    let cleared = found.iter().filter(|one| matches!(one, Finding::Cleared(3, _)));
    assert_eq!(cleared.count(), 1, "{found:?}");
}

#[test]
fn a_service_that_only_wants_advice_keeps_all() {
    let mut pool = Pool::of(3);
    pool.acts = false;
    let found = pool.seconds(60, &[GOOD, GOOD, BAD], MANY);
    let [Finding::Suspected(2, what)] = found.as_slice() else { panic!("{found:?}") };
    assert!(what.ends_with("not taken out: passive: advisory"), "{what}");
    assert!(pool.out().is_empty());
    // From now on, and back.
    pool.acts = true;
    pool.second(&[GOOD, GOOD, BAD], MANY);
    assert_eq!(pool.out(), [2]);
    pool.acts = false;
    assert_eq!(pool.second(&[GOOD, GOOD, NONE], MANY)[0], Finding::Moved(2));
    assert!(pool.out().is_empty());
}

#[test]
fn who_was_out_proves_itself_with_a_tenth_of_its_weight() {
    let mut pool = Pool::of(3);
    pool.seconds(10, &[GOOD, GOOD, BAD], MANY);
    assert_eq!(pool.seconds(30, &[GOOD, GOOD, NONE], MANY), [Finding::Moved(2)]);
    assert!(matches!(pool.watches.standing(2), Standing::OnTrial(_)));
    assert_eq!(pool.watches.weight(2), TRIAL_WEIGHT);
    assert_eq!(pool.seconds(12, &[GOOD, GOOD, Second(1, 0)], MANY), [Finding::Moved(2)]);
    assert_eq!((pool.watches.standing(2), pool.watches.weight(2)), (&Standing::In, 100));
}

#[test]
fn who_fails_on_trial_is_out_soon_and_for_twice_as_long() {
    let mut pool = Pool::of(3);
    pool.seconds(10, &[GOOD, GOOD, BAD], MANY);
    for (times, out) in [(2, 60), (3, 120), (4, 240), (5, 480), (6, 600), (7, 600)] {
        while pool.watches.is_out(2) {
            pool.second(&[GOOD, GOOD, NONE], MANY);
        }
        pool.seconds(4, &[GOOD, GOOD, Second(1, 1)], 0b11);
        let ejection = pool.ejection(2);
        assert_eq!(ejection.times, times);
        assert!((out - 4..=out).contains(&(ejection.until - pool.now)), "{ejection:?}");
    }
}

#[test]
fn a_trial_without_traffic_ends_by_itself() {
    let mut pool = Pool::of(3);
    pool.seconds(10, &[GOOD, GOOD, BAD], MANY);
    pool.seconds(30, &[GOOD, GOOD, NONE], MANY);
    // Probes find it down for long; the trial begins when they do not.
    pool.members[2].takes = false;
    pool.seconds(100, &[GOOD, GOOD, NONE], MANY);
    pool.members[2].takes = true;
    assert_eq!(pool.seconds(59, &[GOOD, GOOD, NONE], MANY), []);
    assert_eq!(pool.seconds(2, &[GOOD, GOOD, NONE], MANY), [Finding::Moved(2)]);
}

#[test]
fn an_ejection_outlives_the_daemon_and_not_a_clock_that_was_set_back() {
    let mut pool = Pool::of(3);
    pool.seconds(10, &[GOOD, GOOD, BAD], MANY);
    pool.watches = Watches::restored(pool.watches.ejections());
    assert_eq!(pool.out(), [2]);
    assert_eq!(pool.seconds(5, &[GOOD, GOOD, NONE], MANY), []);
    pool.now -= 86_400;
    assert_eq!(pool.second(&[GOOD, GOOD, NONE], MANY), [Finding::Moved(2)]);
    assert!(pool.out().is_empty());
}

#[test]
fn who_is_watched_no_more_is_forgotten() {
    let ejection = Ejection { until: START + 30, times: 1, reason: String::new() };
    let mut watches = Watches::restored(BTreeMap::from([(1, ejection.clone()), (2, ejection)]));
    watches.retain(|id| id == 2);
    assert_eq!(watches.ejections().into_keys().collect::<Vec<_>>(), [2]);
}

/// How many of `of` connections fail that each fail with this chance (xorshift64*).
fn unlucky(random: &mut u64, of: u64, chance: f64) -> u64 {
    let mut fails = || {
        *random ^= *random >> 12;
        *random ^= *random << 25;
        *random ^= *random >> 27;
        let uniform = random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11;
        (uniform as f64) < chance * (1_u64 << 53) as f64
    };
    (0..of).map(|_| u64::from(fails())).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the traffic looks like.
    #[test]
    fn never_more_than_a_share_is_out_and_never_the_last(
        backends in 1_u16..12,
        traffic in prop::collection::vec(prop::collection::vec((0_u64..50, 0_u64..60), 12), 80),
        takes in any::<u16>(),
    ) {
        let mut pool = Pool::of(backends);
        for (second, backends_traffic) in traffic.iter().enumerate() {
            for (member, bit) in pool.members.iter_mut().zip(0..) {
                // Some are taken out by probes now and then.
                member.takes = second % 16 < 8 || takes >> bit & 1 == 1;
            }
            let before = pool.out();
            let seconds: Vec<_> = backends_traffic.iter().map(|(a, b)| Second(*a, *b)).collect();
            pool.second(&seconds[..backends.into()], MANY);
            let takers = pool.members.iter().filter(|one| one.takes).count();
            let out = pool.members.iter().filter(|one| one.takes && pool.watches.is_out(one.id));
            let out = out.count();
            if pool.out().iter().any(|id| !before.contains(id)) {
                prop_assert!(out <= (takers / 3).max(1), "{out} of {takers}");
                prop_assert!(out < takers);
            }
        }
    }

    /// Chance alone, with as much trouble as there may be for all, is no outlier.
    #[test]
    fn equal_backends_are_left_alone(
        backends in 2_u16..20,
        rate in 1_u64..60,
        chance in 0.0_f64..0.9,
        mut random in 1_u64..,
    ) {
        let mut pool = Pool::of(backends);
        for _ in 0..60 {
            let second = |random: &mut u64| Second(rate, unlucky(random, rate, chance));
            let traffic: Vec<_> = (0..backends).map(|_| second(&mut random)).collect();
            let found = pool.second(&traffic, MANY);
            prop_assert!(found.is_empty(), "{found:?}");
        }
    }

    /// One that answers nobody is found within seconds, whatever its share.
    #[test]
    fn a_black_hole_is_found(
        backends in 2_u16..20,
        rate in 2_u64..60,
        noise in 0.0_f64..0.05,
        mut random in 1_u64..,
    ) {
        let mut pool = Pool::of(backends);
        for second in 0..30 {
            let traffic: Vec<_> = (0..backends)
                .map(|id| match id {
                    0 if second >= 10 => Second(rate, rate),
                    _ => Second(rate, unlucky(&mut random, rate, noise)),
                })
                .collect();
            pool.second(&traffic, MANY);
        }
        prop_assert_eq!(pool.out(), [0]);
    }
}
