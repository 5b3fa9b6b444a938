//! Packets that do not fit the way on: their senders learn what does, in terms
//! of their own family.

use lb_common::abi::Answer;
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::{Packet, flag, icmp, tcp, udp};

use crate::nat_case::Case;

/// The link to the backend takes so much.
const MTU: u16 = 1300;

/// The error about a packet, from where it was going to.
fn too_big(packet: &Packet, mtu: u16) -> Vec<u8> {
    let [high, low] = mtu.to_be_bytes();
    let kind = if packet.source.is_ipv4() { (3, 4) } else { (2, 0) };
    let ip = packet.ip();
    let quote = &ip[..(ip.len() & !7).min(128)];
    Packet::new(packet.destination, packet.source, icmp(kind.0, kind.1, [0, 0, high, low], quote))
        .turned()
        .frame()
}

#[test]
fn the_longest_packet_that_fits() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        case.world.change_backend(case.id, |b| b.mtu = MTU);
        bench.set(&case.world);
        case.asks(&mut bench, tcp(80, flag::SYN));
        // As the client's family counts.
        let fits = match (case.vip.is_ipv6(), case.backend_v6) {
            (false, true) => MTU - 20,
            (true, false) => MTU + 20,
            _ => MTU,
        };
        let header = if case.vip.is_ipv6() { 48 } else { 28 };
        case.asks(&mut bench, udp(80, usize::from(fits) - header));
        let packet = case.of_client(udp(80, usize::from(fits) - header + 1));
        let expected = Expect::Answer(Answer::TooBig, DropReason::TooBig, too_big(&packet, fits));
        bench.expect(&case.what("one byte more"), &packet.frame(), expected);
    }
}

#[test]
fn no_less_than_every_link_takes() {
    let mut bench = Bench::shared();
    for mut case in Case::all().filter(|case| case.vip.is_ipv6()) {
        case.world.change_backend(case.id, |b| b.mtu = 1000);
        bench.set(&case.world);
        let packet = case.of_client(udp(80, 1300));
        let expected = Expect::Answer(Answer::TooBig, DropReason::TooBig, too_big(&packet, 1280));
        bench.expect(&case.what("too big"), &packet.frame(), expected);
    }
}
