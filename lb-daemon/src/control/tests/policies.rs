//! What services do when too few of their backends are up.

use lb_common::abi::{NO_BACKEND, backend_flags, service_flags as flag};

use super::world::{World, flow_to_web, service};
use crate::{
    api::types::{EventKind, EventQuery, ServiceState, ServiceStats, ServingStats},
    dataplane::DataPlane,
    health::State,
};

/// Two that usually serve, and a backup.
fn with_backup(more: &str) -> [String; 1] {
    let pool = service("web", 1, more, &[(1, 1), (2, 1), (9, 1)]);
    [pool.replace("10.0.0.9, weight: 1", "10.0.0.9, weight: 1, backup: true")]
}

fn without_backup(more: &str) -> [String; 1] {
    [service("web", 1, more, &[(1, 1), (2, 1)])]
}

fn all_are(world: &mut World, lasts: &[u8], state: State) {
    for last in lasts {
        world.found("web", *last, state);
    }
    world.settle();
}

fn shares(world: &World, lasts: &[u8]) -> Vec<usize> {
    lasts.iter().map(|last| world.share(1, world.id("web", *last).unwrap())).collect()
}

fn stats(world: &mut World) -> ServiceStats {
    world.stats().services.remove(0)
}

/// Events of a kind about the service, in words.
fn told(world: &World, kind: EventKind) -> Vec<String> {
    let page = world.controller.journal.page(&EventQuery::default());
    page.events.iter().filter(|event| event.kind == kind).map(ToString::to_string).collect()
}

#[test]
fn a_service_that_rejects_names_nobody_and_keeps_the_flows_of_those_that_fail() {
    let mut world = World::new(&without_backup(", on_all_down: reject"));
    let entry = world.controller.identity.services["web"].entry;
    assert_ne!(world.controller.plane.service(entry).flags & flag::REFUSE, 0);
    let failing = world.id("web", 1).unwrap();
    all_are(&mut world, &[1], State::Failing);
    all_are(&mut world, &[2], State::Dead);
    let words = world.words(1).unwrap();
    assert!(words.iter().all(|word| word.current() == NO_BACKEND));
    assert!(words.iter().any(|word| word.settled() == failing && word.store()));
    assert_eq!(stats(&mut world).serving, ServingStats::Nobody);
    assert_eq!(
        told(&world, EventKind::Warning),
        ["warning web: no backend is up; new connections are refused"]
    );
    // One that returns gets everything at once: nobody owns the slots.
    all_are(&mut world, &[2], State::Up);
    assert_eq!(shares(&world, &[2]), [251]);
    assert_eq!(told(&world, EventKind::WarningCleared).len(), 1);
}

#[test]
fn a_backup_takes_over_and_leaves_when_the_others_have_been_back_for_a_while() {
    let mut world = World::new(&with_backup(""));
    all_are(&mut world, &[1, 2, 9], State::Up);
    assert_eq!(shares(&world, &[9]), [0]);
    all_are(&mut world, &[1, 2], State::Failing);
    assert_eq!(shares(&world, &[1, 2, 9]), [0, 0, 251]);
    assert_eq!(stats(&mut world).serving, ServingStats::Backups);
    let backup = world.id("web", 9).unwrap();
    world.store(flow_to_web(4000), backup);
    all_are(&mut world, &[1, 2], State::Up);
    world.pass(9);
    assert!(shares(&world, &[9])[0] > 60, "it stays for a while");
    world.pass(8);
    assert_eq!(shares(&world, &[9]), [0]);
    assert_eq!(stats(&mut world).serving, ServingStats::Primaries);
    assert!(!world.all_at_rest(1), "the flow that began there is looked up");
    assert_eq!(told(&world, EventKind::Warning).len(), 1);
    assert_eq!(told(&world, EventKind::WarningCleared).len(), 1);
}

#[test]
fn a_pool_that_flaps_does_not_move_its_backup_to_and_fro() {
    let mut world = World::new(&with_backup(", backup_below: 100%"));
    all_are(&mut world, &[1, 2, 9], State::Up);
    for _ in 0..5 {
        all_are(&mut world, &[1], State::Failing);
        world.pass(4);
        all_are(&mut world, &[1], State::Up);
        world.pass(4);
    }
    assert_eq!(told(&world, EventKind::Warning).len(), 1);
    assert_eq!(told(&world, EventKind::WarningCleared).len(), 0);
    assert!(shares(&world, &[9])[0] > 0);
}

#[test]
fn with_the_backup_down_too_the_policy_decides() {
    let all_down = |more: &str| {
        let mut world = World::new(&with_backup(more));
        all_are(&mut world, &[1, 2, 9], State::Dead);
        world.pass(8);
        let found: Vec<_> = shares(&world, &[1, 2, 9]).iter().map(|share| *share > 0).collect();
        let backup = world.backend(world.id("web", 9).unwrap());
        (found, backup.flags & backend_flags::DEAD == 0, stats(&mut world).serving)
    };
    assert_eq!(all_down(""), (vec![true, true, false], true, ServingStats::FailOpen));
    assert_eq!(all_down(", on_all_down: reject"), (vec![false; 3], false, ServingStats::Nobody));
    assert_eq!(
        all_down(", on_all_down: backup"),
        (vec![false, false, true], true, ServingStats::LastResort)
    );
}

#[test]
fn a_service_with_too_few_healthy_backends_is_reported_down() {
    let mut world = World::new(&without_backup(", min_healthy: 100%"));
    all_are(&mut world, &[1, 2], State::Up);
    let seen = stats(&mut world);
    assert_eq!((seen.state, seen.healthy, seen.min_healthy), (ServiceState::Up, 2, 2));
    world.pass(3);
    all_are(&mut world, &[1], State::Failing);
    let seen = stats(&mut world);
    assert_eq!((seen.state, seen.healthy, seen.min_healthy), (ServiceState::Down, 1, 2));
    assert_eq!(seen.reason, "1 backend is healthy, min_healthy is 2");
    assert_eq!(seen.serving, ServingStats::Primaries, "nothing else changes");
    all_are(&mut world, &[1], State::Up);
    assert_eq!(
        told(&world, EventKind::Service),
        [
            "service web up -> down: 1 backend is healthy, min_healthy is 2",
            "service web down -> up: 2 backends are healthy, min_healthy is 2",
        ]
    );
}

#[test]
fn policies_follow_a_reload_at_once_and_backups_are_planned() {
    let mut world = World::new(&with_backup(""));
    all_are(&mut world, &[1, 2, 9], State::Up);
    let entry = world.controller.identity.services["web"].entry;
    let flags = |world: &World| world.controller.plane.service(entry).flags;
    assert_eq!(flags(&world) & (flag::REFUSE | flag::SILENT_ON_DEAD), 0);
    let answer =
        world.reload(&with_backup(", on_all_down: backup, on_backend_dead: drop")).unwrap();
    let expected = "service web: other policies from now on: on_backend_dead, on_all_down";
    assert!(answer.changes.iter().any(|one| one == expected), "{answer:?}");
    let expected = flag::REFUSE | flag::SILENT_ON_DEAD | flag::RESET_ON_DEAD;
    assert_eq!(flags(&world) & expected, expected);
    let plain = [service("web", 1, "", &[(1, 1), (2, 1), (9, 1)])];
    let answer = world.reload(&plain).unwrap();
    assert!(answer.changes.iter().any(|one| one.contains("is no backup any more")), "{answer:?}");
    assert!(!answer.pending.is_empty(), "slots move after arming");
    assert_eq!(shares(&world, &[9]), [0]);
    world.pass(5);
    assert!(shares(&world, &[9])[0] > 0);
}
