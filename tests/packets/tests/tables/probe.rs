//! Probes on the way of client packets, and their answers back to the prober.

use std::net::IpAddr;

use lb_common::abi::{BackendCounters, SlotWord, Unserved, backend_flags};
use lb_common::hash::{FlowHash, FlowWords};
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::kernel::action;
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{DONT_FRAGMENT, Packet, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{OTHER_INTERFACE, World, address, direct, ends, flow_key, tunnel};
use lb_test_support::world_nat::translated;
use lb_test_support::world_probe::{from_prober, to_prober};

const WAY: u16 = 0x1234;
const PROBE: u16 = 61_234;

/// This host's address of the family.
fn own(v6: bool) -> IpAddr {
    if v6 { address("2001:db8:b::1") } else { address("10.0.0.1") }
}

fn with_ports(upper: Upper, from: u16, to: u16) -> Upper {
    match upper {
        Upper::Tcp { sequence, acknowledgement, flags, window, payload, .. } => {
            Upper::Tcp { ports: [from, to], sequence, acknowledgement, flags, window, payload }
        }
        Upper::Udp { payload, .. } => Upper::Udp { ports: [from, to], payload },
        other => other,
    }
}

/// What is sent to port 80, from a probe's port.
fn asked() -> [Upper; 4] {
    [tcp(80, flag::SYN), tcp(80, flag::ACK), udp(80, 33), udp(80, 0)]
        .map(|upper| with_ports(upper, PROBE, 80))
}

/// Ports 80 of both VIPs, and ways to their only backend.
fn world(backend: lb_common::abi::Backend) -> (World, u16) {
    let mut world = World::new();
    let backend = world.backend(backend);
    let service = world.service(SlotWord::at_rest(backend, 0));
    for (_, vip) in ends() {
        world.vip(vip, Unserved::Reject);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
        world.probe_way(WAY + u16::from(vip.is_ipv6()), backend, (vip, own(vip.is_ipv6())));
    }
    (world, backend)
}

fn way(vip: IpAddr) -> u16 {
    WAY + u16::from(vip.is_ipv6())
}

/// Claims: a probe leaves as a client's packet would, from this host to the VIP, and is
/// counted nowhere.
#[test]
fn probes_take_the_way_of_client_packets() {
    let mut bench = Bench::shared();
    let (world, backend) = world(direct(OTHER_INTERFACE));
    bench.set(&world);
    let before = bench.kernel().backend_counters(backend);
    for (_, vip) in ends() {
        for upper in asked() {
            let what = format!("{upper:?} to {vip}");
            let probe = from_prober(way(vip), vip.is_ipv6(), upper.clone());
            let sent = Packet::new(own(vip.is_ipv6()), vip, upper).with(|p| {
                (p.link_destination, p.link_source) = world.link_to(backend);
            });
            let outcome = bench.send_probe(&what, &probe.frame());
            assert_eq!(
                (outcome.action, outcome.packet),
                (action::REDIRECT, sent.frame()),
                "{what}"
            );
        }
    }
    let after = bench.kernel().backend_counters(backend);
    assert_eq!(after, BackendCounters { ..before }, "no traffic of clients");
}

#[test]
fn probes_go_through_the_tunnel() {
    let mut bench = Bench::shared();
    for outer in [("10.0.0.2", "10.0.9.11"), ("fd00::2", "fd00:9::11")] {
        let (from, to) = (address(outer.0), address(outer.1));
        let (world, backend) = world(tunnel(OTHER_INTERFACE, from, to));
        bench.set(&world);
        for (_, vip) in ends() {
            for upper in asked() {
                let inner = Packet::new(own(vip.is_ipv6()), vip, upper.clone());
                let tag = FlowHash::of(&FlowWords::from(&flow_key(&inner)), [0; 2]).bits();
                let sent = inner.in_tunnel(from, to).with(|p| {
                    (p.link_destination, p.link_source) = world.link_to(backend);
                    p.flow_label = tag & 0xf_ffff;
                    p.fragment = DONT_FRAGMENT;
                });
                let probe = from_prober(way(vip), vip.is_ipv6(), upper);
                let outcome = bench.send_probe("a probe", &probe.frame());
                assert_eq!((outcome.action, outcome.packet), (action::REDIRECT, sent.frame()));
            }
        }
    }
}

/// Claims: nothing else leaves the prober's namespace.
#[test]
fn only_probes_leave() {
    let mut bench = Bench::shared();
    let (mut world, backend) = world(direct(OTHER_INTERFACE));
    bench.set(&world);
    for (client, vip) in ends() {
        let v6 = vip.is_ipv6();
        let probe = from_prober(way(vip), v6, with_ports(tcp(80, flag::SYN), PROBE, 80));
        let ping = icmp(if v6 { 128 } else { 8 }, 0, [0; 4], b"ping");
        let low = with_ports(tcp(80, flag::SYN), 60_999, 80);
        for (what, packet) in [
            ("a ping", probe.with(|p| p.upper = ping)),
            ("from a port that is not for probes", probe.with(|p| p.upper = low)),
            ("to no alias", probe.with(|p| p.destination = client)),
            ("to an alias of no way", from_prober(WAY + 2, v6, probe.upper.clone())),
        ] {
            assert_eq!(bench.send_probe(what, &packet.frame()).action, action::DROP, "{what}");
        }
    }
    let mut arp = vec![0xff; 6];
    arp.extend([2, 0, 0, 0, 0, 1, 8, 6]);
    arp.extend([0; 46]);
    assert_eq!(bench.send_probe("ARP", &arp).action, action::DROP);
    world.change_backend(backend, |b| b.flags &= !backend_flags::RESOLVED);
    bench.set(&world);
    let probe = from_prober(WAY, false, with_ports(tcp(80, flag::SYN), PROBE, 80));
    assert_eq!(bench.send_probe("without a next hop", &probe.frame()).action, action::DROP);
}

/// Claims: what a backend answers from the VIP reaches the prober from the alias, for
/// checks of both protocols; an answer to anything else goes to the kernel.
#[test]
fn answers_reach_the_prober() {
    let mut bench = Bench::shared();
    let (world, _) = world(direct(OTHER_INTERFACE));
    bench.set(&world);
    for (client, vip) in ends() {
        let v6 = vip.is_ipv6();
        for (ask, answer) in [
            (tcp(80, flag::SYN), tcp(0, flag::SYN | flag::ACK)),
            (tcp(80, flag::SYN), tcp(0, flag::RST | flag::ACK)),
            (udp(80, 33), udp(0, 400)),
        ] {
            let answer = with_ports(answer, 80, PROBE);
            let packet = Packet::new(vip, own(v6), answer.clone());
            bench.set(&world);
            bench.expect("before any probe", &packet.frame(), Expect::Pass);
            let probe = from_prober(way(vip), v6, with_ports(ask, PROBE, 80));
            bench.send_probe("a probe", &probe.frame());
            let arrives = to_prober(way(vip), v6, answer.clone()).frame();
            bench.expect("its answer", &packet.frame(), Expect::ToProber(arrives));
            for (what, other) in [
                ("from another host", packet.with(|p| p.source = client)),
                (
                    "from another port",
                    packet.with(|p| {
                        p.upper = with_ports(answer.clone(), 81, PROBE);
                    }),
                ),
                (
                    "to another port",
                    packet.with(|p| {
                        p.upper = with_ports(answer.clone(), 80, PROBE + 1);
                    }),
                ),
                (
                    "to a port that is not for probes",
                    packet.with(|p| {
                        p.upper = with_ports(answer.clone(), 80, 22);
                    }),
                ),
                (
                    "of another protocol",
                    packet.with(|p| {
                        p.upper = with_ports(
                            if matches!(answer, Upper::Udp { .. }) {
                                tcp(0, flag::ACK)
                            } else {
                                udp(0, 9)
                            },
                            80,
                            PROBE,
                        );
                    }),
                ),
                ("GRE", packet.with(|p| p.upper = Upper::Raw(47, vec![0; 20]))),
            ] {
                bench.expect(what, &other.frame(), Expect::Pass);
            }
        }
    }
}

/// Claims: errors about a probe reach it with the packet they quote as the prober sent it;
/// errors about other packets, and pings, go to the kernel.
#[test]
fn errors_about_a_probe_reach_it() {
    let mut bench = Bench::shared();
    let (world, _) = world(direct(OTHER_INTERFACE));
    for (client, vip) in ends() {
        let v6 = vip.is_ipv6();
        for upper in asked() {
            bench.set(&world);
            let probe = from_prober(way(vip), v6, upper.clone());
            bench.send_probe("a probe", &probe.frame());
            let sent = Packet::new(own(v6), vip, upper.clone());
            let (kind, code) = if v6 { (1, 4) } else { (3, 3) };
            let error = |source, quoted: &Packet| {
                Packet::new(source, own(v6), icmp(kind, code, [0; 4], &quoted.ip()))
            };
            let mut arrives = to_prober(way(vip), v6, icmp(kind, code, [0; 4], &probe.ip()));
            let frame = error(vip, &sent).frame();
            bench.expect("of the backend", &frame, Expect::ToProber(arrives.frame()));
            arrives.ttl = 63;
            let router = error(client, &sent).with(|p| p.ttl = 63).frame();
            bench.expect("of a router", &router, Expect::ToProber(arrives.frame()));
            let other = sent.with(|p| p.upper = with_ports(upper.clone(), PROBE + 1, 80));
            bench.expect("about another port", &error(vip, &other).frame(), Expect::Pass);
            let other = sent.with(|p| p.destination = client);
            bench.expect("about another host", &error(vip, &other).frame(), Expect::Pass);
            let ping = icmp(if v6 { 128 } else { 8 }, 0, [0; 4], b"ping");
            let ping = Packet::new(client, own(v6), ping).frame();
            bench.expect("a ping", &ping, Expect::Pass);
        }
    }
}

/// Claims: where translated flows leave from the same address, their answers still find
/// them, on the ports of probes, too.
#[test]
fn answers_of_translated_flows_are_not_taken() {
    let mut bench = Bench::shared();
    for (client, vip) in ends() {
        let v6 = vip.is_ipv6();
        let server = if v6 { address("2001:db8:b::11") } else { address("10.0.0.11") };
        let mut world = World::new();
        let (service, backend) =
            world.nat_service(translated(OTHER_INTERFACE, server, 8080), &[own(v6)]);
        let pool = u32::from(service);
        world.maps.pools.get_mut(&pool).expect("its pool").first_port = PROBE;
        world.vip(vip, Unserved::Reject);
        world.serve(vip, TCP, 80, service);
        world.probe_way(way(vip), backend, (vip, own(v6)));
        bench.set(&world);
        let syn = Packet::new(client, vip, tcp(80, flag::SYN));
        let (outcome, _) = bench.run("a client's SYN", &syn.frame());
        assert_eq!(outcome.action, action::REDIRECT);
        let at = if v6 { 14 + 40 } else { 14 + 20 };
        let from = u16::from_be_bytes([outcome.packet[at], outcome.packet[at + 1]]);
        assert!(from >= PROBE, "{from}");
        let answer = with_ports(tcp(0, flag::SYN | flag::ACK), 8080, from);
        let (outcome, _) = bench.run("its answer", &Packet::new(server, own(v6), answer).frame());
        assert_eq!(outcome.action, action::TX, "to the client");
    }
}
