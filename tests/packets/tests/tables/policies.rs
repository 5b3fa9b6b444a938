//! What a service wants when nobody takes its packets: none of its backends is
//! up (`on_all_down`), or the one that owned a flow is dead (`on_backend_dead`).
use std::net::IpAddr;

use lb_common::abi::{Answer, NO_BACKEND, SlotWord, Unserved, service_flags};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{Packet, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, World, address, direct, ends, tunnel};

use crate::answers::{port_unreachable, reset};
use crate::nat_case::Case;

/// A service of mode `dsr` or `ipip` between two backends' ids.
fn service(tunnels: bool, word: impl FnOnce(u16) -> SlotWord) -> (World, u16, u16) {
    let mut world = World::new();
    let backend = match tunnels {
        true => tunnel(INGRESS, address("10.0.0.1"), address("10.0.9.11")),
        false => direct(INGRESS),
    };
    let backend = world.backend(backend);
    let service = world.service(word(backend));
    for (_, vip) in ends() {
        world.vip(vip, Unserved::Drop);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
    }
    (world, service, backend)
}

/// Claims about first packets that find no backend: refused with the flag,
/// dropped without it.
fn nobody_takes_it(bench: &mut Bench, ends: (IpAddr, IpAddr), refuses: bool) {
    let packet = |upper: Upper| Packet::new(ends.0, ends.1, upper.from_port(999));
    let dropped = DropReason::NoBackend;
    for (packet, answer) in [
        (packet(tcp(80, flag::SYN)), Answer::Reset),
        (packet(udp(80, 9)), Answer::Unreachable),
        (packet(udp(80, 1000)), Answer::Unreachable),
    ] {
        let expected = match answer {
            _ if !refuses => Expect::Drop(dropped),
            Answer::Reset => Expect::Answer(answer, dropped, reset(&packet)),
            _ => Expect::Answer(answer, dropped, port_unreachable(&packet)),
        };
        bench.expect("nobody is up", &packet.frame(), expected);
    }
}

#[test]
fn new_flows_without_a_backend_are_refused_if_the_service_says_so() {
    let mut bench = Bench::shared();
    for flags in [0, service_flags::REFUSE] {
        let (mut world, id, _) = service(false, |_| SlotWord::at_rest(NO_BACKEND, 0));
        world.change_service(id, |s| s.flags |= flags);
        bench.set(&world);
        for ends in ends() {
            nobody_takes_it(&mut bench, ends, flags != 0);
        }
    }
}

#[test]
fn what_is_no_flow_and_nobodys_segments() {
    let mut bench = Bench::shared();
    let (mut world, id, _) = service(false, |_| SlotWord::at_rest(NO_BACKEND, 0));
    world.change_service(id, |s| s.flags |= service_flags::REFUSE);
    bench.set(&world);
    for (client, vip) in ends() {
        let dropped = DropReason::NoBackend;
        let segment = Packet::new(client, vip, tcp(80, flag::ACK));
        let expected = Expect::Answer(Answer::Reset, dropped, reset(&segment));
        bench.expect("a segment of no flow", &segment.frame(), expected);
        let rst = Packet::new(client, vip, tcp(80, flag::RST)).frame();
        bench.expect("RST", &rst, Expect::Drop(dropped));
        let quoted = Packet::new(vip, client, tcp(40_000, flag::ACK).from_port(80));
        let kind = if vip.is_ipv4() { 3 } else { 1 };
        let error = Packet::new(client, vip, icmp(kind, 0, [0; 4], &quoted.ip())).frame();
        bench.expect("an error about no flow", &error, Expect::Drop(dropped));
    }
    world.maps.settings.budget_per_second = [0; 8];
    bench.set(&world);
    let syn = Packet::new(ends()[0].0, ends()[0].1, tcp(80, flag::SYN)).frame();
    bench.expect("no budget", &syn, Expect::Drop(DropReason::NoBackend));
}

/// The last backend fails: nobody gets new flows, and it keeps those it has.
#[test]
fn flows_of_a_failing_backend_go_on_while_new_ones_are_refused() {
    let mut bench = Bench::shared();
    for tunnels in [false, true] {
        let word = |failing| SlotWord::new(NO_BACKEND, failing, 7, true, true);
        let (mut world, id, failing) = service(tunnels, word);
        world.change_service(id, |s| s.flags |= service_flags::REFUSE);
        bench.set(&world);
        for (client, vip) in ends() {
            let syn = Packet::new(client, vip, tcp(80, flag::SYN).from_port(999));
            let expected = Expect::Answer(Answer::Reset, DropReason::NoBackend, reset(&syn));
            bench.expect("a new flow", &syn.frame(), expected);
            for upper in [tcp(80, flag::ACK), udp(80, 9), tcp(80, flag::ACK | flag::FIN)] {
                let packet = Packet::new(client, vip, upper);
                let (outcome, change) = bench.run("an older flow", &packet.frame());
                assert_eq!(change.forwarded, 1, "tunnels: {tunnels}");
                assert_eq!(outcome.packet[..6], world.link_to(failing).0[..]);
            }
        }
    }
}

#[test]
fn translated_flows_without_a_backend() {
    let mut bench = Bench::shared();
    for flags in [0, service_flags::REFUSE] {
        for mut case in Case::all() {
            case.world.change_service(case.service, |s| s.flags |= flags);
            bench.set(&case.world);
            case.asks(&mut bench, tcp(80, flag::SYN));
            let table = case.world.maps.services[&case.service].table;
            for slot in table.base..table.base + table.count {
                case.world.maps.slots.insert(slot, SlotWord::at_rest(NO_BACKEND, 0));
            }
            bench.update(&case.world);
            nobody_takes_it(&mut bench, (case.client, case.vip), flags != 0);
            // A flow that is there has its backend still.
            case.answers(&mut bench, tcp(80, flag::SYN | flag::ACK));
            case.asks(&mut bench, tcp(80, flag::ACK));
        }
    }
}

const SILENT: u32 = service_flags::SILENT_ON_DEAD;

#[test]
fn packets_of_a_dead_backends_flows_vanish_if_the_service_says_so() {
    let mut bench = Bench::shared();
    let words: [fn(u16) -> SlotWord; 2] =
        [|dead| SlotWord::at_rest(dead, 0), |dead| SlotWord::new(NO_BACKEND, dead, 7, true, true)];
    for (tunnels, word) in [false, true].into_iter().flat_map(|t| words.map(|word| (t, word))) {
        let (mut world, id, dead) = service(tunnels, word);
        world.kill(dead);
        world.change_service(id, |s| s.flags |= SILENT);
        bench.set(&world);
        for (client, vip) in ends() {
            for flags in [flag::ACK, flag::ACK | flag::FIN, flag::SYN | flag::ACK, flag::RST] {
                let segment = Packet::new(client, vip, tcp(80, flags)).frame();
                bench.expect("of a dead owner", &segment, Expect::Drop(DropReason::DeadBackend));
            }
        }
    }
}

/// Nobody is told, so the flow is there when its backend returns.
#[test]
fn a_translated_flow_outlives_a_death_that_nobody_was_told_of() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        case.world.change_service(case.service, |s| s.flags |= SILENT);
        bench.set(&case.world);
        case.asks(&mut bench, tcp(80, flag::SYN));
        case.answers(&mut bench, tcp(80, flag::SYN | flag::ACK));
        case.world.kill(case.id);
        bench.update(&case.world);
        let dropped = || Expect::Drop(DropReason::DeadBackend);
        for flags in [flag::ACK, flag::ACK | flag::FIN, flag::RST] {
            let segment = case.of_client(tcp(80, flags)).frame();
            bench.expect(&case.what("while it is dead"), &segment, dropped());
        }
        let other = case.of_client(tcp(80, flag::SYN)).with(|p| {
            p.upper = p.upper.clone().between([999, 80]);
        });
        bench.expect(&case.what("a new flow"), &other.frame(), dropped());
        case.world.change_backend(case.id, |b| b.flags &= !lb_common::abi::backend_flags::DEAD);
        bench.update(&case.world);
        case.asks(&mut bench, tcp(80, flag::ACK));
        case.answers(&mut bench, tcp(80, flag::ACK));
    }
}
