//! Backends that leave the configuration, and come back.

use lb_common::abi::backend_flags as flag;

use super::{
    drains::{a_flow_of, both, told},
    world::{World, file, service},
};
use crate::api::types::{BackendState, EventKind};

#[test]
fn a_removed_backend_has_its_time_and_then_its_flows_are_cut_off() {
    let one = [service("web", 1, ", drain: 10s", &[(1, 1)])];
    let two = [service("web", 1, ", drain: 10s", &[(1, 1), (2, 1)])];
    let mut world = World::new(&two);
    let id = world.id("web", 2).unwrap();
    let answer = world.reload(&one).unwrap();
    assert!(answer.changes[0].contains("for 10s at most"), "{answer:?}");
    world.pass(5);
    let key = a_flow_of(&world, id);
    world.store(key, id);
    world.pass(4);
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
    let shown = world.stats().services[0].removed[0].clone();
    assert_eq!((&*shown.name, &*shown.address), ("b2", "10.0.0.2"));
    assert_eq!((shown.state, shown.drain.flows), (BackendState::Draining, 1));
    assert_eq!(shown.drain.deadline, Some(shown.drain.decision.at + 10));
    world.pass(2);
    assert_ne!(world.backend(id).flags & flag::DEAD, 0);
    assert_eq!(world.stats().services[0].removed[0].state, BackendState::Drained);
    assert_eq!(
        told(&world, EventKind::Backend),
        [
            "backend web/b2 unknown -> draining: it was removed from the pool",
            "backend web/b2 draining -> drained: its deadline has passed: the flow that was left \
             is cut off; it was removed from the pool"
        ]
    );
    // It is the same backend if it comes back in time, and alive.
    world.reload(&two).unwrap();
    assert_eq!(world.id("web", 2), Some(id));
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
}

/// As with a name's addresses that come and go.
#[test]
fn a_removed_backend_that_is_back_in_time_is_not_cut_off_later() {
    let one = [service("web", 1, ", drain: 10s", &[(1, 1)])];
    let two = [service("web", 1, ", drain: 10s", &[(1, 1), (2, 1)])];
    let mut world = World::new(&two);
    let id = world.id("web", 2).unwrap();
    world.reload(&one).unwrap();
    world.pass(5);
    world.reload(&two).unwrap();
    world.pass(60);
    assert_eq!(world.id("web", 2), Some(id));
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
    assert!(world.share(1, id) > 0);
    assert_eq!(world.controller.overrides, crate::state::Overrides::default());
}

#[test]
fn a_removed_backend_without_flows_is_drained_before_its_time() {
    let one = [service("web", 1, ", drain: unlimited", &[(1, 1)])];
    let two = [service("web", 1, ", drain: unlimited", &[(1, 1), (2, 1)])];
    let mut world = World::new(&two);
    world.reload(&one).unwrap();
    // Arming, the idle time, and a scan.
    world.pass(20);
    assert_eq!(world.stats().services[0].removed[0].state, BackendState::Draining);
    world.pass(60);
    assert_eq!(world.stats().services[0].removed, []);
    assert_eq!(world.id("web", 2), None);
    assert_eq!(
        told(&world, EventKind::Backend)[1..],
        ["backend web/b2 draining -> drained: no flow is left; it was removed from the pool"]
    );
}

#[test]
fn a_removed_backends_drain_goes_on_after_a_restart() {
    let one = [service("web", 1, ", drain: 60s", &[(1, 1)])];
    let two = [service("web", 1, ", drain: 60s", &[(1, 1), (2, 1)])];
    let mut world = World::new(&two);
    let id = world.id("web", 2).unwrap();
    world.reload(&one).unwrap();
    world.pass(10);
    let before = world.stats().services[0].removed[0].drain.deadline;
    let mut world = world.succeed(&one);
    world.begin();
    assert_eq!(world.stats().services[0].removed[0].drain.deadline, before);
    assert!(told(&world, EventKind::Backend).is_empty());
    world.pass(30);
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
}

#[test]
fn now_is_without_that_time() {
    let mut world = World::new(&both());
    let id = world.id("web", 2).unwrap();
    let one = file(&[service("web", 1, "", &[(1, 1)])]);
    world.controller.reload(one, true).unwrap();
    assert_ne!(world.backend(id).flags & flag::DEAD, 0);
}
