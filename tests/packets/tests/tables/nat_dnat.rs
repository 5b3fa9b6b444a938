//! Backends that see their clients' own addresses: what is special about them.

use std::net::IpAddr;

use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::{BALANCER, Packet, ROUTER, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::address;
use lb_test_support::world_nat::POOL_PORT;

use crate::nat::{BACKEND_PORT, inside};
use crate::nat_case::{CLIENT_PORT, Case};

/// It would answer itself, or the other backend directly, past us.
#[test]
fn a_client_that_is_a_backend_gets_an_address_of_ours() {
    let mut bench = Bench::shared();
    for mut case in Case::dnat() {
        let other = address(if case.backend_v6 { "2001:db8:b::9" } else { "10.0.0.9" });
        case.world.keep_clients(case.service, &[other]);
        bench.set(&case.world);
        for (client, upper) in [case.backend(), other]
            .into_iter()
            .flat_map(|c| [(c, tcp(80, flag::SYN)), (c, udp(80, 9))])
        {
            bench.set(&case.world);
            let ours = inside(case.backend_v6).1;
            let there = Packet::new(client, case.vip, upper.clone());
            let out = case
                .to_backend(upper.clone())
                .with(|p| {
                    p.source = ours;
                    p.upper = upper.clone().between([POOL_PORT, BACKEND_PORT]);
                })
                .frame();
            let what = case.what(&format!("from {client}"));
            bench.expect(&what, &there.frame(), Expect::Transmit(out));
            let back = case.of_backend(upper.clone()).with(|p| {
                p.destination = ours;
                p.upper = upper.clone().between([BACKEND_PORT, POOL_PORT]);
            });
            let out = case.to_client(upper).with(|p| p.destination = client).frame();
            bench.expect(&what, &back.frame(), Expect::Transmit(out));
        }
    }
}

fn headers(packet: &Packet) -> usize {
    if packet.source.is_ipv4() { 20 } else { 40 }
}

/// Type, code and rest of "too big for 1400 bytes" and of "no route".
fn errors(v6: bool) -> [(u8, u8, [u8; 4]); 2] {
    if v6 {
        [(2, 0, [0, 0, 5, 0x78]), (1, 0, [0; 4])]
    } else {
        [(3, 4, [0, 0, 5, 0x78]), (3, 1, [0; 4])]
    }
}

fn error(of: (u8, u8, [u8; 4]), quoted: &Packet, bytes: usize) -> Upper {
    let ip = quoted.ip();
    icmp(of.0, of.1, of.2, &ip[..(headers(quoted) + bytes).min(ip.len())])
}

/// They are addressed to the client and quote what the backend was sent.
#[test]
fn errors_from_behind_us_reach_the_client_from_the_vip() {
    let mut bench = Bench::shared();
    for case in Case::dnat() {
        for first in [tcp(80, flag::SYN), udp(80, 100)] {
            bench.set(&case.world);
            case.asks(&mut bench, first.clone());
            let router = address(if case.backend_v6 { "2001:db8:b::77" } else { "10.0.0.77" });
            for of in errors(case.backend_v6) {
                for (from, bytes) in [(case.backend(), 8), (router, 8), (router, 100)] {
                    let quoted = case.to_backend(first.clone());
                    let packet = Packet::new(from, case.client, error(of, &quoted, bytes));
                    let quoted = case.of_client(first.clone());
                    let out = Packet::new(case.vip, case.client, error(of, &quoted, bytes))
                        .with(|p| (p.link_destination, p.link_source) = (ROUTER, BALANCER));
                    let what = case.what(&format!("error {of:?} from {from}, {bytes} bytes"));
                    bench.expect(&what, &packet.frame(), Expect::Transmit(out.frame()));
                }
            }
            // About a packet that was not ours.
            let quoted = Packet::new(case.client, router, first.clone());
            let packet =
                Packet::new(router, case.client, error(errors(case.backend_v6)[0], &quoted, 8));
            bench.expect(&case.what("another's error"), &packet.frame(), Expect::Pass);
        }
    }
}

#[test]
fn errors_from_the_clients_side_reach_the_backend() {
    let mut bench = Bench::shared();
    for case in Case::dnat() {
        for first in [tcp(80, flag::SYN), udp(80, 100)] {
            bench.set(&case.world);
            case.asks(&mut bench, first.clone());
            let router: IpAddr =
                address(if case.backend_v6 { "2001:db8:5::1" } else { "198.51.100.1" });
            for of in errors(case.backend_v6) {
                for bytes in [8, 100] {
                    let quoted = case.to_client(first.clone());
                    let packet = Packet::new(router, case.vip, error(of, &quoted, bytes));
                    let quoted = case.of_backend(first.clone());
                    let out = Packet::new(case.client, case.backend(), error(of, &quoted, bytes))
                        .with(|p| {
                            (p.link_destination, p.link_source) = case.world.link_to(case.id)
                        });
                    let what = case.what(&format!("error {of:?}, {bytes} bytes"));
                    bench.expect(&what, &packet.frame(), Expect::Transmit(out.frame()));
                }
            }
            assert_eq!(case.seen_client().1, CLIENT_PORT);
        }
    }
}
