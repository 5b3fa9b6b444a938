//! The transition rules, as the data path and the daemon run them, explored
//! exhaustively in a small world (see `state`): no reachable state breaks a
//! flow; and with any one rule left out, some does.

mod explore;
mod mutants;
mod normal;
mod state;
mod table;
mod world;

use explore::{Outcome, explore};
use lb_common::abi::{ASK_OLD, FlowState, SlotWord};
use mutants::Mutant;
use state::{Client, Entry, State};
use world::World;

/// More states than any of the worlds has.
const LIMIT: usize = 5_000_000;

fn assert_holds(world: World, from: &[State]) {
    match explore(&world, from, LIMIT) {
        Outcome::Holds { states } => eprintln!("{states} states"),
        Outcome::Violated { trace, .. } => panic!("{world:?}\n{trace}"),
        Outcome::TooMany => panic!("{world:?}: more than {LIMIT} states"),
    }
}

#[test]
fn tcp_with_reselect_breaks_no_flow() {
    assert_holds(World::TCP, &[State::at_rest()]);
}

#[test]
fn tcp_with_reset_breaks_no_flow() {
    assert_holds(World { reset_on_dead: true, ..World::TCP }, &[State::at_rest()]);
}

#[test]
fn failing_backends_keep_their_flows() {
    let world = World { failing: true, copies: false, full: false, ..World::TCP };
    assert_holds(world, &[State::at_rest()]);
}

#[test]
fn flows_live_on_while_new_ones_are_refused() {
    let world = World { nobody: true, failing: true, copies: false, full: false, ..World::TCP };
    assert_holds(world, &[State::at_rest()]);
    assert_holds(World { reset_on_dead: true, failing: false, ..world }, &[State::at_rest()]);
}

#[test]
fn udp_breaks_no_flow() {
    let world = World { udp: true, copies: false, ..World::TCP };
    assert_holds(world, &[State::at_rest()]);
    assert_holds(World { reset_on_dead: true, ..world }, &[State::at_rest()]);
}

/// The moment after a service moved to another table: the flow's old slot was
/// at rest, or in transition with the flow stored or not.
fn after_table_change() -> Vec<State> {
    let moved = |old_word, client, entry| State {
        word: SlotWord::new(ASK_OLD, ASK_OLD, 5, true, true),
        old_word: Some(old_word),
        base: 0,
        written: 0,
        client,
        entry,
        ..State::at_rest()
    };
    let open = |owner| Client::Open { owner, silence: 0, closing: false };
    let rest = SlotWord::at_rest(0, 4);
    let storing = SlotWord::new(1, 0, 4, true, true);
    let looking = SlotWord::new(1, 1, 4, true, false);
    let entry = |owner, epoch| Some(Entry { owner, epoch, state: FlowState::Open, age: 0 });
    vec![
        moved(rest, open(0), None),
        moved(rest, open(0), entry(1, 3)),
        moved(storing, open(0), None),
        moved(storing, open(1), entry(1, 4)),
        moved(storing, open(0), entry(0, 4)),
        moved(looking, open(2), entry(2, 4)),
        moved(looking, open(1), None),
    ]
}

#[test]
fn another_table_breaks_no_flow() {
    let world = World { last_epoch: 5, crashes: false, ..World::TCP };
    assert_holds(world, &after_table_change());
    assert_holds(World { reset_on_dead: true, ..world }, &after_table_change());
}

#[test]
fn every_rule_left_out_breaks_a_flow() {
    for mutant in Mutant::ALL {
        let world = World { mutant: Some(mutant), ..World::TCP };
        match explore(&world, &[State::at_rest()], LIMIT) {
            Outcome::Violated { states, .. } => eprintln!("{mutant:?}: found in {states} states"),
            _ => panic!("{mutant:?} broke no flow"),
        }
    }
}
