//! Slots in transition: which flows are looked up and stored, and where their
//! packets go. The rules themselves are tested in `lb-common`; here the
//! kernel's flow table takes part.
use std::net::IpAddr;

use lb_common::abi::{
    ASK_OLD, Answer, FlowEntry, FlowOwner, FlowSeen, FlowState, SlotWord, Table, Totals, Unserved,
    service_flags,
};
use lb_common::hash::{FlowHash, FlowWords};
use lb_common::reason::DropReason;
use lb_test_support::bench::Bench;
use lb_test_support::kernel::action;
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{Packet, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, World, direct, ends, flow_key};

const EPOCH: u16 = 7;

/// A service that moves from the old backend to the new one.
struct Move {
    world: World,
    service: u16,
    old: u16,
    new: u16,
    client: IpAddr,
    vip: IpAddr,
}

impl Move {
    /// Between the backends' ids that the word is made of.
    fn new((client, vip): (IpAddr, IpAddr), word: impl FnOnce(u16, u16) -> SlotWord) -> Self {
        let mut world = World::new();
        let (old, new) = (world.backend(direct(INGRESS)), world.backend(direct(INGRESS)));
        let service = world.service(word(old, new));
        world.vip(vip, Unserved::Drop);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
        Self { world, service, old, new, client, vip }
    }

    /// Stores unknown flows.
    fn storing(ends: (IpAddr, IpAddr)) -> Self {
        Self::new(ends, |old, new| SlotWord::new(new, old, EPOCH, true, true))
    }

    /// Only looks up.
    fn looking_up(ends: (IpAddr, IpAddr)) -> Self {
        Self::new(ends, |old, new| SlotWord::new(new, old, EPOCH, true, false))
    }

    fn packet(&self, upper: Upper) -> Packet {
        Packet::new(self.client, self.vip, upper)
    }

    fn entry(&self, packet: &Packet, backend: u16, epoch: u16, seen: FlowSeen) -> FlowEntry {
        let tag = FlowWords::from(&flow_key(packet)).tag();
        FlowEntry { owner: FlowOwner::new(backend, epoch, tag), seen }
    }

    fn store(&mut self, packet: &Packet, entry: FlowEntry) {
        self.world.maps.flows.insert(flow_key(packet), entry);
    }

    /// Runs the packet, which must reach this backend.
    fn reaches(&self, bench: &mut Bench, what: &str, packet: &Packet, backend: u16) -> Totals {
        let (outcome, change) = bench.run(what, &packet.frame());
        let (destination, _) = self.world.link_to(backend);
        let got = (outcome.action, &outcome.packet[..6]);
        assert_eq!(got, (action::TX, &destination[..]), "{what}: not to backend {backend}");
        change
    }
}

/// Owner, epoch and state of the flow's entry.
fn stored(bench: &mut Bench, packet: &Packet) -> Option<(u16, u16, FlowState)> {
    let entry = bench.kernel().flow(flow_key(packet))?;
    Some((entry.owner.backend(), entry.owner.epoch(), entry.seen.state()))
}

#[test]
fn unknown_flows_are_stored_for_their_owner() {
    let mut bench = Bench::shared();
    for ends in ends() {
        let m = Move::storing(ends);
        let rows = [
            ("a SYN begins a flow", tcp(80, flag::SYN), m.new, Some(FlowState::HalfOpen)),
            ("data of an older flow", tcp(80, flag::ACK), m.old, Some(FlowState::Open)),
            (
                "the end of an older flow",
                tcp(80, flag::ACK | flag::FIN),
                m.old,
                Some(FlowState::Closing),
            ),
            ("a reset of an older flow", tcp(80, flag::RST), m.old, None),
            ("a datagram", udp(80, 9), m.old, Some(FlowState::Open)),
        ];
        for (what, upper, backend, state) in rows {
            bench.set(&m.world);
            let packet = m.packet(upper);
            let change = m.reaches(&mut bench, what, &packet, backend);
            assert_eq!(
                (change.looked_up, change.stored),
                (1, u64::from(state.is_some())),
                "{what}"
            );
            let wanted = state.map(|state| (backend, EPOCH, state));
            assert_eq!(stored(&mut bench, &packet), wanted, "{what}");
            let change = m.reaches(&mut bench, what, &packet, backend);
            assert_eq!(change.stored, 0, "{what}, once more");
        }
    }
}

#[test]
fn unknown_flows_are_only_looked_up_later() {
    let mut bench = Bench::shared();
    for ends in ends() {
        let m = Move::looking_up(ends);
        bench.set(&m.world);
        for (what, upper, backend) in [
            ("a SYN begins a flow", tcp(80, flag::SYN), m.new),
            ("data of an unknown flow", tcp(80, flag::ACK), m.old),
            ("an unknown datagram", udp(80, 9), m.old),
        ] {
            let packet = m.packet(upper);
            let change = m.reaches(&mut bench, what, &packet, backend);
            assert_eq!((change.looked_up, change.stored), (1, 0), "{what}");
            assert_eq!(stored(&mut bench, &packet), None, "{what}");
        }
    }
}

#[test]
fn known_flows_stay_with_their_owner() {
    let mut bench = Bench::shared();
    let now = bench.now();
    for ends in ends() {
        for storing in [true, false] {
            let make = if storing { Move::storing } else { Move::looking_up };
            for (what, upper, after) in [
                ("data", tcp(80, flag::ACK), FlowState::Open),
                ("a copy of the SYN", tcp(80, flag::SYN), FlowState::Open),
                ("the end", tcp(80, flag::ACK | flag::FIN), FlowState::Closing),
                ("a reset", tcp(80, flag::RST), FlowState::Reset),
                ("a datagram", udp(80, 3), FlowState::Open),
            ] {
                let mut m = make(ends);
                let other = m.world.backend(direct(INGRESS));
                let packet = m.packet(upper);
                let seen = FlowSeen::new(now, FlowState::Open);
                let entry = m.entry(&packet, other, EPOCH, seen);
                m.store(&packet, entry);
                bench.set(&m.world);
                let change = m.reaches(&mut bench, what, &packet, other);
                assert_eq!((change.looked_up, change.stored), (1, 0), "{what}");
                assert_eq!(stored(&mut bench, &packet), Some((other, EPOCH, after)), "{what}");
            }
        }
    }
}

#[test]
fn void_entries_count_for_nothing() {
    let mut bench = Bench::shared();
    let now = bench.now();
    let seen = FlowSeen::new(now, FlowState::Open);
    for ends in ends() {
        let mut m = Move::storing(ends);
        let data = m.packet(tcp(80, flag::ACK));
        let entry = m.entry(&data, m.new, EPOCH - 1, seen);
        m.store(&data, entry);
        bench.set(&m.world);
        m.reaches(&mut bench, "an entry of another epoch", &data, m.old);
        assert_eq!(stored(&mut bench, &data), Some((m.old, EPOCH, FlowState::Open)));

        let mut m = Move::storing(ends);
        let datagram = m.packet(udp(80, 1));
        let long_ago = now - u64::from(m.world.maps.services[&m.service].udp_idle) - 50;
        let entry = m.entry(&datagram, m.new, EPOCH, FlowSeen::new(long_ago, FlowState::Open));
        m.store(&datagram, entry);
        bench.set(&m.world);
        m.reaches(&mut bench, "an expired datagram flow", &datagram, m.old);

        let mut m = Move::storing(ends);
        let syn = m.packet(tcp(80, flag::SYN));
        let long_ago = now - u64::from(m.world.maps.services[&m.service].arming) - 50;
        let entry = m.entry(&syn, m.old, EPOCH, FlowSeen::new(long_ago, FlowState::Closing));
        m.store(&syn, entry);
        bench.set(&m.world);
        m.reaches(&mut bench, "a SYN long after the end", &syn, m.new);
        assert_eq!(stored(&mut bench, &syn), Some((m.new, EPOCH, FlowState::HalfOpen)));
    }
}

#[test]
fn a_full_table_keeps_flows_where_they_are() {
    let mut bench = Bench::shared();
    for ends in ends() {
        let mut m = Move::storing(ends);
        m.world.maps.flow_room = 0;
        for (what, upper) in [
            ("a SYN", tcp(80, flag::SYN)),
            ("data", tcp(80, flag::ACK)),
            ("a datagram", udp(80, 2)),
        ] {
            bench.set(&m.world);
            let packet = m.packet(upper);
            let slot = m.world.slot_of(m.service, &packet);
            assert!(!bench.insert_failed(slot));
            let change = m.reaches(&mut bench, what, &packet, m.old);
            assert_eq!((change.stored, change.store_failed), (0, 1), "{what}");
            assert!(bench.insert_failed(slot), "{what}: the failure is noted");
        }
        // A SYN that comes when there is room again: an earlier copy of it may
        // have gone to the old owner.
        m.world.maps.flow_room = 100;
        let syn = m.packet(tcp(80, flag::SYN));
        let group = m.world.slot_of(m.service, &syn) / 64;
        let now = bench.now();
        m.world.maps.insert_failed.insert(group, now);
        bench.set(&m.world);
        m.reaches(&mut bench, "a SYN soon after a failure", &syn, m.old);
        assert_eq!(stored(&mut bench, &syn), Some((m.old, EPOCH, FlowState::HalfOpen)));
    }
}

#[test]
fn fast_datagrams_never_ask() {
    let mut bench = Bench::shared();
    for ends in ends() {
        let mut m = Move::storing(ends);
        m.world.change_service(m.service, |s| s.flags &= !service_flags::UDP_KEEP);
        bench.set(&m.world);
        let packet = m.packet(udp(80, 7));
        let change = m.reaches(&mut bench, "udp: fast", &packet, m.new);
        assert_eq!((change.looked_up, change.stored), (0, 0));
    }
}

#[test]
fn flows_whose_owner_died() {
    let mut bench = Bench::shared();
    let now = bench.now();
    let seen = FlowSeen::new(now, FlowState::Open);
    for ends in ends() {
        let dead_owner = |upper: Upper, known: bool| {
            let mut m = Move::storing(ends);
            m.world.kill(m.old);
            let packet = m.packet(upper);
            if known {
                let entry = m.entry(&packet, m.old, EPOCH, seen);
                m.store(&packet, entry);
            }
            (m, packet)
        };
        for known in [true, false] {
            let (m, data) = dead_owner(tcp(80, flag::ACK), known);
            bench.set(&m.world);
            let (outcome, change) = bench.run("data to a dead owner", &data.frame());
            assert_eq!(outcome.action, action::TX);
            assert_eq!(change.answers[Answer::Reset as usize], 1);
            assert_eq!(change.dropped[DropReason::DeadBackend as usize], 1);
            for upper in [tcp(80, flag::SYN), udp(80, 4)] {
                let (m, packet) = dead_owner(upper, known);
                bench.set(&m.world);
                m.reaches(&mut bench, "begins anew", &packet, m.new);
                assert_eq!(stored(&mut bench, &packet).map(|s| s.0), Some(m.new));
            }
        }
        let (m, reset) = dead_owner(tcp(80, flag::RST), true);
        bench.set(&m.world);
        let (outcome, _) = bench.run("RST to a dead owner", &reset.frame());
        assert_eq!(outcome.action, action::DROP);
    }
}

#[test]
fn errors_about_flows_never_write() {
    let mut bench = Bench::shared();
    let now = bench.now();
    for ends in ends() {
        let mut m = Move::storing(ends);
        let quoted = Packet::new(m.vip, m.client, tcp(40_000, flag::ACK).from_port(80));
        let kind = if m.vip.is_ipv4() { 3 } else { 1 };
        let error = Packet::new(m.client, m.vip, icmp(kind, 0, [0; 4], &quoted.ip()));
        let flow = m.packet(tcp(80, flag::ACK));
        bench.set(&m.world);
        let change = m.reaches(&mut bench, "about an unknown flow", &error, m.old);
        assert_eq!((change.looked_up, change.stored), (1, 0));
        assert_eq!(stored(&mut bench, &flow), None);

        let entry = m.entry(&flow, m.new, EPOCH, FlowSeen::new(now - 1000, FlowState::HalfOpen));
        m.store(&flow, entry);
        bench.set(&m.world);
        m.reaches(&mut bench, "about a known flow", &error, m.new);
        assert_eq!(bench.kernel().flow(flow_key(&flow)), Some(entry), "not even the time");
    }
}

#[test]
fn in_the_middle_of_a_change_the_word_decides() {
    let mut bench = Bench::shared();
    for ends in ends() {
        let mut m = Move::new(ends, |_, new| SlotWord::at_rest(new, EPOCH));
        m.world.maps.changing = m.world.maps.slots.keys().copied().collect();
        bench.set(&m.world);
        let data = m.packet(tcp(80, flag::ACK));
        let change = m.reaches(&mut bench, "a slot that goes to rest", &data, m.new);
        assert_eq!((change.looked_up, change.stored), (0, 0));
    }
}

#[test]
fn the_previous_table_is_asked() {
    let mut bench = Bench::shared();
    for ends in ends() {
        let mut m = Move::new(ends, |_, new| SlotWord::new(new, ASK_OLD, EPOCH, true, true));
        let old_table = Table { base: 1000, count: 3, key: [5, 6] };
        m.world.change_service(m.service, |s| {
            s.flags |= service_flags::HAS_OLD_TABLE;
            s.old_table = old_table;
        });
        let owners = [m.old, m.world.backend(direct(INGRESS)), m.world.backend(direct(INGRESS))];
        for (slot, owner) in (old_table.base..).zip(owners) {
            m.world.maps.slots.insert(slot, SlotWord::at_rest(owner, 0));
        }
        bench.set(&m.world);
        for port in 1000..1020 {
            let data = m.packet(tcp(80, flag::ACK).from_port(port));
            let hash = FlowHash::of(&FlowWords::from(&flow_key(&data)), old_table.key);
            let owner = owners[hash.slot(old_table.count) as usize];
            m.reaches(&mut bench, "data of an older flow", &data, owner);
            let syn = m.packet(tcp(80, flag::SYN).from_port(port + 500));
            m.reaches(&mut bench, "a new flow", &syn, m.new);
        }
    }
}
