//! What the balancer answers itself: unserved ports, dead backends, and when
//! it keeps silent.
use lb_common::abi::{Answer, SlotWord, Unserved, service_flags};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::kernel::action;
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{Packet, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, World, address, direct, ends};

/// VIPs with nothing but a service for port 80, whose backend is dead.
fn world(unserved: Unserved) -> (World, u16) {
    let mut world = World::new();
    let backend = world.backend(direct(INGRESS));
    world.kill(backend);
    let service = world.service(SlotWord::at_rest(backend, 0));
    for (_, vip) in ends() {
        world.vip(vip, unserved);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
    }
    (world, service)
}

/// The reset that RFC 9293 asks for in answer to `segment`.
pub fn reset(segment: &Packet) -> Vec<u8> {
    let Upper::Tcp { ports, sequence, acknowledgement, flags, payload, .. } = &segment.upper else {
        panic!("not TCP: {segment:?}")
    };
    let length = payload.len() as u32
        + u32::from(flags & flag::SYN != 0)
        + u32::from(flags & flag::FIN != 0);
    let (sequence, acknowledgement, flags) = if flags & flag::ACK != 0 {
        (*acknowledgement, 0, flag::RST)
    } else {
        (0, sequence.wrapping_add(length), flag::RST | flag::ACK)
    };
    let upper = Upper::Tcp {
        ports: [ports[1], ports[0]],
        sequence,
        acknowledgement,
        flags,
        window: 0,
        payload: Vec::new(),
    };
    let links = (segment.link_source, segment.link_destination);
    let answer = Packet::new(segment.destination, segment.source, upper);
    answer.with(|p| (p.link_destination, p.link_source) = links).frame()
}

pub fn port_unreachable(packet: &Packet) -> Vec<u8> {
    let kind = if packet.source.is_ipv4() { (3, 3) } else { (1, 4) };
    let ip = packet.ip();
    // Whole units of eight bytes, at most 128.
    let quote = &ip[..(ip.len() & !7).min(128)];
    Packet::new(packet.destination, packet.source, icmp(kind.0, kind.1, [0; 4], quote))
        .turned()
        .frame()
}

#[test]
fn unserved_ports_by_policy() {
    let mut bench = Bench::shared();
    let segments = [
        tcp(81, flag::SYN),
        tcp(81, flag::ACK),
        tcp(81, flag::ACK | flag::FIN),
        tcp(81, flag::FIN),
        tcp(81, 0),
    ];
    for (client, vip) in ends() {
        bench.set(&world(Unserved::Reject).0);
        for upper in &segments {
            let packet = Packet::new(client, vip, upper.clone());
            let expected = Expect::Answer(Answer::Reset, DropReason::UnservedPort, reset(&packet));
            bench.expect(&format!("reject {upper:?}"), &packet.frame(), expected);
        }
        let rst = Packet::new(client, vip, tcp(81, flag::RST)).frame();
        bench.expect("reject RST", &rst, Expect::Drop(DropReason::UnservedPort));
        for payload in [0, 1, 7, 8, 9, 63, 64, 100, 101, 500, 1400] {
            let packet = Packet::new(client, vip, udp(81, payload));
            let answer = port_unreachable(&packet);
            let expected = Expect::Answer(Answer::Unreachable, DropReason::UnservedPort, answer);
            bench.expect(&format!("reject UDP of {payload}"), &packet.frame(), expected);
        }
        for (unserved, expected) in [
            (Unserved::Drop, Expect::Drop(DropReason::UnservedPort)),
            (Unserved::Pass, Expect::Pass),
        ] {
            bench.set(&world(unserved).0);
            for upper in segments.iter().cloned().chain([udp(81, 5), tcp(81, flag::RST)]) {
                let what = format!("{unserved:?} {upper:?}");
                let packet = Packet::new(client, vip, upper);
                bench.expect(&what, &packet.frame(), expected.clone());
            }
        }
    }
}

#[test]
fn unserved_protocols_by_policy() {
    let mut bench = Bench::shared();
    for (unserved, expected) in [
        (Unserved::Reject, Expect::Drop(DropReason::UnservedProtocol)),
        (Unserved::Drop, Expect::Drop(DropReason::UnservedProtocol)),
        (Unserved::Pass, Expect::Pass),
    ] {
        bench.set(&world(unserved).0);
        for (client, vip) in ends() {
            let other_icmp = if client.is_ipv4() { 58 } else { 1 };
            for kind in [132, 47, 4, 41, 59, 255, other_icmp] {
                let packet = Packet::new(client, vip, Upper::Raw(kind, vec![7; 24]));
                let what = format!("{unserved:?} protocol {kind}");
                bench.expect(&what, &packet.frame(), expected.clone());
            }
        }
    }
}

#[test]
fn flows_of_a_dead_backend() {
    let mut bench = Bench::shared();
    let dropped = DropReason::DeadBackend;
    for (client, vip) in ends() {
        let packet = |upper| Packet::new(client, vip, upper);
        let (mut world, service) = world(Unserved::Drop);
        bench.set(&world);
        for flags in [flag::ACK, flag::ACK | flag::FIN, flag::SYN | flag::ACK, flag::FIN, 0] {
            let segment = packet(tcp(80, flags));
            let expected = Expect::Answer(Answer::Reset, dropped, reset(&segment));
            bench.expect(&format!("dead, flags {flags:#x}"), &segment.frame(), expected);
        }
        for upper in [tcp(80, flag::SYN), tcp(80, flag::RST), tcp(80, flag::RST | 16), udp(80, 3)] {
            let what = format!("dead, {upper:?}");
            bench.expect(&what, &packet(upper).frame(), Expect::Drop(dropped));
        }
        let segment = packet(tcp(80, flag::ACK)).frame();
        world.change_service(service, |s| s.flags &= !service_flags::RESET_ON_DEAD);
        bench.set(&world);
        bench.expect("dead, reselect", &segment, Expect::Drop(dropped));
        world.change_service(service, |s| s.flags |= service_flags::RESET_ON_DEAD);
        world.maps.settings.budget_per_second = [0; 8];
        bench.set(&world);
        bench.expect("dead, budget exhausted", &segment, Expect::Drop(dropped));
    }
}

#[test]
fn nobody_is_answered_who_must_not_be() {
    let mut bench = Bench::shared();
    let (mut world, _) = world(Unserved::Reject);
    let [v4, v6] = ends().map(|(_, vip)| vip);
    for other_vip in ["203.0.113.99", "2001:db8:f::99"] {
        world.vip(address(other_vip), Unserved::Reject);
    }
    bench.set(&world);
    let sources = [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "203.0.113.99",
        "203.0.113.10",
        "::",
        "ff02::1",
        "2001:db8:f::99",
        "2001:db8:f::10",
    ];
    for source in sources.map(address) {
        let vip = if source.is_ipv4() { v4 } else { v6 };
        for upper in [tcp(81, flag::SYN), udp(81, 5)] {
            let packet = Packet::new(source, vip, upper).frame();
            bench.expect(
                &format!("from {source}"),
                &packet,
                Expect::Drop(DropReason::UnservedPort),
            );
        }
        let dead = Packet::new(source, vip, tcp(80, flag::ACK)).frame();
        bench.expect(&format!("from {source}"), &dead, Expect::Drop(DropReason::DeadBackend));
        let kind = if source.is_ipv4() { 8 } else { 128 };
        let echo = Packet::new(source, vip, icmp(kind, 0, [0; 4], &[])).frame();
        bench.expect(
            &format!("echo from {source}"),
            &echo,
            Expect::Drop(DropReason::EchoUnanswered),
        );
    }
    for (client, vip) in ends() {
        let group = Packet::new(client, vip, tcp(81, flag::SYN))
            .with(|p| p.link_destination = [0xff; 6])
            .frame();
        bench.expect("broadcast frame", &group, Expect::Drop(DropReason::UnservedPort));
    }
}

#[test]
fn answers_come_from_a_bounded_budget() {
    let mut bench = Bench::shared();
    let (mut world, _) = world(Unserved::Reject);
    world.maps.settings.budget_per_second = [5; 8];
    bench.set(&world);
    let (client, vip) = ends()[0];
    for upper in [tcp(81, flag::SYN), tcp(80, flag::ACK), icmp(8, 0, [0; 4], &[])] {
        let frame = Packet::new(client, vip, upper.clone()).frame();
        let answered = (0..200).filter(|_| bench.kernel().run(&frame).action == action::TX).count();
        assert!((5..200).contains(&answered), "{answered} of 200 answered: {upper:?}");
    }
    world.maps.settings.budget_per_second = [0; 8];
    bench.set(&world);
    let unserved = Packet::new(client, vip, tcp(81, flag::SYN)).frame();
    bench.expect("no budget", &unserved, Expect::Drop(DropReason::UnservedPort));
    let echo = Packet::new(client, vip, icmp(8, 0, [0; 4], &[])).frame();
    bench.expect("no budget for echo", &echo, Expect::Drop(DropReason::EchoUnanswered));
}

/// Every checksum that a reply can have, around where the sum wraps.
#[test]
fn echo_replies() {
    let mut bench = Bench::shared();
    bench.set(&world(Unserved::Reject).0);
    for (client, vip) in ends() {
        let (request, reply) = if client.is_ipv4() { (8, 0) } else { (128, 129) };
        let zero = Packet::new(client, vip, icmp(request, 0, [0; 4], &[0; 56]));
        let out = zero.with(|p| p.upper = icmp(reply, 0, [0; 4], &[0; 56])).turned().with(back);
        bench.expect("all zero", &zero.frame(), Expect::Echo(out.frame()));
        for sequence in (0..=u16::MAX).step_by(64).flat_map(|s| [s, s ^ 0x3f]) {
            let rest = [0x12, 0x34, (sequence >> 8) as u8, sequence as u8];
            let packet = Packet::new(client, vip, icmp(request, 0, rest, b"payload"))
                .with(|p| (p.ttl, p.tos) = (3, 0x10));
            let what = format!("echo {sequence:#x} from {client}");
            // The reply's checksum is verified in full.
            let (outcome, change) = bench.run(&what, &packet.frame());
            assert_eq!((outcome.action, change.answers[0], change.forwarded), (action::TX, 1, 1));
            let out =
                packet.with(|p| p.upper = icmp(reply, 0, rest, b"payload")).turned().with(back);
            let (out, at) = (out.frame(), if client.is_ipv4() { 34 } else { 54 });
            assert_eq!(outcome.packet[..at + 2], out[..at + 2], "{what}");
            assert_eq!(outcome.packet[at + 4..], out[at + 4..], "{what}");
        }
    }
    bench.set(&world(Unserved::Pass).0);
    for (client, vip) in ends() {
        let kind = if client.is_ipv4() { 8 } else { 128 };
        let echo = Packet::new(client, vip, icmp(kind, 0, [0; 4], &[])).frame();
        bench.expect("the kernel answers", &echo, Expect::Pass);
    }
}

/// Addresses swapped, and a TTL of its own.
fn back(packet: &mut Packet) {
    std::mem::swap(&mut packet.source, &mut packet.destination);
    packet.ttl = 64;
}
