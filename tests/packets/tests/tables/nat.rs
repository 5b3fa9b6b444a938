//! Translation: other addresses and ports on the way to the backend, and the
//! VIP's on the way back.

use std::net::IpAddr;

use lb_common::abi::Unserved;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{BALANCER, Mac, Packet, ROUTER, Upper, flag, tcp, udp};
use lb_test_support::world::{INGRESS, World, address, ends};
use lb_test_support::world_nat::{POOL_PORT, translated};

/// Backend and the balancer's own address towards it, by family.
pub fn inside(v6: bool) -> (IpAddr, IpAddr) {
    if v6 {
        (address("2001:db8:b::8"), address("2001:db8:b::1"))
    } else {
        (address("10.0.0.8"), address("10.0.0.1"))
    }
}

pub const BACKEND_PORT: u16 = 8080;

/// The VIP's ports 80 translated to a backend's 8080; returns the backend's id.
pub fn world(vip: IpAddr, backend_v6: bool) -> (World, u16) {
    let mut world = World::new();
    let (backend, source) = inside(backend_v6);
    let entry = translated(INGRESS, backend, BACKEND_PORT);
    let (service, backend) = world.nat_service(entry, &[source]);
    world.vip(vip, Unserved::Drop);
    world.serve(vip, TCP, 80, service);
    world.serve(vip, UDP, 80, service);
    (world, backend)
}

/// The packet between these ends, to this next hop.
fn between(
    packet: &Packet,
    (source, source_port): (IpAddr, u16),
    (destination, port): (IpAddr, u16),
    (link_destination, link_source): (Mac, Mac),
) -> Vec<u8> {
    let changed = packet.with(|p| {
        (p.source, p.destination) = (source, destination);
        (p.link_destination, p.link_source) = (link_destination, link_source);
        match &mut p.upper {
            Upper::Tcp { ports, .. } | Upper::Udp { ports, .. } => *ports = [source_port, port],
            other => panic!("{other:?} has no ports"),
        }
    });
    changed.frame()
}

/// What a backend sends, to its gateway.
pub fn from_backend(v6: bool, upper: Upper) -> Packet {
    let (backend, source) = inside(v6);
    let upper = match upper {
        Upper::Tcp { sequence, acknowledgement, flags, window, payload, .. } => Upper::Tcp {
            ports: [BACKEND_PORT, POOL_PORT],
            sequence,
            acknowledgement,
            flags,
            window,
            payload,
        },
        Upper::Udp { payload, .. } => Upper::Udp { ports: [BACKEND_PORT, POOL_PORT], payload },
        other => other,
    };
    Packet::new(backend, source, upper).with(|p| p.link_source = [2, 0, 0, 0, 0, 9])
}

#[test]
fn a_connection_there_and_back() {
    let mut bench = Bench::shared();
    for (client, vip) in ends() {
        for backend_v6 in [false, true] {
            let (world, id) = world(vip, backend_v6);
            bench.set(&world);
            let (backend, source) = inside(backend_v6);
            let forward = |upper| {
                let packet = Packet::new(client, vip, upper);
                let to = (backend, BACKEND_PORT);
                let out = between(&packet, (source, POOL_PORT), to, world.link_to(id));
                (packet.frame(), Expect::Transmit(out))
            };
            let back = |upper| {
                let packet = from_backend(backend_v6, upper);
                let out = between(&packet, (vip, 80), (client, 40_000), (ROUTER, BALANCER));
                (packet.frame(), Expect::Transmit(out))
            };
            let steps = [
                ("SYN", forward(tcp(80, flag::SYN))),
                ("SYN again", forward(tcp(80, flag::SYN))),
                ("SYN, ACK", back(tcp(80, flag::SYN | flag::ACK))),
                ("ACK", forward(tcp(80, flag::ACK))),
                ("data", forward(tcp(80, flag::ACK))),
                ("answer", back(tcp(80, flag::ACK))),
                ("FIN", back(tcp(80, flag::ACK | flag::FIN))),
                ("FIN back", forward(tcp(80, flag::ACK | flag::FIN))),
                ("last ACK", back(tcp(80, flag::ACK))),
                ("datagram", forward(udp(80, 33))),
                ("answer over UDP", back(udp(80, 32))),
                ("datagram again", forward(udp(80, 1))),
            ];
            for (what, (frame, expected)) in steps {
                let what = format!("{what}, {client} to {vip} on {backend}");
                bench.expect(&what, &frame, expected);
            }
            bench.assert_backends_agree();
        }
    }
}
