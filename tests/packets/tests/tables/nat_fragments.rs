//! Fragments of translated packets follow the first of them, under another
//! identification; put together again they are the packet that a whole one
//! would have become.

use std::net::IpAddr;

use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::kernel::action;
use lb_test_support::packet::protocol::{FRAGMENT, UDP};
use lb_test_support::packet::{BALANCER, MORE_FRAGMENTS, Mac, Packet, ROUTER, Upper};
use lb_test_support::world::{address, ends};
use lb_test_support::world_nat::POOL_PORT;

use crate::nat::{BACKEND_PORT, from_backend, inside, world};

/// Bytes of the upper layer in each fragment but the last.
const PART: usize = 24;

fn datagram(ports: [u16; 2]) -> Upper {
    Upper::Udp { ports, payload: (0..61).collect() }
}

/// The fragments of a packet.
fn split(packet: &Packet, identification: u16) -> Vec<Vec<u8>> {
    let bytes = packet.upper.bytes(packet.source, packet.destination);
    let count = bytes.len().div_ceil(PART);
    let part = |(index, part): (usize, &[u8])| {
        let more = index + 1 < count;
        let offset = (index * PART / 8) as u16;
        let fragment = packet.with(|p| {
            p.upper = Upper::Raw(UDP, part.to_vec());
            p.identification = identification;
            p.fragment = offset | if more { MORE_FRAGMENTS } else { 0 };
            let [high, low] = (offset << 3 | u16::from(more)).to_be_bytes();
            let [a, b] = identification.to_be_bytes();
            p.extensions = vec![(FRAGMENT, vec![0, high, low, 0, 0, a, b])];
        });
        fragment.frame()
    };
    bytes.chunks(PART).enumerate().map(part).collect()
}

/// What the fragments carry, in the order given.
struct Whole {
    link: (Mac, Mac),
    ends: (IpAddr, IpAddr),
    identification: Vec<u8>,
    bytes: Vec<u8>,
}

fn join(frames: &[Vec<u8>]) -> Whole {
    let v6 = frames[0][12] == 0x86;
    let read = |frame: &[u8], v4: std::ops::Range<usize>, v6_range: std::ops::Range<usize>| {
        frame[if v6 { v6_range } else { v4 }].to_vec()
    };
    let head = &frames[0];
    let of = |bytes: Vec<u8>| match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes).expect("an address")),
    };
    let identification = read(head, 18..20, 58..62);
    let mut bytes = Vec::new();
    for frame in frames {
        lb_test_support::packet::verify(&head[..]).expect("sound headers");
        assert_eq!(read(frame, 18..20, 58..62), identification, "one packet's fragments");
        assert_eq!(read(frame, 26..34, 22..54), read(head, 26..34, 22..54), "the same ends");
        assert_eq!(frame[..12], head[..12], "the same way");
        let length = u16::from_be_bytes(read(frame, 16..18, 18..20).try_into().expect("2 bytes"));
        let end = usize::from(length) + if v6 { 54 } else { 14 };
        bytes.extend(&frame[if v6 { 62 } else { 34 }..end]);
    }
    Whole {
        link: (head[..6].try_into().expect("6 bytes"), head[6..12].try_into().expect("6 bytes")),
        ends: (of(read(head, 26..30, 22..38)), of(read(head, 30..34, 38..54))),
        identification,
        bytes,
    }
}

/// Runs the fragments; all must leave.
fn through(bench: &mut Bench, what: &str, frames: &[Vec<u8>]) -> Whole {
    let mut out = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        let (outcome, _) = bench.run(&format!("{what}, fragment {number}"), frame);
        assert_eq!(outcome.action, action::TX, "{what}, fragment {number}");
        out.push(outcome.packet);
    }
    join(&out)
}

#[test]
fn fragments_follow_the_first_one_in_both_directions() {
    let mut bench = Bench::shared();
    for (client, vip) in ends() {
        let v6 = vip.is_ipv6();
        let (world, id) = world(vip, v6);
        bench.set(&world);
        let (backend, source) = inside(v6);
        let request = Packet::new(client, vip, datagram([40_000, 80]));
        let got = through(&mut bench, "request", &split(&request, 77));
        assert_eq!((got.ends, got.link), ((source, backend), world.link_to(id)));
        let expected = datagram([POOL_PORT, BACKEND_PORT]).bytes(source, backend);
        assert_eq!(got.bytes, expected, "{client} to {vip}");
        assert!(!got.identification.ends_with(&77u16.to_be_bytes()));

        let reply = from_backend(v6, datagram([BACKEND_PORT, POOL_PORT]));
        let answer = through(&mut bench, "reply", &split(&reply, 77));
        assert_eq!((answer.ends, answer.link), ((vip, client), (ROUTER, BALANCER)));
        assert_eq!(answer.bytes, datagram([80, 40_000]).bytes(vip, client));
        assert_ne!(answer.identification, got.identification);
        bench.assert_backends_agree();
    }
}

#[test]
fn clients_with_one_identification_get_two() {
    let mut bench = Bench::shared();
    for (client, vip) in ends() {
        let v6 = vip.is_ipv6();
        let (mut world, _) = world(vip, v6);
        let (_, source) = inside(v6);
        world.translate(1, &[source], 2);
        bench.set(&world);
        let other = address(if v6 { "2001:db8:c::99" } else { "192.0.2.99" });
        let identifications: Vec<_> = [client, other]
            .map(|client| {
                let request = Packet::new(client, vip, datagram([40_000, 80]));
                let (outcome, _) = bench.run("first fragment", &split(&request, 9)[0]);
                assert_eq!(outcome.action, action::TX, "{client} to {vip}");
                outcome.packet[if v6 { 58..62 } else { 18..20 }].to_vec()
            })
            .into();
        assert_ne!(identifications[0], identifications[1]);
    }
}

#[test]
fn a_fragment_whose_first_was_not_seen() {
    let mut bench = Bench::shared();
    for (client, vip) in ends() {
        let (world, _) = world(vip, vip.is_ipv6());
        bench.set(&world);
        let request = Packet::new(client, vip, datagram([40_000, 80]));
        let fragments = split(&request, 5);
        let dropped = Expect::Drop(DropReason::Fragment);
        bench.expect("later fragment", &fragments[1], dropped.clone());
        through(&mut bench, "request", &fragments);
        bench.expect("of another packet", &split(&request, 6)[1], dropped);
    }
}

#[test]
fn between_the_families_fragments_are_not_followed() {
    let mut bench = Bench::shared();
    for (client, vip) in ends() {
        let (world, _) = world(vip, vip.is_ipv4());
        bench.set(&world);
        let request = Packet::new(client, vip, datagram([40_000, 80]));
        let fragments = split(&request, 5);
        let what = format!("{client} to {vip}");
        bench.expect(&what, &fragments[0], Expect::Drop(DropReason::NatUntranslatable));
        bench.expect(&what, &fragments[1], Expect::Drop(DropReason::Fragment));
    }
}
