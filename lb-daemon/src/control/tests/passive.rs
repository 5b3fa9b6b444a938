//! Backends that the traffic speaks against, while their probes succeed.

use std::collections::HashMap;

use lb_common::abi::{BackendCounters, backend_flags as flag};

use super::world::{World, service};
use crate::{
    api::types::{BackendState, EventKind, EventQuery, PassiveStats},
    dataplane::Evidence,
    health::{State, Target},
};

const NETWORKS: u64 = 0xff;

fn pool(more: &str) -> [String; 1] {
    [service("web", 1, &format!(", arming: 1s{more}"), &[(1, 1), (2, 1), (3, 1)])]
}

fn begin(more: &str) -> World {
    let mut world = World::new(&pool(more));
    world.controller.view.time = 1_700_000_000;
    for last in [1, 2, 3] {
        world.found("web", last, State::Up);
    }
    world
}

/// Seconds in which each backend gets ten connections, and so many of each are
/// unanswered. Returns what was to be probed at once.
fn traffic(world: &mut World, seconds: u64, unanswered: [u64; 3]) -> Vec<Target> {
    let mut hurried = Vec::new();
    for _ in 0..seconds {
        let mut counters = HashMap::new();
        for (last, unanswered) in (1..).zip(unanswered) {
            let id = world.id("web", last).unwrap();
            let plane = &mut world.controller.plane;
            let evidence = plane.evidence.entry(id).or_default();
            *evidence = Evidence {
                unanswered: evidence.unanswered + unanswered,
                repeats: evidence.repeats + unanswered,
                ..*evidence
            };
            if unanswered > 0 {
                plane.networks.insert(id, NETWORKS);
            }
            let count = plane.counters.entry(id).or_default();
            let new_connections = count.new_connections + 10 + unanswered;
            *count = BackendCounters { new_connections, ..*count };
            counters.insert(id, *count);
        }
        hurried.extend(world.controller.look_at_traffic(&counters).unwrap());
        world.pass(1);
    }
    hurried
}

fn state(world: &World, last: u8) -> (BackendState, String) {
    let config = world.controller.config().clone();
    let backends = &config.services[0].backends;
    world.controller.standing(&config.services[0], &backends[usize::from(last) - 1])
}

fn told(world: &World, kind: EventKind) -> Vec<String> {
    let page = world.controller.journal.page(&EventQuery::default());
    let events = page.events.iter().filter(|event| event.kind == kind);
    events.map(ToString::to_string).collect()
}

fn passive_stats(world: &mut World, last: usize) -> PassiveStats {
    world.stats().services[0].backends[last - 1].passive.unwrap()
}

#[test]
fn a_black_hole_is_failing_and_its_flows_stay() {
    let mut world = begin("");
    let id = world.id("web", 2).unwrap();
    assert!(traffic(&mut world, 5, [0, 0, 0]).is_empty());
    let hurried = traffic(&mut world, 5, [0, 9, 0]);
    assert!(hurried.iter().all(|target| target.address == super::world::address(2)));
    assert!(!hurried.is_empty());
    traffic(&mut world, 5, [0, 9, 0]);
    let (now, reason) = state(&world, 2);
    assert_eq!(now, BackendState::Failing);
    assert!(reason.starts_with("from the traffic: "), "{reason}");
    assert_eq!(world.backend(id).flags & (flag::DEAD | flag::FAILING), flag::FAILING);
    assert_eq!(world.share(1, id), 0);
    assert!(world.words(1).unwrap().iter().any(|word| word.settled() == id && word.look_up()));
    let told = told(&world, EventKind::Backend);
    assert!(told.last().unwrap().contains("web/b2 up -> failing: from the traffic"), "{told:?}");
    let stats = passive_stats(&mut world, 2);
    assert_eq!((stats.times_out, stats.on_trial), (1, false));
    assert!(stats.out_until > Some(1_700_000_030));
}

#[test]
fn it_returns_with_a_tenth_and_then_with_all() {
    let mut world = begin("");
    let id = world.id("web", 2).unwrap();
    let whole = world.share(1, id);
    traffic(&mut world, 15, [0, 9, 0]);
    traffic(&mut world, 22, [0, 0, 0]);
    assert!(passive_stats(&mut world, 2).on_trial);
    let (now, reason) = state(&world, 2);
    assert_eq!(now, BackendState::Up);
    assert!(reason.starts_with("on trial with 10 % of its weight"), "{reason}");
    let part = world.share(1, id);
    assert!(part > 0 && part < whole / 4, "{part} of {whole}");
    traffic(&mut world, 15, [0, 0, 0]);
    assert!(!passive_stats(&mut world, 2).on_trial);
    assert_eq!(world.share(1, id), whole);
}

#[test]
fn what_probes_find_worse_stands() {
    let mut world = begin("");
    let id = world.id("web", 2).unwrap();
    traffic(&mut world, 15, [0, 9, 0]);
    world.found("web", 2, State::Dead);
    assert_eq!(state(&world, 2), (BackendState::Dead, "test".into()));
    assert_ne!(world.backend(id).flags & flag::DEAD, 0);
    world.found("web", 2, State::Up);
    assert_eq!(state(&world, 2).0, BackendState::Failing);
}

#[test]
fn a_service_that_wants_advice_warns_and_keeps_all() {
    let mut world = begin(", passive: advisory");
    traffic(&mut world, 15, [0, 9, 0]);
    assert_eq!(state(&world, 2).0, BackendState::Up);
    let warnings = world.stats().warnings;
    assert!(warnings[0].starts_with("web/b2: from the traffic: "), "{warnings:?}");
    assert_eq!(told(&world, EventKind::Warning).len(), 1);
    traffic(&mut world, 30, [0, 0, 0]);
    assert!(world.stats().warnings.is_empty());
    assert_eq!(told(&world, EventKind::WarningCleared).len(), 1);
}

#[test]
fn nobody_looks_where_it_is_off_and_a_reload_brings_all_back() {
    let mut world = begin(", passive: off");
    assert!(traffic(&mut world, 15, [0, 9, 0]).is_empty());
    assert_eq!(state(&world, 2).0, BackendState::Up);
    assert_eq!(world.stats().services[0].backends[1].passive, None);
    let entry = world.controller.identity.services["web"].entry;
    assert_eq!(world.controller.plane.services[&entry].repeat_after, 0);
    world.reload(&pool("")).unwrap();
    assert_eq!(world.controller.plane.services[&entry].repeat_after, 200);
    traffic(&mut world, 15, [0, 9, 0]);
    assert_eq!(state(&world, 2).0, BackendState::Failing);
    world.reload(&pool(", passive: off")).unwrap();
    assert_eq!(state(&world, 2).0, BackendState::Up);
}

#[test]
fn a_successor_knows_who_is_out_and_does_not_blame_the_probes() {
    let mut world = begin("");
    traffic(&mut world, 15, [0, 9, 0]);
    let mut world = world.succeed(&pool(""));
    assert_eq!(
        world.controller.remembered(&Default::default()).len(),
        2,
        "not the one that is out"
    );
    world.resolve();
    world.controller.view.time = 1_700_000_020;
    world.controller.start().unwrap();
    assert_eq!(state(&world, 2).0, BackendState::Failing);
    world.found("web", 2, State::Up);
    assert_eq!(state(&world, 2).0, BackendState::Failing);
    traffic(&mut world, 40, [0, 0, 0]);
    assert_eq!(state(&world, 2).0, BackendState::Up);
}

/// A host may serve one service and not another.
#[test]
fn another_service_of_the_same_host_is_judged_by_its_own_traffic() {
    let mut services = pool("").to_vec();
    services.push(service("other", 2, "", &[(1, 1), (2, 1), (3, 1)]));
    let mut world = World::new(&services);
    world.controller.view.time = 1_700_000_000;
    traffic(&mut world, 15, [0, 9, 0]);
    let other = world.id("other", 2).unwrap();
    assert_eq!(state(&world, 2).0, BackendState::Failing);
    assert_eq!(world.backend(other).flags & flag::FAILING, 0);
    assert!(world.share(2, other) > 0);
}
