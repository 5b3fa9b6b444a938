//! The Maglev table against the claims of the paper, and with weights.

use lb_common::abi::NO_BACKEND;
use lb_common::maglev::{self, MAX_SIZE, Member, Scratch, Turns};
use proptest::prelude::*;

const SEED: u64 = 0x5eed;

fn table(size: u32, members: &[Member]) -> Vec<u16> {
    seeded_table(size, members, SEED)
}

fn seeded_table(size: u32, members: &[Member], seed: u64) -> Vec<u16> {
    let mut table = vec![0; size as usize];
    let mut scratch = Scratch {
        turns: &mut vec![Turns::default(); members.len()],
        calendar: &mut vec![0; size as usize],
    };
    maglev::build(&mut table, members, seed, &mut scratch);
    table
}

fn member(id: u16, weight: u32) -> Member {
    Member { id, weight, identity: [0, 0xffff_0000 | (0x0a00_0000 + id as u64) << 32] }
}

fn equal(count: u16) -> Vec<Member> {
    (0..count).map(|id| member(id, 1)).collect()
}

fn share(table: &[u16], id: u16) -> usize {
    table.iter().filter(|&&owner| owner == id).count()
}

/// Slots that changed owner although the one they had is still there.
fn moved_needlessly(before: &[u16], after: &[u16], removed: u16) -> usize {
    before.iter().zip(after).filter(|(old, new)| **old != removed && old != new).count()
}

#[test]
fn a_hundred_equal_members_have_equal_shares() {
    let table = table(MAX_SIZE, &equal(100));
    let average = MAX_SIZE as f64 / 100.0;
    for id in 0..100 {
        let ratio = share(&table, id) as f64 / average;
        assert!((0.99..=1.01).contains(&ratio), "member {id}: {ratio}");
    }
}

#[test]
fn removing_one_moves_at_most_one_percent_of_the_others_slots() {
    for count in [20, 100, 1000] {
        let before = table(MAX_SIZE, &equal(count));
        for removed in [0, count / 2, count - 1] {
            let mut members = equal(count);
            members.remove(removed as usize);
            let after = table(MAX_SIZE, &members);
            let moved = moved_needlessly(&before, &after, removed);
            assert!(moved * 100 <= before.len(), "{moved} of {count} members' slots moved");
            assert_eq!(share(&after, removed), 0);
        }
    }
}

#[test]
fn adding_one_moves_at_most_one_percent_more_than_it_gets() {
    let before = table(MAX_SIZE, &equal(100));
    let after = table(MAX_SIZE, &equal(101));
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert!(moved <= share(&after, 100) + before.len() / 100, "{moved} slots moved");
}

#[test]
fn a_small_change_of_weight_moves_few_slots() {
    let tens: Vec<_> = (0..100).map(|id| member(id, 10)).collect();
    let before = table(MAX_SIZE, &tens);
    let mut members = tens.clone();
    members[3].weight = 9;
    let after = table(MAX_SIZE, &members);
    let moved = before.iter().zip(&after).filter(|(old, new)| old != new).count();
    assert!(moved * 100 <= 2 * before.len(), "{moved} slots moved");
}

#[test]
fn one_heavy_member_among_many_light_ones_gets_its_share() {
    let mut members = equal(1000);
    members[7].weight = 1000;
    let table = table(MAX_SIZE, &members);
    let total = 999 + 1000;
    for member in members {
        let fair = MAX_SIZE as f64 * member.weight as f64 / total as f64;
        assert!((share(&table, member.id) as f64 - fair).abs() <= 1.0 + fair / 100.0);
    }
}

#[test]
fn another_seed_makes_another_table() {
    let members = equal(10);
    let same = seeded_table(1009, &members, 1)
        .iter()
        .zip(seeded_table(1009, &members, 2))
        .filter(|(one, other)| **one == *other)
        .count();
    assert!(same < 300, "{same} of 1009 slots are the same under another seed");
}

#[test]
fn nobody_with_a_weight_means_nobody_owns_a_slot() {
    assert!(table(251, &[]).iter().all(|&owner| owner == NO_BACKEND));
    assert!(table(251, &[member(1, 0)]).iter().all(|&owner| owner == NO_BACKEND));
}

#[test]
#[should_panic(expected = "must be prime")]
fn a_size_that_is_not_prime_is_refused() {
    table(1000, &equal(2));
}

#[test]
fn only_primes_in_range_are_valid_sizes() {
    for size in [251, 1009, 4099, 16_381, 65_537] {
        assert!(maglev::is_valid_size(size), "{size}");
    }
    for size in [0, 1, 2, 241, 253, 1000, 65_535, 65_536, 65_539] {
        assert!(!maglev::is_valid_size(size), "{size}");
    }
}

fn some_members() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::vec(0u32..=100, 1..60).prop_map(|weights| {
        weights.iter().enumerate().map(|(id, &weight)| member(id as u16, weight)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_the_members_does_not_matter(
        (members, shuffled) in some_members()
            .prop_flat_map(|members| (Just(members.clone()), Just(members).prop_shuffle())),
    ) {
        prop_assert_eq!(table(1009, &members), table(1009, &shuffled));
    }

    #[test]
    fn shares_follow_the_weights(members in some_members()) {
        const SIZE: u32 = 16_381;
        let total: u32 = members.iter().map(|member| member.weight).sum();
        prop_assume!(total > 0);
        let table = table(SIZE, &members);
        for member in &members {
            let share = share(&table, member.id);
            let fair = SIZE as f64 * member.weight as f64 / total as f64;
            prop_assert_eq!(share == 0, member.weight == 0);
            prop_assert!((share as f64 - fair).abs() <= 1.0 + fair / 100.0, "{} for {}", share, fair);
        }
    }
}
