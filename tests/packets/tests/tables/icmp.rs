//! ICMP to a VIP that is not an echo request: errors go to the backend that
//! owns the flow they quote, neighbour discovery to the kernel.
use std::net::IpAddr;

use lb_common::abi::{SlotWord, Unserved};
use lb_common::reason::DropReason;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::protocol::{DESTINATION_OPTIONS, TCP, UDP};
use lb_test_support::packet::{MORE_FRAGMENTS, Packet, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, World, address, direct, ends, tunnel};

/// Two backends for two services, so that the right one has to be found.
fn world(unserved: Unserved, through_tunnel: bool) -> (World, [u16; 2]) {
    let mut world = World::new();
    let backends = [0, 1].map(|_| {
        let ends = (address("10.0.0.2"), address("10.0.9.11"));
        world.backend(if through_tunnel {
            tunnel(INGRESS, ends.0, ends.1)
        } else {
            direct(INGRESS)
        })
    });
    let services = backends.map(|backend| world.service(SlotWord::at_rest(backend, 0)));
    for (_, vip) in ends() {
        world.vip(vip, unserved);
        world.serve(vip, TCP, 80, services[0]);
        world.serve(vip, UDP, 53, services[1]);
    }
    (world, backends)
}

/// A router on the way to the client.
fn router(vip: IpAddr) -> IpAddr {
    address(if vip.is_ipv4() { "198.51.100.1" } else { "2001:db8:5::1" })
}

/// The packet that a backend sent from the VIP to the client's port 40000.
fn reply(client: IpAddr, vip: IpAddr, protocol: u8, port: u16) -> Packet {
    let upper = match if protocol == TCP { tcp(0, flag::ACK) } else { udp(0, 200) } {
        Upper::Tcp { sequence, acknowledgement, flags, window, payload, .. } => {
            Upper::Tcp { ports: [port, 40_000], sequence, acknowledgement, flags, window, payload }
        }
        Upper::Udp { payload, .. } => Upper::Udp { ports: [port, 40_000], payload },
        other => other,
    };
    Packet::new(vip, client, upper)
}

/// An error with the first bytes of the packet it is about.
fn error(vip: IpAddr, kind: u8, code: u8, quote: &[u8]) -> Packet {
    Packet::new(router(vip), vip, icmp(kind, code, [0, 0, 5, 0x14], quote))
}

fn headers(vip: IpAddr) -> usize {
    if vip.is_ipv4() { 20 } else { 40 }
}

fn errors(vip: IpAddr) -> &'static [(u8, u8)] {
    if vip.is_ipv4() {
        &[(3, 4), (3, 1), (11, 0), (12, 0)]
    } else {
        &[(1, 0), (2, 0), (3, 0), (4, 0)]
    }
}

#[test]
fn errors_go_to_the_owner_of_the_quoted_flow() {
    let mut bench = Bench::shared();
    let (direct, backends) = world(Unserved::Drop, false);
    bench.set(&direct);
    for (client, vip) in ends() {
        for (protocol, port, backend) in [(TCP, 80, backends[0]), (UDP, 53, backends[1])] {
            let quoted = reply(client, vip, protocol, port).ip();
            for (kind, code) in errors(vip) {
                for quote in [headers(vip) + 8, quoted.len()] {
                    let packet = error(vip, *kind, *code, &quoted[..quote]);
                    let (destination, source) = direct.link_to(backend);
                    let out = packet
                        .with(|p| (p.link_destination, p.link_source) = (destination, source));
                    let what =
                        format!("error {kind} {code}, {quote} bytes of {protocol} for {vip}");
                    bench.expect(&what, &packet.frame(), Expect::Transmit(out.frame()));
                }
            }
        }
    }
}

#[test]
fn errors_through_a_tunnel() {
    let mut bench = Bench::shared();
    let (world, backends) = world(Unserved::Drop, true);
    bench.set(&world);
    for (client, vip) in ends() {
        let quoted = reply(client, vip, UDP, 53).ip();
        let (kind, code) = errors(vip)[0];
        let packet = error(vip, kind, code, &quoted[..headers(vip) + 8]);
        let what = format!("error for {vip}");
        let (destination, source) = world.link_to(backends[1]);
        let out = packet.in_tunnel(address("10.0.0.2"), address("10.0.9.11")).with(|p| {
            (p.link_destination, p.link_source) = (destination, source);
        });
        bench.expect(&what, &packet.frame(), Expect::Transmit(out.frame()));
    }
}

#[test]
fn options_and_extension_headers_in_the_quote() {
    let mut bench = Bench::shared();
    let (world, backends) = world(Unserved::Drop, false);
    bench.set(&world);
    let link = world.link_to(backends[0]);
    let extension = (DESTINATION_OPTIONS, vec![0, 1, 4, 0, 0, 0, 0]);
    for (client, vip) in ends() {
        for count in 0..=6 {
            let quoted = reply(client, vip, TCP, 80).with(|p| {
                p.options = vec![1; 4 * count];
                p.extensions = vec![extension.clone(); count];
            });
            let more = count * if vip.is_ipv4() { 4 } else { 8 };
            let (kind, code) = errors(vip)[0];
            let packet = error(vip, kind, code, &quoted.ip()[..headers(vip) + more + 8]);
            let out = packet.with(|p| (p.link_destination, p.link_source) = link).frame();
            let what = format!("{count} options or extension headers in a quote for {vip}");
            bench.expect(&what, &packet.frame(), Expect::Transmit(out));
        }
    }
}

#[test]
fn errors_that_match_no_flow() {
    let mut bench = Bench::shared();
    for (unserved, expected) in
        [(Unserved::Drop, Expect::Drop(DropReason::IcmpUnmatched)), (Unserved::Pass, Expect::Pass)]
    {
        bench.set(&world(unserved, false).0);
        for (client, vip) in ends() {
            let (kind, code) = errors(vip)[0];
            let quoted = reply(client, vip, TCP, 80);
            let full = quoted.ip();
            let mut row = |what: &str, quote: &[u8]| {
                let frame = error(vip, kind, code, quote).frame();
                bench.expect(&format!("{what} for {vip}"), &frame, expected.clone());
            };
            for length in 0..headers(vip) + 8 {
                row(&format!("{length} bytes quoted"), &full[..length]);
            }
            row("another port", &reply(client, vip, TCP, 81).ip());
            row("another protocol", &quoted.with(|p| p.upper = Upper::Raw(47, vec![0; 64])).ip());
            row("sent by somebody else", &quoted.with(|p| p.source = client).ip());
            if vip.is_ipv4() {
                row("a later fragment", &quoted.with(|p| p.fragment = 7).ip());
                for ihl in 0..5 {
                    let mut broken = full.clone();
                    broken[0] = 0x40 | ihl;
                    row(&format!("IHL {ihl} quoted"), &broken);
                }
            }
            let mut other_version = full.clone();
            other_version[0] ^= 0x20;
            row("another version", &other_version);
        }
    }
    let (world, backends) = world(Unserved::Drop, false);
    bench.set(&world);
    let (client, vip) = ends()[0];
    let first = reply(client, vip, TCP, 80).with(|p| p.fragment = MORE_FRAGMENTS);
    let packet = error(vip, 3, 4, &first.ip());
    let link = world.link_to(backends[0]);
    let out = packet.with(|p| (p.link_destination, p.link_source) = link).frame();
    bench.expect("a first fragment has ports", &packet.frame(), Expect::Transmit(out));
}

#[test]
fn an_error_that_does_not_fit_is_not_answered() {
    let mut bench = Bench::shared();
    let (mut world, backends) = world(Unserved::Drop, false);
    world.change_backend(backends[1], |b| b.mtu = 200);
    bench.set(&world);
    for (client, vip) in ends() {
        let (kind, code) = errors(vip)[0];
        let frame = error(vip, kind, code, &reply(client, vip, UDP, 53).ip()).frame();
        bench.expect("too big", &frame, Expect::Drop(DropReason::TooBig));
    }
}

#[test]
fn other_kinds() {
    let mut bench = Bench::shared();
    for (unserved, others) in
        [(Unserved::Reject, Expect::Drop(DropReason::IcmpOther)), (Unserved::Pass, Expect::Pass)]
    {
        bench.set(&world(unserved, false).0);
        let [(client4, vip4), (client6, vip6)] = ends();
        for kind in [0, 4, 5, 9, 13, 17, 129] {
            let frame = Packet::new(client4, vip4, icmp(kind, 0, [0; 4], &[])).frame();
            bench.expect(&format!("ICMP {kind}"), &frame, others.clone());
        }
        for kind in [129, 138, 160, 8] {
            let frame = Packet::new(client6, vip6, icmp(kind, 0, [0; 4], &[])).frame();
            bench.expect(&format!("ICMPv6 {kind}"), &frame, others.clone());
        }
        for kind in 133..=137 {
            let frame = Packet::new(client6, vip6, icmp(kind, 0, [0; 4], &[0; 16]))
                .with(|p| p.ttl = 255)
                .frame();
            bench.expect(&format!("neighbour discovery {kind}"), &frame, Expect::Pass);
        }
        let group =
            Packet::new(client6, address("ff02::1:ff00:10"), icmp(135, 0, [0; 4], &[0; 16]));
        bench.expect("neighbour solicitation to the group", &group.frame(), Expect::Pass);
    }
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 1, 8, 6]);
    arp.extend([0; 46]);
    bench.expect("ARP", &arp, Expect::Pass);
}
