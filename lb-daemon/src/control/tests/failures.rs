use lb_common::abi::backend_flags as flag;

use super::world::{World, service};
use crate::{dataplane::Write, health::State};

fn pool() -> Vec<String> {
    vec![service("web", 1, "", &[(1, 2), (2, 1), (3, 1)])]
}

#[test]
fn a_new_service_spreads_by_weight() {
    let world = World::new(&pool());
    let shares: Vec<_> =
        [1, 2, 3].map(|last| world.share(1, world.id("web", last).unwrap())).into();
    assert_eq!(shares.iter().sum::<usize>(), 251);
    assert!((124..=127).contains(&shares[0]), "{shares:?}");
    assert!(world.all_at_rest(1));
}

#[test]
fn a_dead_backend_is_marked_before_any_slot_moves() {
    let mut world = World::new(&pool());
    let id = world.id("web", 1).unwrap();
    world.writes();
    world.found("web", 1, State::Dead);
    assert_eq!(world.writes(), [Write::Backend(id)]);
    assert_ne!(world.backend(id).flags & flag::DEAD, 0);
    assert!(world.share(1, id) > 0);
    world.settle();
    assert_eq!(world.share(1, id), 0);
}

#[test]
fn a_failing_backend_gets_no_new_flows_and_keeps_its_own() {
    let mut world = World::new(&pool());
    let id = world.id("web", 1).unwrap();
    world.found("web", 1, State::Failing);
    world.settle();
    assert_eq!(world.backend(id).flags & (flag::DEAD | flag::FAILING), flag::FAILING);
    let words = world.words(1).unwrap();
    assert!(words.iter().all(|word| word.current() != id));
    assert!(words.iter().any(|word| word.settled() == id && word.look_up() && word.store()));
}

#[test]
fn a_dead_backend_that_returns_gets_its_slots_back_after_arming() {
    let mut world = World::new(&pool());
    let id = world.id("web", 1).unwrap();
    let before = world.share(1, id);
    world.found("web", 1, State::Dead);
    world.settle();
    world.found("web", 1, State::Up);
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
    assert!(world.words(1).unwrap().iter().all(|word| word.settled() != id));
    world.settle();
    assert_eq!(world.share(1, id), 0);
    world.pass(4);
    assert_eq!(world.share(1, id), before);
    world.pass(30);
    assert!(world.all_at_rest(1));
}

#[test]
fn when_all_are_down_nothing_is_dead_and_all_get_flows() {
    let mut world = World::new(&pool());
    for last in [1, 2, 3] {
        world.found("web", last, State::Dead);
    }
    world.settle();
    world.pass(40);
    for last in [1, 2, 3] {
        let id = world.id("web", last).unwrap();
        assert_eq!(world.backend(id).flags & flag::DEAD, 0);
        assert!(world.share(1, id) > 0, "b{last}");
    }
    world.found("web", 2, State::Up);
    let dead = world.id("web", 1).unwrap();
    assert_ne!(world.backend(dead).flags & flag::DEAD, 0);
}

#[test]
fn a_backend_that_is_down_before_its_first_probe_gets_nothing() {
    let mut world = World::new(&[service("web", 1, ", initial_state: down", &[(1, 1), (2, 1)])]);
    world.found("web", 1, State::Up);
    world.settle();
    world.pass(5);
    let unknown = world.id("web", 2).unwrap();
    assert_eq!(world.share(1, unknown), 0);
}

#[test]
fn one_host_that_dies_is_marked_in_all_its_services_at_once() {
    // At the host's own address, so that the services share a probe.
    let direct = |text: String| text.replace("type: tcp", "type: tcp, via: direct");
    let services: Vec<_> =
        (0..100).map(|n| direct(service(&format!("s{n}"), n, "", &[(1, 1), (2, 1)]))).collect();
    let mut world = World::new(&services);
    world.writes();
    world.found("s0", 1, State::Dead);
    let writes = world.writes();
    assert_eq!(writes.len(), 100);
    assert!(writes.iter().all(|write| matches!(write, Write::Backend(_))));
}
