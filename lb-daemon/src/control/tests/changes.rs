use lb_common::abi::backend_flags as flag;

use super::world::{World, service};
use crate::{dataplane::Write, health::State};

#[test]
fn a_reload_of_the_same_file_touches_nothing() {
    let services = [service("web", 1, "", &[(1, 2), (2, 1)]), service("dns", 2, "", &[(1, 1)])];
    let mut world = World::new(&services);
    world.found("web", 2, State::Failing);
    world.settle();
    let words = world.words(1);
    world.writes();
    let answer = world.reload(&services).unwrap();
    assert_eq!(world.writes(), []);
    assert_eq!(world.words(1), words);
    assert_eq!((answer.changes, answer.pending), (vec![], vec![]));
}

#[test]
fn another_service_is_left_alone() {
    let dns = service("dns", 2, "", &[(1, 1), (2, 1)]);
    let mut world = World::new(&[service("web", 1, "", &[(1, 1)]), dns.clone()]);
    let words = world.words(2);
    world.reload(&[dns, service("web", 1, "", &[(1, 1), (3, 1)])]).unwrap();
    assert_eq!(world.words(2), words);
}

#[test]
fn a_removed_backend_keeps_its_flows_and_its_number_until_they_end() {
    let mut world = World::new(&[service("web", 1, "", &[(1, 1), (2, 1)])]);
    let id = world.id("web", 2).unwrap();
    let answer = world.reload(&[service("web", 1, "", &[(1, 1)])]).unwrap();
    assert!(answer.pending[0].contains("arming time of 3.5s"), "{answer:?}");
    assert!(world.share(1, id) > 0, "before arming");
    world.pass(4);
    assert_eq!(world.share(1, id), 0);
    assert!(world.words(1).unwrap().iter().any(|word| word.settled() == id));
    assert_ne!(world.backend(id).flags & flag::RESOLVED, 0);
    world.pass(40);
    assert!(world.all_at_rest(1));
    assert_eq!(world.id("web", 2), None);
    assert_eq!(world.backend(id).flags, 0);
}

#[test]
fn a_removed_backend_that_comes_back_in_time_is_the_same() {
    let both = [service("web", 1, "", &[(1, 1), (2, 1)])];
    let mut world = World::new(&both);
    let id = world.id("web", 2);
    world.reload(&[service("web", 1, "", &[(1, 1)])]).unwrap();
    world.pass(6);
    world.reload(&both).unwrap();
    assert_eq!(world.id("web", 2), id);
    world.pass(60);
    assert_eq!(world.id("web", 2), id);
    assert!(world.share(1, id.unwrap()) > 0);
}

#[test]
fn weight_0_selects_nothing_but_stays() {
    let mut world = World::new(&[service("web", 1, "", &[(1, 1), (2, 1)])]);
    let id = world.id("web", 2).unwrap();
    world.reload(&[service("web", 1, "", &[(1, 1), (2, 0)])]).unwrap();
    world.pass(60);
    assert_eq!((world.share(1, id), world.id("web", 2)), (0, Some(id)));
}

#[test]
fn a_removed_service_is_not_found_and_its_room_is_used_again() {
    let mut world =
        World::new(&[service("web", 1, "", &[(1, 1)]), service("dns", 2, "", &[(2, 1)])]);
    let gone = world.id("dns", 2).unwrap();
    world.writes();
    world.reload(&[service("web", 1, "", &[(1, 1)])]).unwrap();
    assert_eq!(world.words(2), None);
    let order: Vec<_> = world
        .writes()
        .into_iter()
        .filter(|write| matches!(write, Write::Vip(_) | Write::Port(_)))
        .collect();
    assert!(matches!(order[..], [Write::Vip(_), Write::Port(_)]), "{order:?}");
    world.pass(5);
    assert_eq!(world.backend(gone).flags, 0);
    world.reload(&[service("web", 1, "", &[(1, 1)]), service("new", 3, "", &[(5, 1)])]).unwrap();
    assert_eq!(world.id("new", 5), Some(gone));
    assert_eq!(world.words(3).unwrap().len(), 251);
}

#[test]
fn another_table_size_moves_through_the_old_table() {
    let small = [service("web", 1, "", &[(1, 1), (2, 1)])];
    let mut world = World::new(&small);
    let large = [small[0].replace("table_size: 251", "table_size: 509")];
    let answer = world.reload(&large).unwrap();
    assert!(answer.pending.iter().any(|what| what.contains("ask the old table")), "{answer:?}");
    let words = world.words(1).unwrap();
    assert_eq!(words.len(), 509);
    assert!(words.iter().all(|word| word.look_up() && word.store()));
    assert!(world.controller.identity.services["web"].old_table.is_some());
    world.pass(40);
    assert!(world.all_at_rest(1));
    assert!(world.controller.identity.services["web"].old_table.is_none());
    // A change that is under way makes the next one wait, and then it comes.
    world.reload(&small).unwrap();
    world.reload(&large).unwrap();
    assert!(world.controller.warnings()[0].contains("its table waits"));
    world.pass(80);
    assert_eq!(world.words(1).unwrap().len(), 509);
    assert_eq!(world.controller.warnings(), Vec::<String>::new());
}

#[test]
fn another_mode_keeps_numbers_and_slots() {
    let dsr = service("web", 1, "", &[(1, 1), (2, 1)]);
    let mut world = World::new(std::slice::from_ref(&dsr));
    let (id, words) = (world.id("web", 1).unwrap(), world.words(1));
    let ipip = dsr.replace("mode: dsr", "mode: ipip, tunnel: {source: 10.0.0.254}");
    let answer = world.reload(&[ipip]).unwrap();
    assert!(answer.changes[0].contains("go on to the same backends"), "{answer:?}");
    assert_eq!((world.id("web", 1), world.words(1)), (Some(id), words));
    assert_ne!(world.backend(id).flags & flag::TUNNEL, 0);
}

#[test]
fn state_that_cannot_be_written_changes_nothing() {
    let before = [service("web", 1, "", &[(1, 1)])];
    let mut world = World::new(&before);
    world.forbid_state();
    world.writes();
    let error = world.reload(&[service("web", 1, "", &[(1, 1), (2, 1)])]).unwrap_err();
    assert!(error.to_string().contains("state.json"), "{error}");
    assert_eq!(world.writes(), []);
    assert_eq!(world.id("web", 2), None);
}
