//! IP in IP, for all pairs of families: the outer header says what RFC 6040,
//! RFC 2003 and RFC 6438 ask, the inner packet is untouched.
use std::io::Write;
use std::net::IpAddr;

use lb_common::abi::{Answer, SlotWord, Unserved};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::kernel::action;
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{DONT_FRAGMENT, Packet, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, OTHER_INTERFACE, World, address, direct, ends, tunnel};

/// Outer source and destination of each family.
fn outers() -> [(IpAddr, IpAddr); 2] {
    [("10.0.0.2", "10.0.9.11"), ("fd00::2", "fd00:9::11")].map(|(s, d)| (address(s), address(d)))
}

struct Tunnel {
    world: World,
    backend: u16,
    service: u16,
    outer: (IpAddr, IpAddr),
}

impl Tunnel {
    fn new(ifindex: u32, outer: (IpAddr, IpAddr)) -> Self {
        let mut world = World::new();
        let backend = world.backend(tunnel(ifindex, outer.0, outer.1));
        let service = world.service(SlotWord::at_rest(backend, 0));
        for (_, vip) in ends() {
            world.vip(vip, Unserved::Drop);
            world.serve(vip, TCP, 80, service);
            world.serve(vip, UDP, 80, service);
        }
        Self { world, backend, service, outer }
    }

    /// What a backend should get, from a fixed outer source.
    fn wrapped(&self, packet: &Packet) -> Packet {
        let tag = self.world.hash(self.service, packet).bits();
        let (destination, source) = self.world.link_to(self.backend);
        let inner_v4 = packet.source.is_ipv4();
        packet.in_tunnel(self.outer.0, self.outer.1).with(|p| {
            (p.link_destination, p.link_source) = (destination, source);
            p.tos = packet.tos;
            p.flow_label = tag & 0xf_ffff;
            p.fragment = if inner_v4 { packet.fragment } else { DONT_FRAGMENT };
            if p.fragment == 0 {
                p.identification = packet.identification ^ tag as u16;
            }
        })
    }
}

#[test]
fn all_pairs_of_families() {
    let mut bench = Bench::shared();
    for outer in outers() {
        for ifindex in [INGRESS, OTHER_INTERFACE] {
            let tunnel = Tunnel::new(ifindex, outer);
            bench.set(&tunnel.world);
            for (client, vip) in ends() {
                for upper in [tcp(80, flag::SYN), tcp(80, flag::ACK), udp(80, 33)] {
                    let what = format!("{upper:?} from {client} through {outer:?}");
                    let packet = Packet::new(client, vip, upper);
                    let out = tunnel.wrapped(&packet).frame();
                    let expected = if ifindex == INGRESS {
                        Expect::Transmit(out)
                    } else {
                        Expect::Redirect(out)
                    };
                    bench.expect(&what, &packet.frame(), expected);
                }
            }
        }
    }
}

/// A frame without room in front is dropped and counted for a tunnel; rewriting MAC
/// addresses needs none.
#[test]
fn no_headroom() {
    let mut bench = Bench::shared();
    for outer in outers() {
        let tunnelled = Tunnel::new(INGRESS, outer);
        let mut direct_world = World::new();
        let backend = direct_world.backend(direct(INGRESS));
        let service = direct_world.service(SlotWord::at_rest(backend, 0));
        for (_, vip) in ends() {
            direct_world.vip(vip, Unserved::Drop);
            direct_world.serve(vip, TCP, 80, service);
        }
        for (world, verdict, drops) in
            [(&tunnelled.world, action::DROP, 1), (&direct_world, action::TX, 0)]
        {
            bench.set(world);
            for (client, vip) in ends() {
                let frame = Packet::new(client, vip, tcp(80, flag::ACK)).frame();
                let before = bench.kernel().totals();
                let Some(outcome) = bench.kernel().run_without_headroom(&frame) else {
                    let _ = std::io::stderr().write_all(
                        b"SKIPPED no_headroom: this kernel's test runs always have headroom\n",
                    );
                    return;
                };
                let after = bench.kernel().totals();
                let reason = DropReason::NoHeadroom as usize;
                assert_eq!(outcome.action, verdict, "{client} through {outer:?}");
                assert_eq!(after.dropped[reason] - before.dropped[reason], drops);
                assert_eq!(after.received - before.received, 1);
                assert_eq!(after.forwarded - before.forwarded, 1 - drops);
            }
        }
    }
}

/// The outer header counts the packet; Ethernet's padding stays behind it.
#[test]
fn padded_frames() {
    let mut bench = Bench::shared();
    for outer in outers() {
        let tunnel = Tunnel::new(INGRESS, outer);
        bench.set(&tunnel.world);
        for (client, vip) in ends() {
            let packet = Packet::new(client, vip, udp(80, 1));
            let padded = |packet: &Packet| [packet.frame(), vec![0xee; 17]].concat();
            let out = padded(&tunnel.wrapped(&packet));
            let what = format!("padded, from {client} through {outer:?}");
            bench.expect(&what, &padded(&packet), Expect::Transmit(out));
        }
    }
}

#[test]
fn dscp_ecn_and_df_are_carried() {
    let mut bench = Bench::shared();
    for outer in outers() {
        let tunnel = Tunnel::new(INGRESS, outer);
        bench.set(&tunnel.world);
        for (client, vip) in ends() {
            for tos in 0..=255 {
                let packet = Packet::new(client, vip, udp(80, 12)).with(|p| p.tos = tos);
                let out = tunnel.wrapped(&packet).frame();
                let what = format!("class {tos:#x} from {client} through {outer:?}");
                bench.expect(&what, &packet.frame(), Expect::Transmit(out));
            }
        }
        let (client, vip) = ends()[0];
        // Identifications that make the outer checksum wrap, too.
        for identification in (0..=u16::MAX).step_by(257) {
            let packet = Packet::new(client, vip, udp(80, 12))
                .with(|p| (p.fragment, p.identification) = (0, identification));
            let out = tunnel.wrapped(&packet).frame();
            let what = format!("no DF, id {identification:#x} through {outer:?}");
            bench.expect(&what, &packet.frame(), Expect::Transmit(out));
        }
    }
}

#[test]
fn flow_entropy_fills_only_the_prefix_left_for_it() {
    let mut bench = Bench::shared();
    for (outer, mask) in [
        ((address("10.64.0.0"), address("10.0.9.11")), 0xffffu32),
        ((address("10.64.7.0"), address("10.0.9.11")), 0xff),
        ((address("fd00:e::"), address("fd00:9::11")), u32::MAX),
    ] {
        let mut tunnel = Tunnel::new(INGRESS, outer);
        tunnel.world.change_backend(tunnel.backend, |b| b.entropy_mask = mask);
        bench.set(&tunnel.world);
        let mut sources = std::collections::BTreeSet::new();
        for (client, vip) in ends() {
            for port in 1000..1050 {
                let packet = Packet::new(client, vip, udp(80, 12).from_port(port));
                let tag = tunnel.world.hash(tunnel.service, &packet).bits() & mask;
                let source = match outer.0 {
                    IpAddr::V4(a) => IpAddr::V4((u32::from(a) | tag).into()),
                    IpAddr::V6(a) => IpAddr::V6((u128::from(a) | u128::from(tag)).into()),
                };
                sources.insert(source);
                let out = tunnel.wrapped(&packet).with(|p| p.source = source).frame();
                let what = format!("entropy {mask:#x} in {outer:?}");
                bench.expect(&what, &packet.frame(), Expect::Transmit(out));
            }
        }
        assert!(sources.len() > 50, "100 flows share {} outer sources", sources.len());
    }
}

#[test]
fn a_packet_that_does_not_fit_with_its_outer_header() {
    let mut bench = Bench::shared();
    for (outer, mtu) in outers().into_iter().zip([1480u16, 1460]) {
        let tunnel = Tunnel::new(INGRESS, outer);
        bench.set(&tunnel.world);
        for (client, vip) in ends() {
            let header = if client.is_ipv4() { 28 } else { 48 };
            let fits = Packet::new(client, vip, udp(80, usize::from(mtu) - header));
            let out = tunnel.wrapped(&fits).frame();
            bench.expect("just fits", &fits.frame(), Expect::Transmit(out));
            let packet = Packet::new(client, vip, udp(80, usize::from(mtu) - header + 1));
            let [high, low] = mtu.to_be_bytes();
            let kind = if client.is_ipv4() { (3, 4) } else { (2, 0) };
            let upper = icmp(kind.0, kind.1, [0, 0, high, low], &packet.ip()[..128]);
            let answer = Packet::new(vip, client, upper).turned().frame();
            let expected = Expect::Answer(Answer::TooBig, DropReason::TooBig, answer);
            bench.expect("one byte too long", &packet.frame(), expected);
        }
    }
}
