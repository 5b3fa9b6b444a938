//! The data path's rules, packet by packet.

use lb_common::abi::{
    ASK_OLD, FlowEntry, FlowOwner, FlowSeen, FlowState, NO_BACKEND, Service, SlotWord,
    service_flags,
};
use lb_common::transition::{FlowTable, Insert, PacketKind, Steer, dead_at_rest, locate, steer};

const NOW: u64 = 100_000;
const ARMING: u64 = 350;
const HALF_OPEN: u64 = 6_400;
const UDP_IDLE: u64 = 6_000;
const TAG: u32 = 0xfeed;

/// Backends: the slot's old owner, its new one, and one that died.
const OLD: u16 = 1;
const NEW: u16 = 2;
const DEAD: u16 = 9;

const AT_REST: SlotWord = SlotWord::at_rest(OLD, 4);
const STORING: SlotWord = SlotWord::new(NEW, OLD, 5, true, true);
const LOOKING: SlotWord = SlotWord::new(NEW, NEW, 5, true, false);

const RESELECT: u32 = service_flags::USED;
const RESET: u32 = service_flags::USED | service_flags::RESET_ON_DEAD;
const KEEP_UDP: u32 = service_flags::USED | service_flags::UDP_KEEP;

#[derive(Default)]
struct Table {
    entry: Option<FlowEntry>,
    /// Appears just before the packet's own insert.
    rival: Option<FlowEntry>,
    full: bool,
    last_failure: Option<u64>,
    old_word: Option<SlotWord>,
    calls: Vec<&'static str>,
}

impl FlowTable for Table {
    fn tag(&self) -> u32 {
        TAG
    }

    fn find(&mut self) -> Option<FlowEntry> {
        self.calls.push("find");
        self.entry
    }

    fn refresh(&mut self, seen: FlowSeen) {
        self.calls.push("refresh");
        self.entry.as_mut().expect("an entry to refresh").seen = seen;
    }

    fn insert(&mut self, entry: FlowEntry) -> Insert {
        self.calls.push("insert");
        if let Some(rival) = self.rival.take() {
            self.entry = Some(rival);
        }
        if self.entry.is_some() {
            return Insert::Exists;
        }
        if self.full {
            return Insert::Full;
        }
        self.entry = Some(entry);
        Insert::Done
    }

    fn overwrite(&mut self, entry: FlowEntry) -> bool {
        self.calls.push("overwrite");
        self.entry = Some(entry);
        true
    }

    fn delete(&mut self) {
        self.calls.push("delete");
        self.entry = None;
    }

    fn note_failure(&mut self) {
        self.calls.push("note failure");
        self.last_failure = Some(NOW);
    }

    fn last_failure(&mut self) -> Option<u64> {
        self.last_failure
    }

    fn is_dead(&mut self, backend: u16) -> bool {
        backend == DEAD || backend == NO_BACKEND
    }

    fn old_word(&mut self) -> Option<SlotWord> {
        self.old_word
    }
}

impl Table {
    fn with(entry: FlowEntry) -> Self {
        Self { entry: Some(entry), ..Self::default() }
    }

    fn full() -> Self {
        Self { full: true, ..Self::default() }
    }

    fn steer(&mut self, word: SlotWord, kind: PacketKind, flags: u32) -> Steer {
        steer(word, kind, &service(flags), NOW, self)
    }

    /// Owner, epoch and state of the entry.
    fn stored(&self) -> Option<(u16, u16, FlowState)> {
        let entry = self.entry?;
        Some((entry.owner.backend(), entry.owner.epoch(), entry.seen.state()))
    }
}

fn service(flags: u32) -> Service {
    Service {
        flags,
        tcp_idle: 35_000,
        half_open: HALF_OPEN as u32,
        closing: 12_000,
        arming: ARMING as u32,
        udp_idle: UDP_IDLE as u32,
        ..Service::default()
    }
}

fn entry(backend: u16, epoch: u16, state: FlowState, silence: u64) -> FlowEntry {
    FlowEntry {
        owner: FlowOwner::new(backend, epoch, TAG),
        seen: FlowSeen::new(NOW - silence, state),
    }
}

#[test]
fn at_rest_no_flow_is_looked_up_or_stored() {
    for kind in [PacketKind::Syn, PacketKind::Data, PacketKind::Rst, PacketKind::Udp] {
        let mut table = Table::with(entry(NEW, 4, FlowState::Open, 0));
        assert_eq!(table.steer(AT_REST, kind, KEEP_UDP), Steer::To(OLD));
        assert!(table.calls.is_empty(), "{:?}", table.calls);
    }
}

#[test]
fn a_dead_owner_at_rest_is_answered_or_waited_for() {
    let dead = SlotWord::at_rest(DEAD, 0);
    for (kind, flags, expected) in [
        (PacketKind::Syn, RESET, Steer::Drop),
        (PacketKind::Data, RESET, Steer::Reset),
        (PacketKind::Fin, RESET, Steer::Reset),
        (PacketKind::Rst, RESET, Steer::Drop),
        (PacketKind::Udp, RESET, Steer::Drop),
        (PacketKind::Data, RESELECT, Steer::Drop),
        (PacketKind::Syn, RESELECT, Steer::Drop),
    ] {
        assert_eq!(Table::default().steer(dead, kind, flags), expected, "{kind:?}");
        assert_eq!(dead_at_rest(kind, &service(flags)), expected, "{kind:?}");
    }
}

#[test]
fn while_storing_new_flows_go_to_current_and_unknown_ones_to_settled() {
    for (kind, to, state) in [
        (PacketKind::Syn, NEW, FlowState::HalfOpen),
        (PacketKind::Data, OLD, FlowState::Open),
        (PacketKind::Fin, OLD, FlowState::Closing),
    ] {
        let mut table = Table::default();
        assert_eq!(table.steer(STORING, kind, RESELECT), Steer::To(to), "{kind:?}");
        assert_eq!(table.stored(), Some((to, 5, state)), "{kind:?}");
    }
}

#[test]
fn an_rst_is_never_stored() {
    let mut table = Table::default();
    assert_eq!(table.steer(STORING, PacketKind::Rst, RESELECT), Steer::To(OLD));
    assert_eq!(table.stored(), None);
}

#[test]
fn while_looking_nothing_is_stored() {
    for kind in [PacketKind::Syn, PacketKind::Data, PacketKind::Fin] {
        let mut table = Table::default();
        assert_eq!(table.steer(LOOKING, kind, RESELECT), Steer::To(NEW));
        assert_eq!(table.calls, ["find"]);
    }
}

#[test]
fn a_packet_refreshes_its_flow_and_its_state() {
    use FlowState::{Closing, HalfOpen, Open, Reset};
    for (kind, before, after) in [
        (PacketKind::Data, HalfOpen, Open),
        (PacketKind::Data, Open, Open),
        (PacketKind::Data, Closing, Closing),
        (PacketKind::Data, Reset, Open),
        (PacketKind::Fin, Open, Closing),
        (PacketKind::Fin, Reset, Closing),
        (PacketKind::Rst, Open, Reset),
        (PacketKind::Rst, Closing, Closing),
        (PacketKind::Syn, HalfOpen, HalfOpen),
        (PacketKind::Syn, Open, Open),
    ] {
        let mut table = Table::with(entry(OLD, 5, before, 100));
        assert_eq!(table.steer(LOOKING, kind, RESELECT), Steer::To(OLD));
        assert_eq!(table.entry, Some(entry(OLD, 5, after, 0)), "{kind:?} after {before:?}");
        assert_eq!(table.calls, ["find", "refresh"]);
    }
}

#[test]
fn an_entry_of_another_epoch_is_replaced_in_place_even_when_the_table_is_full() {
    let mut table = Table { full: true, ..Table::with(entry(3, 4, FlowState::Open, 0)) };
    assert_eq!(table.steer(STORING, PacketKind::Data, RESELECT), Steer::To(OLD));
    assert_eq!(table.stored(), Some((OLD, 5, FlowState::Open)));
    assert_eq!(table.last_failure, None);
}

#[test]
fn a_copy_of_a_syn_follows_its_flow_and_a_new_flow_does_not() {
    use FlowState::{Closing, HalfOpen, Open, Reset};
    for (state, silence, to) in [
        (HalfOpen, HALF_OPEN, OLD),
        (HalfOpen, HALF_OPEN + 1, NEW),
        (Open, 35_000, OLD),
        (Open, 35_001, NEW),
        (Closing, ARMING, OLD),
        (Closing, ARMING + 1, NEW),
        (Reset, ARMING + 1, NEW),
    ] {
        let mut table = Table::with(entry(OLD, 5, state, silence));
        let went = table.steer(STORING, PacketKind::Syn, RESELECT);
        assert_eq!(went, Steer::To(to), "{state:?}, silent for {silence}");
        assert_eq!(table.stored().map(|(owner, ..)| owner), Some(to));
    }
}

#[test]
fn a_new_flow_deletes_its_predecessors_entry_when_it_is_not_stored() {
    let mut table = Table::with(entry(OLD, 5, FlowState::Closing, ARMING + 1));
    assert_eq!(table.steer(LOOKING, PacketKind::Syn, RESELECT), Steer::To(NEW));
    assert_eq!(table.stored(), None);
}

#[test]
fn what_cannot_be_stored_goes_to_settled() {
    for kind in [PacketKind::Syn, PacketKind::Data] {
        let mut table = Table::full();
        assert_eq!(table.steer(STORING, kind, RESELECT), Steer::To(OLD), "{kind:?}");
        assert_eq!(table.last_failure, Some(NOW), "{kind:?}");
    }
}

#[test]
fn a_syn_soon_after_a_failed_insert_goes_to_settled_for_it_may_be_a_copy() {
    for (since, to) in [(0, OLD), (ARMING - 1, OLD), (ARMING, NEW)] {
        let mut table = Table { last_failure: Some(NOW - since), ..Table::default() };
        assert_eq!(table.steer(STORING, PacketKind::Syn, RESELECT), Steer::To(to), "{since}");
        assert_eq!(table.stored(), Some((to, 5, FlowState::HalfOpen)));
    }
}

#[test]
fn a_dead_settled_answers_or_hands_over() {
    let word = SlotWord::new(NEW, DEAD, 5, true, true);
    for (kind, flags, expected) in [
        (PacketKind::Data, RESET, Steer::Reset),
        (PacketKind::Rst, RESET, Steer::Drop),
        (PacketKind::Data, RESELECT, Steer::To(NEW)),
    ] {
        let mut table = Table::default();
        assert_eq!(table.steer(word, kind, flags), expected, "{kind:?}");
        assert_eq!(table.stored(), None);
    }
    assert_eq!(Table::full().steer(word, PacketKind::Syn, RESET), Steer::Drop);
    assert_eq!(Table::full().steer(word, PacketKind::Syn, RESELECT), Steer::To(NEW));
}

#[test]
fn the_flow_of_a_dead_backend_is_answered_and_its_tuple_is_free_for_a_new_one() {
    let dead = entry(DEAD, 5, FlowState::Open, 10);
    for (kind, expected) in [
        (PacketKind::Data, Steer::Reset),
        (PacketKind::Rst, Steer::Drop),
        (PacketKind::Syn, Steer::To(NEW)),
    ] {
        assert_eq!(Table::with(dead).steer(STORING, kind, RESELECT), expected, "{kind:?}");
    }
}

#[test]
fn of_two_copies_on_two_cpus_the_first_to_store_decides() {
    let rival = entry(3, 5, FlowState::HalfOpen, 0);
    for kind in [PacketKind::Syn, PacketKind::Data] {
        let mut table = Table { rival: Some(rival), ..Table::default() };
        assert_eq!(table.steer(STORING, kind, RESELECT), Steer::To(3), "{kind:?}");
        assert_eq!(table.entry, Some(rival));
    }
}

#[test]
fn a_rival_of_another_epoch_does_not_count() {
    let mut table = Table { rival: Some(entry(3, 4, FlowState::Open, 0)), ..Table::default() };
    assert_eq!(table.steer(STORING, PacketKind::Syn, RESELECT), Steer::To(NEW));
    assert_eq!(table.stored(), Some((NEW, 5, FlowState::HalfOpen)));
}

#[test]
fn a_service_without_backends_stores_nothing() {
    let word = SlotWord::new(NO_BACKEND, OLD, 5, true, true);
    let mut table = Table::default();
    assert_eq!(table.steer(word, PacketKind::Syn, RESELECT), Steer::To(NO_BACKEND));
    assert_eq!(table.stored(), None);
}

#[test]
fn udp_fast_always_goes_to_current() {
    let mut table = Table::with(entry(OLD, 5, FlowState::Open, 0));
    assert_eq!(table.steer(STORING, PacketKind::Udp, RESELECT), Steer::To(NEW));
    assert!(table.calls.is_empty(), "{:?}", table.calls);
}

#[test]
fn udp_keep_follows_live_entries_and_settled() {
    let known = entry(3, 5, FlowState::Open, UDP_IDLE);
    let mut table = Table::with(known);
    assert_eq!(table.steer(STORING, PacketKind::Udp, KEEP_UDP), Steer::To(3));

    let expired = entry(3, 5, FlowState::Open, UDP_IDLE + 1);
    let mut table = Table::with(expired);
    assert_eq!(table.steer(STORING, PacketKind::Udp, KEEP_UDP), Steer::To(OLD));
    assert_eq!(table.stored(), Some((OLD, 5, FlowState::Open)));

    let dead = entry(DEAD, 5, FlowState::Open, 0);
    let mut table = Table::with(dead);
    assert_eq!(table.steer(STORING, PacketKind::Udp, KEEP_UDP), Steer::To(NEW));
    assert_eq!(table.stored(), Some((NEW, 5, FlowState::Open)));
}

#[test]
fn looking_a_flow_up_for_others_writes_nothing() {
    let known = entry(3, 5, FlowState::Open, 10);
    for (word, entry, expected) in [
        (AT_REST, Some(known), OLD),
        (STORING, Some(known), 3),
        (STORING, None, OLD),
        (LOOKING, None, NEW),
    ] {
        let mut table = Table { entry, ..Table::default() };
        let owner = locate(word, PacketKind::Data, &service(RESELECT), NOW, &mut table);
        assert_eq!(owner, expected);
        assert_eq!(table.entry, entry);
        assert!(table.calls.iter().all(|&call| call == "find"), "{:?}", table.calls);
    }
}

/// The slot's word right after a change of table, and with the new owner.
const ARMING_TABLE: SlotWord = SlotWord::new(ASK_OLD, ASK_OLD, 7, true, true);
const MOVED_TABLE: SlotWord = SlotWord::new(NEW, ASK_OLD, 7, true, true);

fn asking(old_word: SlotWord, entry: Option<FlowEntry>) -> Table {
    Table { old_word: Some(old_word), entry, ..Table::default() }
}

#[test]
fn the_previous_table_is_asked_and_the_answer_stored_under_the_new_epoch() {
    let storing = SlotWord::new(3, OLD, 5, true, true);
    for (word, kind, to) in [
        (ARMING_TABLE, PacketKind::Syn, 3),
        (ARMING_TABLE, PacketKind::Data, OLD),
        (MOVED_TABLE, PacketKind::Syn, NEW),
        (MOVED_TABLE, PacketKind::Data, OLD),
    ] {
        let mut table = asking(storing, None);
        assert_eq!(table.steer(word, kind, RESELECT), Steer::To(to), "{kind:?}");
        assert_eq!(table.stored().map(|(owner, epoch, _)| (owner, epoch)), Some((to, 7)));
    }
}

#[test]
fn an_entry_made_under_the_previous_table_moves_to_the_new_epoch() {
    let storing = SlotWord::new(3, OLD, 5, true, true);
    let mut table = asking(storing, Some(entry(4, 5, FlowState::Open, 10)));
    assert_eq!(table.steer(MOVED_TABLE, PacketKind::Data, RESELECT), Steer::To(4));
    assert_eq!(table.entry, Some(entry(4, 7, FlowState::Open, 0)));
}

#[test]
fn an_entry_left_over_from_before_the_old_slots_rest_does_not_count() {
    let mut table = asking(SlotWord::at_rest(OLD, 5), Some(entry(4, 5, FlowState::Open, 10)));
    assert_eq!(table.steer(MOVED_TABLE, PacketKind::Data, RESELECT), Steer::To(OLD));
    assert_eq!(table.stored(), Some((OLD, 7, FlowState::Open)));
}

#[test]
fn with_the_table_full_and_the_previous_owner_dead_a_syn_has_to_be_sent_again() {
    let mut table = Table { full: true, ..asking(SlotWord::at_rest(DEAD, 5), None) };
    assert_eq!(table.steer(MOVED_TABLE, PacketKind::Syn, RESELECT), Steer::Drop);
}

#[test]
fn a_silent_service_resets_nobody_and_moves_nobody() {
    const SILENT: u32 = RESET | service_flags::SILENT_ON_DEAD;
    let word = SlotWord::new(NEW, DEAD, 5, true, true);
    for known in [true, false] {
        for kind in [PacketKind::Data, PacketKind::Fin, PacketKind::Rst] {
            let entry = known.then(|| entry(DEAD, 5, FlowState::Open, 0));
            let mut table = Table { entry, ..Table::default() };
            assert_eq!(table.steer(word, kind, SILENT), Steer::Drop, "{kind:?}");
            assert_eq!(table.entry, entry, "{kind:?}");
        }
        let entry = known.then(|| entry(DEAD, 5, FlowState::Open, 0));
        let mut table = Table { entry, ..Table::default() };
        assert_eq!(table.steer(word, PacketKind::Syn, SILENT), Steer::To(NEW), "begins anew");
    }
}
