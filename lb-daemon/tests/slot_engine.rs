//! What the engine writes, and when.

use lb_common::abi::{
    ASK_OLD, FlowEntry, FlowOwner, FlowSeen, FlowState, NO_BACKEND, Service, SlotWord, Table,
    service_flags,
};
use lb_common::transition::{Health, Pressure};
use lb_daemon::slots::{Engine, HeapSlots, InTransition, Place, Refusal, SlotMemory};

const SERVICE: u16 = 1;
const SECOND: u64 = 100;
const ARMING: u64 = 350;
const IDLE: u64 = 35_000;
const START: u64 = 1_000_000;

const A: u16 = 10;
const B: u16 = 11;
const C: u16 = 12;

const RESELECT: u32 = service_flags::USED;
const RESET: u32 = service_flags::USED | service_flags::RESET_ON_DEAD;

fn service(flags: u32, count: u32) -> Service {
    Service {
        flags,
        table: Table { base: 64, count, key: [1, 2] },
        tcp_idle: IDLE as u32,
        half_open: 6_400,
        closing: 12_000,
        arming: ARMING as u32,
        udp_idle: 6_000,
        ..Service::default()
    }
}

/// One service with these owners, at rest.
fn engine(flags: u32, owners: &[u16]) -> Engine<HeapSlots> {
    let mut engine = Engine::new(HeapSlots::new(1024), SECOND as u32);
    engine.add(SERVICE, service(flags, owners.len() as u32), owners, 0);
    engine
}

fn word(engine: &Engine<HeapSlots>, slot: u32) -> SlotWord {
    engine.memory().load(64 + slot)
}

/// A whole scan that finds these entries of slot 0. Returns which are to go.
fn scan(
    engine: &mut Engine<HeapSlots>,
    pressure: Pressure,
    entries: &[FlowEntry],
    now: u64,
) -> Vec<bool> {
    let scan = engine.begin_scan(pressure, now);
    let place = Some(Place { service_id: SERVICE, slot: 0, old_slot: None });
    let gone = entries.iter().map(|&entry| engine.judge(&scan, place, false, entry, now)).collect();
    engine.finish_scan(scan, now);
    gone
}

fn entry(owner: u16, epoch: u16, seen: u64) -> FlowEntry {
    FlowEntry { owner: FlowOwner::new(owner, epoch, 0), seen: FlowSeen::new(seen, FlowState::Open) }
}

const fn storing(current: u16, settled: u16, epoch: u16) -> SlotWord {
    SlotWord::new(current, settled, epoch, true, true)
}

const fn looking(owner: u16, epoch: u16) -> SlotWord {
    SlotWord::new(owner, owner, epoch, true, false)
}

#[test]
fn a_planned_change_arms_flips_settles_and_rests() {
    let mut engine = engine(RESELECT, &[A, B]);
    engine.set_desired(SERVICE, &[C, B], START);
    assert_eq!(word(&engine, 0), storing(A, A, 1));
    assert_eq!(word(&engine, 1), SlotWord::at_rest(B, 0));

    let flip = START + ARMING;
    assert_eq!(engine.tick(flip - 1), Some(flip));
    assert_eq!(word(&engine, 0), storing(A, A, 1));
    let settle = START + IDLE + SECOND;
    assert_eq!(engine.tick(flip), Some(settle));
    assert_eq!(word(&engine, 0), storing(C, A, 1));

    engine.tick(settle - 1);
    assert_eq!(word(&engine, 0), storing(C, A, 1));
    assert_eq!(engine.tick(settle), None);
    assert_eq!(word(&engine, 0), looking(C, 1));

    scan(&mut engine, Pressure::Low, &[], settle + SECOND - 1);
    assert_eq!(word(&engine, 0), looking(C, 1));
    scan(&mut engine, Pressure::Low, &[], settle + SECOND);
    assert_eq!(word(&engine, 0), SlotWord::at_rest(C, 1));
}

#[test]
fn a_live_flow_of_the_old_owner_keeps_its_slot_from_resting() {
    let mut engine = engine(RESELECT, &[A]);
    engine.set_desired(SERVICE, &[B], START);
    engine.tick(START + ARMING);
    let settled = START + IDLE + SECOND;
    engine.tick(settled);
    let now = settled + IDLE;
    let entries = [entry(A, 1, now), entry(B, 1, now), entry(A, 0, now), entry(A, 1, START)];
    let gone = scan(&mut engine, Pressure::Low, &entries, now);
    assert_eq!(gone, [false, true, true, true]);
    assert_eq!(word(&engine, 0), looking(B, 1));
    scan(&mut engine, Pressure::Low, &[], now + 1);
    assert_eq!(word(&engine, 0), SlotWord::at_rest(B, 1));
}

#[test]
fn a_failed_insert_delays_the_flip_and_the_settling() {
    let mut engine = engine(RESELECT, &[A]);
    engine.set_desired(SERVICE, &[B], START);
    engine.memory_mut().note_failure(64, START + 200);
    engine.tick(START + ARMING);
    assert_eq!(word(&engine, 0), storing(A, A, 1));
    let flip = START + 200 + ARMING;
    engine.tick(flip);
    assert_eq!(word(&engine, 0), storing(B, A, 1));

    let failed = START + IDLE;
    engine.memory_mut().note_failure(64, failed);
    engine.tick(START + IDLE + SECOND);
    assert_eq!(word(&engine, 0), storing(B, A, 1));
    engine.tick(failed + IDLE + SECOND);
    assert_eq!(word(&engine, 0), looking(B, 1));
}

#[test]
fn a_change_taken_back_before_and_after_the_flip_stores_no_longer() {
    let mut engine = engine(RESELECT, &[A]);
    engine.set_desired(SERVICE, &[B], START);
    engine.set_desired(SERVICE, &[A], START + 10);
    assert_eq!(word(&engine, 0), looking(A, 1));

    engine.set_desired(SERVICE, &[B], START + 20);
    assert_eq!(word(&engine, 0), storing(A, A, 1), "armed again, in the same epoch");
    engine.tick(START + 20 + ARMING);
    engine.set_desired(SERVICE, &[C], START + 400);
    assert_eq!(word(&engine, 0), storing(C, A, 1), "another change writes `current` only");
    engine.set_desired(SERVICE, &[A], START + 500);
    assert_eq!(word(&engine, 0), looking(A, 1));
}

#[test]
fn slots_of_a_dead_backend_move_at_once() {
    let mut engine = engine(RESELECT, &[A]);
    engine.backend_changed(SERVICE, A, Health::Dead, START);
    engine.set_desired(SERVICE, &[B], START);
    assert_eq!(word(&engine, 0), SlotWord::at_rest(B, 0));
}

#[test]
fn under_reset_a_dead_backend_stays_to_be_answered_for_until_it_is_back() {
    let mut engine = engine(RESET, &[A]);
    engine.backend_changed(SERVICE, A, Health::Dead, START);
    engine.set_desired(SERVICE, &[B], START);
    assert_eq!(word(&engine, 0), storing(B, A, 1));
    engine.backend_changed(SERVICE, A, Health::Up, START + 50);
    assert_eq!(word(&engine, 0), looking(B, 1));
}

#[test]
fn under_reset_a_failed_insert_gives_a_dead_backend_up() {
    let mut engine = engine(RESET, &[A]);
    engine.backend_changed(SERVICE, A, Health::Dead, START);
    engine.set_desired(SERVICE, &[B], START);
    let look = engine.tick(START + 1).expect("the slot is looked at every second");
    engine.memory_mut().note_failure(64, START + 20);
    engine.tick(look);
    assert_eq!(word(&engine, 0), looking(B, 1));
}

#[test]
fn a_failing_backend_keeps_its_flows_and_gets_no_more() {
    let mut engine = engine(RESELECT, &[A]);
    engine.backend_changed(SERVICE, A, Health::Failing, START);
    engine.set_desired(SERVICE, &[B], START);
    assert_eq!(word(&engine, 0), storing(B, A, 1));
}

#[test]
fn an_armed_slot_flips_at_once_when_its_owner_fails_or_dies() {
    for (health, expected) in [(Health::Failing, storing(B, A, 1)), (Health::Dead, looking(B, 1))] {
        let mut engine = engine(RESELECT, &[A]);
        engine.set_desired(SERVICE, &[B], START);
        engine.backend_changed(SERVICE, A, health, START + 10);
        assert_eq!(word(&engine, 0), expected, "{health:?}");
    }
}

#[test]
fn a_dead_settled_is_forgotten_at_once_under_reselect() {
    let mut engine = engine(RESELECT, &[A]);
    engine.set_desired(SERVICE, &[B], START);
    engine.tick(START + ARMING);
    engine.backend_changed(SERVICE, A, Health::Dead, START + 1000);
    assert_eq!(word(&engine, 0), looking(B, 1));
}

#[test]
fn entries_of_a_service_that_was_there_before_stay_void() {
    let mut engine = Engine::new(HeapSlots::new(1024), SECOND as u32);
    engine.add(SERVICE, service(RESELECT, 1), &[A], START);
    engine.set_desired(SERVICE, &[B], START + 1);
    let stored = word(&engine, 0).epoch();
    engine.remove(SERVICE);
    engine.add(SERVICE, service(RESELECT, 1), &[A], START + SECOND);
    for wait in 1..10 {
        engine.set_desired(SERVICE, &[[B, A][wait % 2]], START + SECOND * wait as u64);
        assert_ne!(word(&engine, 0).epoch(), stored);
    }
}

#[test]
fn a_first_backend_gets_its_slots_at_once() {
    let mut engine = engine(RESET, &[NO_BACKEND]);
    engine.set_desired(SERVICE, &[A], START);
    assert_eq!(word(&engine, 0), SlotWord::at_rest(A, 0));
}

#[test]
fn a_service_of_single_requests_never_leaves_rest() {
    let mut engine = Engine::new(HeapSlots::new(1024), SECOND as u32);
    engine.add(SERVICE, Service { tcp_idle: 0, ..service(RESELECT, 1) }, &[A], 0);
    engine.set_desired(SERVICE, &[B], START);
    assert_eq!(word(&engine, 0), SlotWord::at_rest(B, 0));
}

#[test]
fn under_pressure_entries_that_say_what_settled_says_go_and_are_stored_anew() {
    let mut engine = engine(RESELECT, &[A]);
    engine.set_desired(SERVICE, &[B], START);
    engine.tick(START + ARMING);
    let now = START + 10_000;
    let entries = [entry(A, 1, now - 401), entry(A, 1, now - 399), entry(B, 1, now - 401)];
    assert_eq!(scan(&mut engine, Pressure::High, &entries, now), [false; 3]);
    assert_eq!(scan(&mut engine, Pressure::Critical, &entries, now), [true, false, false]);
    engine.tick(START + IDLE + SECOND);
    assert_eq!(word(&engine, 0), storing(B, A, 1));
    engine.tick(now + IDLE + SECOND);
    assert_eq!(word(&engine, 0), looking(B, 1));
}

#[test]
fn a_new_daemon_goes_on_from_the_words_and_counts_storing_from_its_start() {
    let mut first = engine(RESELECT, &[A, B]);
    first.set_desired(SERVICE, &[C, B], START);
    first.tick(START + ARMING);

    let started = START + 10_000;
    let mut second = Engine::new(first.memory().clone(), SECOND as u32);
    second.adopt(SERVICE, service(RESELECT, 2), &[C, A], started);
    assert_eq!(word(&second, 0), storing(C, A, 1));
    assert_eq!(word(&second, 1), storing(B, B, 1), "desired otherwise than found");
    second.tick(started + ARMING);
    assert_eq!(word(&second, 1), storing(A, B, 1));
    second.tick(started + IDLE);
    assert_eq!(word(&second, 0), storing(C, A, 1));
    second.tick(started + IDLE + SECOND);
    assert_eq!(word(&second, 0), looking(C, 1));
}

#[test]
fn counts_and_shares_show_where_slots_stand() {
    let mut engine = engine(RESELECT, &[A, A, A, B]);
    engine.set_desired(SERVICE, &[A, B, A, B], START);
    engine.tick(START + ARMING);
    engine.set_desired(SERVICE, &[C, B, A, B], START + ARMING);
    let expected = InTransition { arming: 1, storing: 1, looking: 0 };
    assert_eq!(engine.in_transition(SERVICE), expected);
    assert_eq!(engine.shares(SERVICE).into_iter().collect::<Vec<_>>(), [(A, 2), (B, 2)]);
}

const NEXT_TABLE: Table = Table { base: 512, count: 3, key: [3, 4] };

#[test]
fn another_table_asks_the_previous_one_until_every_flow_is_stored() {
    let mut engine = engine(RESELECT, &[A, B]);
    let mut written = None;
    let switched = engine.change_table(SERVICE, NEXT_TABLE, &[A, B, C], START, |service| {
        written = Some(*service);
        Ok::<u64, Refusal>(START)
    });
    switched.expect("nothing stands in the way");
    let service = written.expect("the change writes the service");
    assert_eq!((service.table, service.old_table.base), (NEXT_TABLE, 64));
    assert_ne!(service.flags & service_flags::HAS_OLD_TABLE, 0);
    let word = |engine: &Engine<HeapSlots>, slot: u32| engine.memory().load(512 + slot);
    assert_eq!(word(&engine, 2), storing(ASK_OLD, ASK_OLD, 1));
    assert_eq!(engine.shares(SERVICE).get(&C), Some(&1));

    engine.tick(START + ARMING);
    assert_eq!(word(&engine, 2), storing(C, ASK_OLD, 1));
    let again = engine.change_table(SERVICE, NEXT_TABLE, &[A; 3], START, |_| Ok(START));
    assert_eq!(again, Err(Refusal::Busy));

    let settled = START + IDLE + SECOND;
    engine.tick(settled);
    assert_eq!(word(&engine, 2), looking(C, 1));
    assert!(engine.finish_table_changes(settled).is_empty());
    let finished = engine.finish_table_changes(settled + SECOND);
    assert_eq!(finished[0].freed.base, 64);
    assert_eq!(finished[0].service.flags & service_flags::HAS_OLD_TABLE, 0);
    assert!(engine.finish_table_changes(settled + 2 * SECOND).is_empty());
}

#[test]
fn another_table_asks_one_whose_last_backend_was_drained() {
    let mut engine = engine(RESELECT, &[A]);
    engine.set_desired(SERVICE, &[NO_BACKEND], START);
    engine.tick(START + ARMING);
    let now = START + IDLE + SECOND;
    engine.tick(now);
    assert_eq!(word(&engine, 0), looking(NO_BACKEND, 1));
    let mut written = None;
    engine
        .change_table(SERVICE, NEXT_TABLE, &[B; 3], now, |service| {
            written = Some(*service);
            Ok::<u64, Refusal>(now)
        })
        .expect("nothing stands in the way");
    assert_ne!(written.expect("the change writes").flags & service_flags::HAS_OLD_TABLE, 0);
}

#[test]
fn another_table_waits_while_flows_cannot_be_stored() {
    let mut engine = engine(RESELECT, &[A]);
    engine.memory_mut().note_failure(64, START);
    let changed = engine.change_table(SERVICE, NEXT_TABLE, &[A; 3], START + 10, |_| Ok(START));
    assert_eq!(changed, Err(Refusal::FlowTableFull));
}

#[test]
fn a_change_of_table_that_could_not_be_written_did_not_happen() {
    let mut engine = engine(RESELECT, &[A]);
    let changed = engine.change_table(SERVICE, NEXT_TABLE, &[A; 3], START, |_| Err(Refusal::Busy));
    assert_eq!(changed, Err(Refusal::Busy));
    engine.set_desired(SERVICE, &[B], START);
    assert_eq!(word(&engine, 0), storing(A, A, 1));
}

#[test]
fn a_backend_that_dies_is_taken_out_of_the_previous_table() {
    let mut engine = engine(RESELECT, &[A]);
    engine
        .change_table(SERVICE, NEXT_TABLE, &[B, C, C], START, |_| Ok::<u64, Refusal>(START))
        .expect("nothing stands in the way");
    engine.backend_changed(SERVICE, A, Health::Dead, START + 10);
    let old = word(&engine, 0);
    assert_eq!((old.current(), old.settled()), (B, NO_BACKEND));
}

#[test]
fn an_id_is_free_when_no_slot_and_no_entry_of_a_later_scan_names_it() {
    let mut engine = engine(RESELECT, &[A]);
    engine.set_desired(SERVICE, &[B], START);
    engine.retire_id(A);
    engine.tick(START + ARMING);
    let settled = START + IDLE + SECOND;
    scan(&mut engine, Pressure::Low, &[], settled);
    assert!(engine.take_free_ids().is_empty(), "a slot names it");

    engine.tick(settled);
    let live = [entry(A, 1, settled + IDLE)];
    scan(&mut engine, Pressure::Low, &live, settled + SECOND);
    scan(&mut engine, Pressure::Low, &live, settled + 2 * SECOND);
    assert!(engine.take_free_ids().is_empty(), "an entry names it");
    scan(&mut engine, Pressure::Low, &[], settled + 3 * SECOND);
    assert_eq!(engine.take_free_ids(), [A]);
    assert!(engine.take_free_ids().is_empty());
}

#[test]
fn entries_of_no_service_are_deleted_but_not_those_of_one_that_is_not_adopted_yet() {
    let mut engine = engine(RESELECT, &[A]);
    let scan = engine.begin_scan(Pressure::Low, START);
    let unknown = Place { service_id: 99, slot: 0, old_slot: None };
    assert!(engine.judge(&scan, None, false, entry(A, 0, START), START));
    assert!(!engine.judge(&scan, Some(unknown), false, entry(A, 0, START), START));
    engine.finish_scan(scan, START);
}
