//! ICMP errors about translated flows, from either side and between the
//! families: outside and in the packet they quote, the other side's ends.

use std::net::IpAddr;

use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{BALANCER, Packet, ROUTER, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{World, address, ends};
use lb_test_support::world_nat::POOL_PORT;

use crate::nat::{BACKEND_PORT, from_backend, inside, world};

const CLIENT_PORT: u16 = 40_000;

/// One flow, opened by its first packet.
struct Flow {
    client: IpAddr,
    vip: IpAddr,
    backend_v6: bool,
    protocol: u8,
}

impl Flow {
    fn all() -> impl Iterator<Item = Self> {
        ends().into_iter().flat_map(|(client, vip)| {
            [(false, TCP), (false, UDP), (true, TCP), (true, UDP)]
                .map(|(backend_v6, protocol)| Self { client, vip, backend_v6, protocol })
        })
    }

    fn upper(&self) -> Upper {
        if self.protocol == TCP { tcp(80, flag::SYN) } else { udp(80, 100) }
    }

    fn open(&self, bench: &mut Bench, id: u16, world: &World) {
        let packet = Packet::new(self.client, self.vip, self.upper());
        let out = packet.with(|p| {
            let (backend, source) = inside(self.backend_v6);
            (p.source, p.destination) = (source, backend);
            (p.link_destination, p.link_source) = world.link_to(id);
            match &mut p.upper {
                Upper::Tcp { ports, .. } | Upper::Udp { ports, .. } => {
                    *ports = [POOL_PORT, BACKEND_PORT];
                }
                other => panic!("{other:?}"),
            }
        });
        bench.expect("first packet", &packet.frame(), Expect::Transmit(out.frame()));
    }

    /// What the client got from the VIP.
    fn to_client(&self) -> Packet {
        Packet::new(self.vip, self.client, self.answer([80, CLIENT_PORT]))
    }

    /// The same as the backend sent it.
    fn of_backend(&self) -> Packet {
        from_backend(self.backend_v6, self.answer([BACKEND_PORT, POOL_PORT]))
    }

    fn answer(&self, to: [u16; 2]) -> Upper {
        match if self.protocol == TCP { tcp(0, flag::ACK) } else { udp(0, 40) } {
            Upper::Tcp { sequence, acknowledgement, flags, window, payload, .. } => {
                Upper::Tcp { ports: to, sequence, acknowledgement, flags, window, payload }
            }
            Upper::Udp { payload, .. } => Upper::Udp { ports: to, payload },
            other => other,
        }
    }

    /// What the client sent to the VIP.
    fn of_client(&self) -> Packet {
        Packet::new(self.client, self.vip, self.answer([CLIENT_PORT, 80]))
    }

    /// The same as the backend got it.
    fn to_backend(&self) -> Packet {
        let (backend, source) = inside(self.backend_v6);
        Packet::new(source, backend, self.answer([POOL_PORT, BACKEND_PORT]))
    }

    fn what(&self) -> String {
        let Self { client, vip, backend_v6, protocol } = self;
        let family = if *backend_v6 { 6 } else { 4 };
        format!("protocol {protocol}, {client} to {vip}, backend over IPv{family}")
    }
}

/// The first bytes of a packet's headers and eight of what they carry.
fn quote(packet: &Packet) -> Vec<u8> {
    packet.ip()[..if packet.source.is_ipv4() { 28 } else { 48 }].to_vec()
}

/// Type and code, and the last four bytes of the header.
type Meaning = ([u8; 2], [u8; 4]);

/// Errors that both families have, in IPv4 and in IPv6.
const BOTH: [(Meaning, Meaning); 5] = [
    (([3, 1], [0; 4]), ([1, 0], [0; 4])),
    (([3, 3], [0; 4]), ([1, 4], [0; 4])),
    (([3, 10], [0; 4]), ([1, 1], [0; 4])),
    (([11, 0], [0; 4]), ([3, 0], [0; 4])),
    // 1400 bytes over IPv4 carry what 1420 do over IPv6.
    (([3, 4], [0, 0, 5, 0x78]), ([2, 0], [0, 0, 5, 0x8c])),
];

fn error(v6: bool, of: &(Meaning, Meaning), quote: &[u8]) -> Upper {
    let ([kind, code], rest) = if v6 { of.1 } else { of.0 };
    icmp(kind, code, rest, quote)
}

/// A router near the client.
fn router(v6: bool) -> IpAddr {
    address(if v6 { "2001:db8:5::1" } else { "198.51.100.1" })
}

/// A router near the backend.
fn inner_router(v6: bool) -> IpAddr {
    address(if v6 { "2001:db8:b::77" } else { "10.0.0.77" })
}

#[test]
fn errors_from_the_clients_side_reach_the_backend() {
    let mut bench = Bench::shared();
    for flow in Flow::all() {
        let (world, id) = world(flow.vip, flow.backend_v6);
        bench.set(&world);
        flow.open(&mut bench, id, &world);
        let v6 = flow.vip.is_ipv6();
        for of in &BOTH {
            let packet =
                Packet::new(router(v6), flow.vip, error(v6, of, &quote(&flow.to_client())));
            let (backend, source) = inside(flow.backend_v6);
            let upper = error(flow.backend_v6, of, &quote(&flow.of_backend()));
            let out = Packet::new(source, backend, upper)
                .with(|p| (p.link_destination, p.link_source) = world.link_to(id));
            let what = format!("error {:?}, {}", of.0.0, flow.what());
            bench.expect(&what, &packet.frame(), Expect::Transmit(out.frame()));
        }
    }
}

#[test]
fn errors_from_the_backends_side_reach_the_client() {
    let mut bench = Bench::shared();
    for flow in Flow::all() {
        let (world, id) = world(flow.vip, flow.backend_v6);
        bench.set(&world);
        flow.open(&mut bench, id, &world);
        let (_, source) = inside(flow.backend_v6);
        for of in &BOTH {
            let upper = error(flow.backend_v6, of, &quote(&flow.to_backend()));
            let packet = Packet::new(inner_router(flow.backend_v6), source, upper);
            let v6 = flow.vip.is_ipv6();
            let upper = error(v6, of, &quote(&flow.of_client()));
            let out = Packet::new(flow.vip, flow.client, upper)
                .with(|p| (p.link_destination, p.link_source) = (ROUTER, BALANCER));
            let what = format!("error {:?}, {}", of.0.0, flow.what());
            bench.expect(&what, &packet.frame(), Expect::Transmit(out.frame()));
        }
    }
}

#[test]
fn an_error_that_the_other_family_does_not_have() {
    let mut bench = Bench::shared();
    for flow in Flow::all().filter(|flow| flow.vip.is_ipv6() != flow.backend_v6) {
        let (world, id) = world(flow.vip, flow.backend_v6);
        bench.set(&world);
        flow.open(&mut bench, id, &world);
        let v6 = flow.vip.is_ipv6();
        let (kind, code) = if v6 { (4, 0) } else { (12, 0) };
        let upper = icmp(kind, code, [0; 4], &quote(&flow.to_client()));
        let packet = Packet::new(router(v6), flow.vip, upper);
        let dropped = Expect::Drop(DropReason::NatUntranslatable);
        bench.expect(&flow.what(), &packet.frame(), dropped);
    }
}
