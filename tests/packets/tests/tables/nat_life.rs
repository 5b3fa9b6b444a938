//! The life of translated flows: how they end, what rests, what gives way.

use std::collections::HashSet;

use lb_common::abi::{Answer, SlotWord};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::kernel::action;
use lb_test_support::packet::{Packet, Upper, flag, tcp, udp};
use lb_test_support::world::{INGRESS, address};
use lb_test_support::world_nat::translated;

use crate::answers::reset;
use crate::nat::BACKEND_PORT;
use crate::nat_case::{CLIENT_PORT, Case};

const SYN_ACK: u8 = flag::SYN | flag::ACK;
const FIN_ACK: u8 = flag::FIN | flag::ACK;

fn establish(case: &Case, bench: &mut Bench) {
    case.asks(bench, tcp(80, flag::SYN));
    case.answers(bench, tcp(80, SYN_ACK));
    case.asks(bench, tcp(80, flag::ACK));
}

/// Another client of the same case.
fn from_port(case: &Case, upper: Upper, port: u16) -> Vec<u8> {
    case.of_client(upper).with(|p| p.upper = p.upper.clone().between([port, 80])).frame()
}

#[test]
fn there_and_back() {
    let mut bench = Bench::shared();
    for case in Case::all() {
        bench.set(&case.world);
        establish(&case, &mut bench);
        case.asks(&mut bench, tcp(80, flag::ACK));
        case.answers(&mut bench, tcp(80, flag::ACK));
        case.answers(&mut bench, tcp(80, FIN_ACK));
        case.asks(&mut bench, tcp(80, FIN_ACK));
        case.answers(&mut bench, tcp(80, flag::ACK));
        for payload in [0, 1, 33] {
            case.asks(&mut bench, udp(80, payload));
            case.answers(&mut bench, udp(80, payload));
        }
        bench.assert_backends_agree();
    }
}

#[test]
fn segments_of_no_flow_are_reset() {
    let mut bench = Bench::shared();
    for case in Case::all() {
        bench.set(&case.world);
        for flags in [flag::ACK, SYN_ACK, FIN_ACK, flag::FIN, 0] {
            let packet = case.of_client(tcp(80, flags));
            let expected = Expect::Answer(Answer::Reset, DropReason::NatNoFlow, reset(&packet));
            bench.expect(&case.what(&format!("flags {flags:#x}")), &packet.frame(), expected);
        }
        for flags in [flag::RST, flag::RST | flag::ACK] {
            let packet = case.of_client(tcp(80, flags));
            let dropped = Expect::Drop(DropReason::NatNoFlow);
            bench.expect(&case.what("RST"), &packet.frame(), dropped);
        }
        // The answer to a probe, for example: the kernel knows.
        for upper in [tcp(80, flag::ACK), tcp(80, SYN_ACK), udp(80, 5)] {
            let packet = case.of_backend(upper);
            bench.expect(&case.what("answer of no flow"), &packet.frame(), Expect::Pass);
        }
    }
}

#[test]
fn flows_of_a_dead_backend_are_reset() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        bench.set(&case.world);
        establish(&case, &mut bench);
        case.asks(&mut bench, udp(80, 5));
        case.world.kill(case.id);
        bench.update(&case.world);
        let packet = case.of_client(tcp(80, flag::ACK));
        let expected = Expect::Answer(Answer::Reset, DropReason::DeadBackend, reset(&packet));
        bench.expect(&case.what("segment"), &packet.frame(), expected);
        let expected = Expect::Answer(Answer::Reset, DropReason::NatNoFlow, reset(&packet));
        bench.expect(&case.what("one more"), &packet.frame(), expected);
        let packet = case.of_backend(tcp(80, flag::ACK));
        let expected = Expect::Answer(Answer::Reset, DropReason::NatNoFlow, reset(&packet));
        bench.expect(&case.what("the backend is back"), &packet.frame(), expected);
        let packet = case.of_client(udp(80, 5));
        let dropped = Expect::Drop(DropReason::DeadBackend);
        bench.expect(&case.what("datagram"), &packet.frame(), dropped);
    }
}

/// What a client sends anew goes to another backend at once.
#[test]
fn a_first_packet_again_leaves_a_dead_backend() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        for first in [tcp(80, flag::SYN), udp(80, 5)] {
            bench.set(&case.world);
            case.asks(&mut bench, first.clone());
            let dead = case.id;
            let other = address(if case.backend_v6 { "2001:db8:b::9" } else { "10.0.0.9" });
            case.world.kill(dead);
            let id = case.world.backend(translated(INGRESS, other, BACKEND_PORT));
            let table = case.world.maps.services[&case.service].table;
            for slot in table.base..table.base + table.count {
                case.world.maps.slots.insert(slot, SlotWord::at_rest(id, 0));
            }
            bench.update(&case.world);
            case.id = id;
            let out = case.to_backend(first.clone()).with(|p| p.destination = other).frame();
            let frame = case.of_client(first).frame();
            bench.expect(&case.what("once more"), &frame, Expect::Transmit(out));
            case.world.change_backend(dead, |b| b.flags &= !lb_common::abi::backend_flags::DEAD);
            for slot in table.base..table.base + table.count {
                case.world.maps.slots.insert(slot, SlotWord::at_rest(dead, 0));
            }
            case.id = dead;
        }
    }
}

#[test]
fn resets_pass_and_let_the_tuple_rest() {
    let mut bench = Bench::shared();
    for case in Case::nat() {
        for by_client in [true, false] {
            bench.set(&case.world);
            establish(&case, &mut bench);
            if by_client {
                case.asks(&mut bench, tcp(80, flag::RST));
            } else {
                case.answers(&mut bench, tcp(80, flag::RST));
            }
            // Forged, if the ends go on.
            case.answers(&mut bench, tcp(80, flag::ACK));
            case.asks(&mut bench, tcp(80, flag::RST));
            let again = case.of_client(tcp(80, flag::SYN)).frame();
            let exhausted = Expect::Drop(DropReason::NatExhausted);
            bench.expect(&case.what("SYN after RST"), &again, exhausted);
        }
    }
}

#[test]
fn a_pool_of_one_port() {
    let mut bench = Bench::shared();
    for case in Case::nat() {
        for upper in [tcp(80, flag::SYN), udp(80, 5)] {
            bench.set(&case.world);
            case.asks(&mut bench, upper.clone());
            let second = from_port(&case, upper.clone(), CLIENT_PORT + 1);
            let exhausted = Expect::Drop(DropReason::NatExhausted);
            bench.expect(&case.what("second client"), &second, exhausted);
            case.asks(&mut bench, upper);
        }
        bench.assert_backends_agree();
    }
}

#[test]
fn a_closed_tuple_is_used_again_after_its_rest() {
    let mut bench = Bench::shared();
    for mut case in Case::nat() {
        let settings = &mut case.world.maps.nat_settings;
        (settings.rest_client, settings.guard) = (0, 0);
        bench.set(&case.world);
        establish(&case, &mut bench);
        case.asks(&mut bench, tcp(80, FIN_ACK));
        case.answers(&mut bench, tcp(80, FIN_ACK));
        // A few ticks.
        std::thread::sleep(std::time::Duration::from_millis(60));
        case.asks(&mut bench, tcp(80, flag::SYN));
    }
}

#[test]
fn a_datagrams_flow_ends_with_its_last_answer() {
    let mut bench = Bench::shared();
    for mut case in Case::nat() {
        case.world.change_service(case.service, |s| s.udp_responses = 2);
        bench.set(&case.world);
        case.asks(&mut bench, udp(80, 5));
        case.answers(&mut bench, udp(80, 50));
        case.asks(&mut bench, udp(80, 5));
        case.answers(&mut bench, udp(80, 50));
        // Its tuple, the only one, rests.
        let frame = case.of_client(udp(80, 5)).frame();
        bench.expect(&case.what("next"), &frame, Expect::Drop(DropReason::NatExhausted));
    }
}

/// Opens flows from ports of their own until one is refused; returns the ports
/// of those that were taken.
fn fill(case: &Case, bench: &mut Bench, confirm: bool) -> Vec<u16> {
    let mut taken = Vec::new();
    for port in 1000..1100 {
        let frame = from_port(case, tcp(80, flag::SYN), port);
        let (out, change) = bench.run(&case.what(&format!("SYN from {port}")), &frame);
        if out.action == action::DROP {
            assert_eq!(change.dropped[DropReason::NatFull as usize], 1, "{change:?}");
            return taken;
        }
        taken.push(port);
        if confirm {
            let answer = answer_to(case, &out.packet);
            assert_eq!(bench.run("SYN, ACK", &answer).0.action, action::TX);
            let frame = from_port(case, tcp(80, flag::ACK), port);
            assert_eq!(bench.run("ACK", &frame).0.action, action::TX);
        }
    }
    taken
}

/// The backend's answer to a frame that it got.
fn answer_to(case: &Case, frame: &[u8]) -> Vec<u8> {
    let at = 14 + if case.backend_v6 { 40 } else { 20 };
    let port = u16::from_be_bytes([frame[at], frame[at + 1]]);
    case.of_backend(tcp(80, SYN_ACK))
        .with(|p| p.upper = p.upper.clone().between([BACKEND_PORT, port]))
        .frame()
}

/// Tables of one bucket each.
fn tiny(case: &mut Case) {
    let settings = &mut case.world.maps.nat_settings;
    (settings.narrow, settings.narrow_new, settings.wide, settings.wide_new) = (1, 1, 1, 1);
    let pool = case.world.maps.pools.get_mut(&u32::from(case.service)).expect("a pool");
    pool.ports = 10_000;
}

#[test]
fn a_full_table_refuses_new_flows_and_keeps_the_old() {
    let mut bench = Bench::shared();
    for mut case in Case::nat() {
        tiny(&mut case);
        bench.set(&case.world);
        let taken = fill(&case, &mut bench, true);
        assert!((3..=6).contains(&taken.len()), "{} of 14 lines", taken.len());
        for port in taken {
            let frame = from_port(&case, tcp(80, flag::ACK), port);
            let (out, _) = bench.run(&case.what(&format!("data from {port}")), &frame);
            assert_eq!(out.action, action::TX, "port {port} lost its flow");
        }
    }
}

#[test]
fn half_open_flows_give_way_to_each_other_alone() {
    let mut bench = Bench::shared();
    for mut case in Case::nat() {
        tiny(&mut case);
        bench.set(&case.world);
        let frame = from_port(&case, tcp(80, flag::SYN), 900);
        let out = bench.run("SYN", &frame).0;
        assert_eq!(bench.run("SYN, ACK", &answer_to(&case, &out.packet)).0.action, action::TX);
        let data = from_port(&case, tcp(80, flag::ACK), 900);
        assert_eq!(bench.run("ACK", &data).0.action, action::TX);
        let flood: HashSet<u16> = fill(&case, &mut bench, false).into_iter().collect();
        assert_eq!(flood.len(), 100, "every SYN found room");
        assert_eq!(bench.run(&case.what("data"), &data).0.action, action::TX);
    }
}

/// The packet from a client to a VIP of which nothing but a port is translated.
#[test]
fn a_client_keeps_its_port_while_that_is_free() {
    let mut bench = Bench::shared();
    for case in Case::dnat() {
        // Two VIPs, one backend: the same client and port would be one flow.
        let mut world = case.world.clone();
        let second = address(if case.vip.is_ipv6() { "2001:db8:f::11" } else { "203.0.113.11" });
        world.vip(second, lb_common::abi::Unserved::Drop);
        world.serve(second, 6, 80, case.service);
        bench.set(&world);
        case.asks(&mut bench, tcp(80, flag::SYN));
        let packet = Packet::new(case.client, second, tcp(80, flag::SYN));
        let out = case
            .to_backend(tcp(80, flag::SYN))
            .with(|p| {
                p.upper = tcp(80, flag::SYN)
                    .between([lb_test_support::world_nat::POOL_PORT, BACKEND_PORT]);
            })
            .frame();
        bench.expect(&case.what("same port"), &packet.frame(), Expect::Transmit(out));
    }
}
