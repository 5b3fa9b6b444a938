use std::time::{Duration, UNIX_EPOCH};

use lb_common::abi::BackendCounters;

use super::world::{World, address, service};
use crate::health::State;

fn pool() -> Vec<String> {
    vec![service("web", 1, "", &[(1, 1), (2, 1), (3, 1)])]
}

/// As the daemon starts on maps that are there.
fn take_over(world: World, services: &[String]) -> World {
    let memory = world.controller.to_remember();
    let mut world = world.succeed(services);
    world.controller.recall_starting(&memory);
    for (target, status) in world.controller.remembered(&memory) {
        world.controller.view_mut().restore(target, status);
    }
    world.controller.start().unwrap();
    world.settle();
    world
}

#[test]
fn a_successor_writes_nothing_where_nothing_changed() {
    let world = World::new(&pool());
    let words = world.words(1);
    let mut world = take_over(world, &pool());
    assert_eq!(world.words(1), words);
    assert_eq!(world.writes(), []);
}

#[test]
fn health_is_remembered_until_probes_say_otherwise() {
    let mut world = World::new(&pool());
    world.found("web", 1, State::Dead);
    world.found("web", 2, State::Failing);
    world.settle();
    let words = world.words(1);
    let mut world = take_over(world, &pool());
    assert_eq!(world.words(1), words);
    assert_eq!(world.writes(), []);
    world.found("web", 1, State::Up);
    world.settle();
    world.pass(4);
    assert!(world.share(1, world.id("web", 1).unwrap()) > 0);
}

#[test]
fn a_successor_goes_on_with_transitions_and_with_those_that_left() {
    let mut world = World::new(&pool());
    let smaller = [service("web", 1, "", &[(1, 1), (2, 1)])];
    let gone = world.id("web", 3).unwrap();
    world.reload(&smaller).unwrap();
    world.pass(6);
    let mut world = take_over(world, &smaller);
    assert!(!world.all_at_rest(1));
    // Next hops have not been looked up yet: the ones that are there hold.
    assert_ne!(world.backend(gone).ifindex, 0);
    world.resolve();
    world.pass(60);
    assert!(world.all_at_rest(1));
    assert_eq!(world.id("web", 3), None);
}

#[test]
fn what_the_file_changed_meanwhile_is_applied() {
    let world = World::new(&pool());
    let larger = [service("web", 1, "", &[(1, 1), (2, 1), (3, 1), (4, 3)])];
    let mut world = take_over(world, &larger);
    world.resolve();
    world.pass(5);
    assert!(world.share(1, world.id("web", 4).unwrap()) > 100);
}

#[test]
fn a_table_change_goes_on() {
    let mut world = World::new(&pool());
    let large = [pool()[0].replace("table_size: 251", "table_size: 509")];
    world.reload(&large).unwrap();
    world.pass(1);
    let mut world = take_over(world, &large);
    world.resolve();
    world.pass(60);
    assert!(world.all_at_rest(1));
    assert_eq!(world.words(1).unwrap().len(), 509);
    assert!(world.controller.identity.services["web"].old_table.is_none());
}

#[test]
fn since_when_and_why_are_remembered_where_the_maps_agree() {
    let mut world = World::new(&pool());
    world.found("web", 1, State::Dead);
    world.found("web", 2, State::Failing);
    let mut memory = world.controller.to_remember();
    let [one, two] = [1, 2].map(|last| world.id("web", last).unwrap());
    memory.states.get_mut(&one).unwrap().since = 1_700_000_000;
    // Written before it failed.
    memory.states.get_mut(&two).unwrap().state = State::Up;
    let world = world.succeed(&pool());
    let found = world.controller.remembered(&memory);
    let of = |last: u8| {
        let (_, status) = found.iter().find(|(target, _)| target.address == address(last)).unwrap();
        status.clone()
    };
    assert_eq!((of(1).state, of(1).reason.as_str()), (State::Dead, "test"));
    assert_eq!(of(1).since, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
    assert_eq!((of(2).state, of(2).reason.as_str()), (State::Failing, "found so at start"));
}

#[test]
fn a_services_counters_keep_what_backends_that_are_gone_counted() {
    let mut world = World::new(&pool());
    let gone = world.id("web", 3).unwrap();
    let counted = BackendCounters { packets: 7, ..BackendCounters::default() };
    world.controller.plane.counters.insert(gone, counted);
    let smaller = [service("web", 1, "", &[(1, 1), (2, 1)])];
    world.reload(&smaller).unwrap();
    world.pass(60);
    assert_eq!(world.id("web", 3), None);
    let world = take_over(world, &smaller);
    assert_eq!(world.controller.identity.services["web"].former.packets, 7);
}

#[test]
fn a_slow_start_goes_on_where_it_was() {
    let slow = [service("web", 1, ", slow_start: 30s, arming: 1s", &[(1, 1), (2, 1)])];
    let mut world = World::new(&slow);
    let id = world.id("web", 2).unwrap();
    world.found("web", 2, State::Failing);
    world.pass(60);
    world.found("web", 2, State::Up);
    world.pass(13);
    let part = |world: &mut World| world.stats().services[0].backends[1].slow_start;
    assert_eq!(part(&mut world), Some(40));
    let words = world.words(1);
    let mut world = take_over(world, &slow);
    assert_eq!((part(&mut world), world.words(1)), (Some(40), words));
    world.resolve();
    world.pass(3);
    assert_eq!(part(&mut world), Some(50));
    let half = world.share(1, id);
    world.pass(20);
    assert_eq!(part(&mut world), None);
    assert!(world.share(1, id) > half && world.share(1, id) > 120);
}
