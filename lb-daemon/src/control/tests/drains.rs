//! Backends taken out, and back: by command, and by the file.

use lb_common::{
    abi::{FlowKey, backend_flags as flag},
    hash::{FlowHash, FlowWords},
};

use super::world::{World, service};
use crate::{
    api::{
        protocol::{Command, ErrorCode, Reloaded},
        types::{BackendState, Change, EventKind, EventQuery, Who},
    },
    health::State,
    state::HealthMemory,
};

pub fn both() -> [String; 1] {
    [service("web", 1, "", &[(1, 1), (2, 1)])]
}

fn ann() -> Who {
    Who { uid: 1000, user: Some("ann".into()) }
}

fn order(world: &mut World, command: Command, change: Change) -> Reloaded {
    let change = Change {
        service: Some("web".into()),
        backend: Some("b2".into()),
        reason: "new disk".into(),
        ..change
    };
    let answer = world.controller.order(command, &change, &ann()).unwrap();
    world.settle();
    answer
}

fn drain(world: &mut World, deadline: Option<u64>) -> Reloaded {
    order(world, Command::Drain, Change { deadline, ..Change::default() })
}

fn state(world: &World) -> (BackendState, String) {
    let config = world.controller.config().clone();
    world.controller.standing(&config.services[0], &config.services[0].backends[1])
}

/// Events of a kind, in words.
pub fn told(world: &World, kind: EventKind) -> Vec<String> {
    let page = world.controller.journal.page(&EventQuery::default());
    let events = page.events.iter().filter(|event| event.kind == kind);
    events.map(ToString::to_string).collect()
}

#[test]
fn a_drained_backend_gets_nothing_new_and_is_drained_when_the_idle_time_has_passed() {
    let mut world = World::new(&both());
    let id = world.id("web", 2).unwrap();
    let answer = drain(&mut world, None);
    assert!(answer.changes[0].contains("no new connections"), "{answer:?}");
    world.pass(5);
    assert_eq!(world.share(1, id), 0);
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
    // Flows that are silent since may be there for 20 s of idle time.
    world.pass(15);
    assert_eq!(state(&world).0, BackendState::Draining);
    assert!(state(&world).1.contains("ann (uid 1000): new disk"), "{:?}", state(&world));
    world.pass(20);
    assert_eq!(state(&world).0, BackendState::Drained);
    let told = told(&world, EventKind::Backend);
    assert!(told[0].contains("-> draining"), "{told:?}");
    assert!(told[1].contains("draining -> drained"), "{told:?}");
}

#[test]
fn a_flow_that_goes_on_is_counted_and_waited_for() {
    let mut world = World::new(&both());
    let id = world.id("web", 2).unwrap();
    drain(&mut world, None);
    world.pass(5);
    let key = a_flow_of(&world, id);
    for _ in 0..10 {
        world.store(key, id);
        world.pass(10);
        assert_eq!(world.stats().services[0].backends[1].drain.as_ref().unwrap().flows, 1);
        assert_eq!(state(&world).0, BackendState::Draining);
    }
    world.pass(60);
    assert_eq!(state(&world).0, BackendState::Drained);
    assert_eq!(world.stats().services[0].backends[1].drain.as_ref().unwrap().flows, 0);
}

/// A flow whose slot the backend had before.
pub fn a_flow_of(world: &World, id: u16) -> FlowKey {
    let table = world.controller.identity.services["web"].table.unwrap();
    let words = world.words(1).unwrap();
    let keys = (1024..u16::MAX).map(super::world::flow_to_web);
    let slot = |key: &FlowKey| FlowHash::of(&FlowWords::from(key), table.key).slot(table.count);
    keys.into_iter().find(|key| words[slot(key) as usize].settled() == id).unwrap()
}

#[test]
fn past_the_deadline_what_is_left_is_a_dead_backends() {
    let mut world = World::new(&both());
    let id = world.id("web", 2).unwrap();
    drain(&mut world, Some(10));
    world.pass(9);
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
    world.pass(2);
    assert_ne!(world.backend(id).flags & flag::DEAD, 0);
    assert_eq!(state(&world).0, BackendState::Drained);
    order(&mut world, Command::Undrain, Change::default());
    assert_eq!(world.backend(id).flags & flag::DEAD, 0);
    world.pass(40);
    assert!(world.share(1, id) > 0);
}

#[test]
fn what_was_ordered_holds_after_a_reload_and_a_restart_and_says_who_and_why() {
    let mut world = World::new(&both());
    drain(&mut world, None);
    order(&mut world, Command::SetWeight, Change { weight: Some(7), ..Change::default() });
    // Another name is the same backend.
    let renamed = [both()[0].replace("name: b2", "name: other")];
    world.reload(&renamed).unwrap();
    let mut world = world.succeed(&renamed);
    let backend = &world.stats().services[0].backends[1];
    let drain = backend.drain.clone().unwrap().decision;
    assert_eq!((drain.by, drain.reason.as_str()), (Some(ann()), "new disk"));
    let weight = backend.weight_set.clone().unwrap();
    assert_eq!((weight.weight, weight.in_file, backend.weight), (7, 1, 7));
    assert_eq!(backend.state, BackendState::Draining);
    // The trail is there, too.
    assert_eq!(told(&world, EventKind::Drain), ["drain web/b2 by ann (uid 1000): new disk"]);
    assert_eq!(told(&world, EventKind::Weight).len(), 1);
}

#[test]
fn a_deadline_that_has_passed_is_no_word_of_a_probe_after_a_restart() {
    // One host, probed once for both.
    let services = [both()[0].clone(), service("more", 2, "", &[(2, 1)])];
    let mut world = World::new(&services);
    world.found("web", 2, State::Up);
    drain(&mut world, Some(10));
    world.pass(12);
    let world = world.succeed(&services);
    let remembered = world.controller.remembered(&HealthMemory::default());
    assert!(remembered.iter().all(|(_, status)| status.state != State::Dead), "{remembered:?}");
}

#[test]
fn names_that_are_unknown_find_the_nearest_and_change_nothing() {
    let mut world = World::new(&both());
    for (service, backend, meant) in [("wbe", "b1", "web"), ("web", "b11", "b1")] {
        let change = Change {
            service: Some(service.into()),
            backend: Some(backend.into()),
            ..Change::default()
        };
        let error = world.controller.order(Command::Drain, &change, &ann()).unwrap_err();
        assert_eq!(error.code, ErrorCode::NotFound);
        assert!(error.message.contains(&format!("did you mean {meant:?}")), "{error}");
    }
    let nobody = Change { host: Some("10.0.0.77".into()), ..Change::default() };
    assert!(world.controller.order(Command::Drain, &nobody, &ann()).is_err());
    assert_eq!(world.controller.overrides, crate::state::Overrides::default());
}

#[test]
fn a_host_is_drained_in_all_its_services() {
    let services = [both()[0].clone(), service("dns", 2, "", &[(2, 1)])];
    let mut world = World::new(&services);
    let change = Change { host: Some("10.0.0.2".into()), ..Change::default() };
    let answer = world.controller.order(Command::Drain, &change, &ann()).unwrap();
    assert_eq!(answer.changes.len(), 2, "{answer:?}");
    assert!(answer.warnings[0].contains("service dns: no backend is left"), "{answer:?}");
    world.settle();
    world.pass(5);
    assert_eq!(world.share(1, world.id("web", 2).unwrap()), 0);
    assert_eq!(world.share(2, world.id("dns", 2).unwrap()), 0);
}

#[test]
fn the_file_drains_as_a_command_does_and_only_the_file_undoes_it() {
    let mut world = World::new(&both());
    let id = world.id("web", 2).unwrap();
    let drained = [both()[0].replace("10.0.0.2,", "10.0.0.2, state: drain,")];
    let answer = world.reload(&drained).unwrap();
    assert!(answer.changes[0].contains("is drained"), "{answer:?}");
    world.pass(5);
    assert_eq!((world.share(1, id), state(&world).0), (0, BackendState::Draining));
    let answer = order(&mut world, Command::Undrain, Change::default());
    assert!(answer.warnings[0].contains("take `state: drain` out"), "{answer:?}");
    world.reload(&both()).unwrap();
    world.pass(5);
    assert!(world.share(1, id) > 0);
}

#[test]
fn how_many_were_cut_off_is_told_and_stays_shown() {
    let mut world = World::new(&both());
    let id = world.id("web", 2).unwrap();
    drain(&mut world, Some(10));
    world.pass(5);
    let key = a_flow_of(&world, id);
    world.store(key, id);
    world.pass(6);
    let words = "its deadline has passed: the flow that was left is cut off; drained by ann";
    assert!(state(&world).1.starts_with(words), "{:?}", state(&world));
    world.pass(60);
    assert!(state(&world).1.starts_with(words), "{:?}", state(&world));
    assert!(told(&world, EventKind::Backend)[1].contains(words));
}

#[test]
fn a_weight_that_is_set_counts_until_it_is_the_files_again() {
    let mut world = World::new(&both());
    let id = world.id("web", 2).unwrap();
    let before = world.share(1, id);
    order(&mut world, Command::SetWeight, Change { weight: Some(3), ..Change::default() });
    world.pass(60);
    assert!((180..=195).contains(&world.share(1, id)), "{}", world.share(1, id));
    // Those that it gets, and a few that Maglev moves besides, as the key will have it.
    let (gained, moved) = (world.share(1, id) - before, world.stats().services[0].slots.moved);
    assert!((gained as u64..=gained as u64 * 5 / 4).contains(&moved), "{moved} for {gained}");
    order(&mut world, Command::SetWeight, Change::default());
    world.pass(60);
    assert!((120..=130).contains(&world.share(1, id)), "{}", world.share(1, id));
}

#[test]
fn a_returning_backend_starts_slowly_and_each_slot_moves_once_at_most() {
    let slow = [service("web", 1, ", slow_start: 30s, arming: 1s", &[(1, 1), (2, 1), (3, 1)])];
    let mut world = World::new(&slow);
    let id = world.id("web", 2).unwrap();
    assert!(world.share(1, id) > 70, "a new service does not wait");
    world.found("web", 2, State::Failing);
    world.pass(60);
    assert_eq!(world.share(1, id), 0);
    let owners = |world: &World| -> Vec<u16> {
        world.words(1).unwrap().iter().map(|word| word.current()).collect()
    };
    let (before, moved) = (owners(&world), world.stats().services[0].slots.moved);
    world.found("web", 2, State::Up);
    let mut shares = Vec::new();
    for part in 1..=10 {
        // What was decided takes effect after the arming time.
        world.pass(if part == 1 { 5 } else { 3 });
        shares.push(world.share(1, id));
        let starting = (part < 10).then_some(part * 10);
        assert_eq!(world.stats().services[0].backends[1].slow_start, starting);
    }
    world.pass(5);
    let whole = world.share(1, id);
    for (share, part) in shares.iter().zip(1..=9) {
        assert_eq!(*share, (whole * part).div_ceil(10), "{shares:?} of {whole}");
    }
    let differ = before.iter().zip(owners(&world)).filter(|(was, is)| **was != *is).count();
    let moved = world.stats().services[0].slots.moved - moved;
    assert_eq!(moved, differ as u64, "slots that moved and moved again");
}

#[test]
fn an_order_that_cannot_be_kept_is_not_followed() {
    let mut world = World::new(&both());
    world.forbid_state();
    let change =
        Change { service: Some("web".into()), backend: Some("b2".into()), ..Change::default() };
    assert!(world.controller.order(Command::Drain, &change, &ann()).is_err());
    assert_eq!(state(&world).0, BackendState::Unknown);
}
