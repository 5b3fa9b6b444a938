//! Frames that are cut short, lie about themselves or are fragments: dropped
//! with a reason where they are for a VIP, left to the kernel otherwise.
use lb_common::abi::{SlotWord, Unserved};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::protocol::{DESTINATION_OPTIONS, FRAGMENT, TCP, UDP};
use lb_test_support::packet::{MORE_FRAGMENTS, Packet, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, World, direct, ends};

fn world() -> World {
    let mut world = World::new();
    let backend = world.backend(direct(INGRESS));
    let service = world.service(SlotWord::at_rest(backend, 0));
    for (_, vip) in ends() {
        world.vip(vip, Unserved::Reject);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
    }
    world
}

/// Shortest frame that a test run takes.
const ETHERNET: usize = 14;

#[test]
fn frames_cut_short_at_every_byte() {
    let mut bench = Bench::shared();
    bench.set(&world());
    for (client, vip) in ends() {
        let header = if vip.is_ipv4() { 20 } else { 40 };
        let quoted = Packet::new(vip, client, tcp(80, flag::ACK)).ip();
        let error = if vip.is_ipv4() { 3 } else { 1 };
        let echo = if vip.is_ipv4() { 8 } else { 128 };
        for upper in [
            tcp(80, flag::ACK),
            tcp(81, flag::SYN),
            udp(80, 10),
            udp(81, 10),
            icmp(echo, 0, [0; 4], b"ping"),
            icmp(error, 0, [0; 4], &quoted),
        ] {
            let frame = Packet::new(client, vip, upper.clone()).frame();
            for length in ETHERNET..frame.len() {
                let expected = if length < ETHERNET + header {
                    Expect::Pass
                } else {
                    Expect::Drop(DropReason::Malformed)
                };
                let what = format!("{length} bytes of {upper:?} to {vip}");
                bench.expect(&what, &frame[..length], expected);
            }
        }
    }
}

/// The IP header says that the packet ends here, so nothing is missing but the
/// upper layer's own header.
#[test]
fn packets_too_short_for_their_upper_layer() {
    let mut bench = Bench::shared();
    bench.set(&world());
    for (client, vip) in ends() {
        let echo = if vip.is_ipv4() { 8 } else { 128 };
        for (upper, needs) in
            [(tcp(80, flag::ACK), 20), (udp(80, 10), 8), (icmp(echo, 0, [0; 4], b"ping"), 8)]
        {
            let kind = upper.protocol(vip.is_ipv6());
            let bytes = upper.bytes(client, vip);
            for length in 0..needs {
                let cut = lb_test_support::packet::Upper::Raw(kind, bytes[..length].to_vec());
                let frame = Packet::new(client, vip, cut).frame();
                let what = format!("{length} bytes of protocol {kind} to {vip}");
                bench.expect(&what, &frame, Expect::Drop(DropReason::Malformed));
                // What would complete the header is behind the packet's end.
                let padded = [&frame[..], &bytes[length..], &[0; 60]].concat();
                bench.expect(&what, &padded, Expect::Drop(DropReason::Malformed));
            }
        }
    }
}

#[test]
fn headers_that_contradict_themselves() {
    let mut bench = Bench::shared();
    bench.set(&world());
    let [(client4, vip4), (client6, vip6)] = ends();
    let v4 = Packet::new(client4, vip4, tcp(80, flag::ACK)).frame();
    let v6 = Packet::new(client6, vip6, tcp(80, flag::ACK)).frame();
    let malformed = Expect::Drop(DropReason::Malformed);
    for ihl in 0..5 {
        let mut frame = v4.clone();
        frame[14] = 0x40 | ihl;
        bench.expect(&format!("IHL {ihl}"), &frame, malformed.clone());
    }
    for version in (0..16).filter(|v| *v != 4) {
        let mut frame = v4.clone();
        frame[14] = version << 4 | 5;
        bench.expect(&format!("version {version} in IPv4"), &frame, malformed.clone());
    }
    for version in (0..16).filter(|v| *v != 6) {
        let mut frame = v6.clone();
        frame[14] = version << 4;
        bench.expect(&format!("version {version} in IPv6"), &frame, malformed.clone());
    }
    let length = v4.len() as u16 - 14;
    for total in [0, 1, 19, length + 1, 1500, u16::MAX] {
        let mut frame = v4.clone();
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        bench.expect(&format!("total length {total}"), &frame, malformed.clone());
    }
    for payload in [v6.len() as u16 - 54 + 1, 1500, u16::MAX] {
        let mut frame = v6.clone();
        frame[18..20].copy_from_slice(&payload.to_be_bytes());
        bench.expect(&format!("payload length {payload}"), &frame, malformed.clone());
    }
    let beyond = Packet::new(client6, vip6, tcp(80, flag::ACK))
        .with(|p| p.extensions = vec![(DESTINATION_OPTIONS, vec![255, 1, 4, 0, 0, 0, 0])]);
    bench.expect("an extension header beyond the end", &beyond.frame(), malformed);
}

#[test]
fn fragments() {
    let mut bench = Bench::shared();
    bench.set(&world());
    let fragment = Expect::Drop(DropReason::Fragment);
    let [(client4, vip4), (client6, vip6)] = ends();
    for bits in [MORE_FRAGMENTS, 1, 0x1fff, MORE_FRAGMENTS | 185] {
        let packet = Packet::new(client4, vip4, udp(80, 16)).with(|p| p.fragment = bits);
        let what = format!("fragment {bits:#x}");
        bench.expect(&what, &packet.frame(), fragment.clone());
        let other = packet.with(|p| p.destination = client4);
        bench.expect(&format!("{what} of others"), &other.frame(), Expect::Pass);
    }
    for bits in [0x0001u16, 0x0008, 0x0009, 0xfff8] {
        let [high, low] = bits.to_be_bytes();
        let packet = Packet::new(client6, vip6, udp(80, 16))
            .with(|p| p.extensions = vec![(FRAGMENT, vec![0, high, low, 0, 0, 0, 7])]);
        let what = format!("IPv6 fragment {bits:#x}");
        bench.expect(&what, &packet.frame(), fragment.clone());
        let other = packet.with(|p| p.destination = client6);
        bench.expect(&format!("{what} of others"), &other.frame(), Expect::Pass);
    }
}

/// Ethernet pads short packets; what follows the packet is not the packet.
#[test]
fn padding_is_not_part_of_the_packet() {
    let mut bench = Bench::shared();
    let world = world();
    bench.set(&world);
    let (destination, source) = world.link_to(1);
    for (client, vip) in ends() {
        for upper in [tcp(80, flag::SYN), udp(80, 0)] {
            let packet = Packet::new(client, vip, upper);
            let out = packet.with(|p| (p.link_destination, p.link_source) = (destination, source));
            let padded = |packet: &Packet| [packet.frame(), vec![0xee; 18]].concat();
            bench.expect("padded", &padded(&packet), Expect::Transmit(padded(&out)));
        }
    }
}
