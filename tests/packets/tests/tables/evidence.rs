//! Evidence against backends, as the traffic shows it: SYNs that come again, SYNs
//! that are refused, first packets that do not arrive.

use std::net::IpAddr;

use lb_common::abi::{SlotWord, Unserved};
use lb_test_support::bench::Bench;
use lb_test_support::packet::protocol::TCP;
use lb_test_support::packet::{Packet, Upper, flag, icmp, tcp, udp};
use lb_test_support::world::{INGRESS, World, address, direct, ends, tunnel};

use crate::nat_case::Case;

/// The least there is: a repeated SYN is one that comes a tick later.
const AT_ONCE: u32 = 1;
/// No SYN of a test comes so late.
const NEVER: u32 = 1 << 19;
/// Enough that kernel and host, who read the clock apart, agree.
const A_WHILE: u64 = 2;
const NOTHING: ([u64; 4], u32) = ([0; 4], 0);

/// A service whose slots have two backends, one after the other.
struct Pool {
    world: World,
    service: u16,
    first: u16,
    second: u16,
    client: IpAddr,
    vip: IpAddr,
}

impl Pool {
    fn all() -> impl Iterator<Item = Self> {
        let v4 = (address("10.0.0.1"), address("10.0.9.1"));
        ends().into_iter().flat_map(move |ends| {
            [direct(INGRESS), tunnel(INGRESS, v4.0, v4.1)].map(|one| Self::new(ends, one))
        })
    }

    fn new((client, vip): (IpAddr, IpAddr), backend: lb_common::abi::Backend) -> Self {
        let mut world = World::new();
        let (first, second) = (world.backend(backend), world.backend(backend));
        let service = world.service(SlotWord::at_rest(first, 0));
        world.change_service(service, |service| service.repeat_after = AT_ONCE);
        world.vip(vip, Unserved::Drop);
        world.serve(vip, TCP, 80, service);
        Self { world, service, first, second, client, vip }
    }

    fn send(&self, bench: &mut Bench, client: IpAddr, upper: Upper) {
        bench.run("a client's packet", &Packet::new(client, self.vip, upper).frame());
    }

    /// The same SYN again, after a while.
    fn repeat(&self, bench: &mut Bench, client: IpAddr, upper: Upper) {
        bench.wait(A_WHILE);
        self.send(bench, client, upper);
    }
}

fn syn(sequence: u32) -> Upper {
    let Upper::Tcp { ports, acknowledgement, flags, window, payload, .. } = tcp(80, flag::SYN)
    else {
        panic!("tcp() makes TCP");
    };
    Upper::Tcp { ports, sequence, acknowledgement, flags, window, payload }
}

#[test]
fn a_connection_whose_syn_comes_again_is_unanswered_once() {
    let mut bench = Bench::shared();
    for pool in Pool::all() {
        bench.set_without_evidence(&pool.world);
        pool.send(&mut bench, pool.client, syn(7));
        assert_eq!(bench.evidence(pool.first), NOTHING, "the first");
        pool.repeat(&mut bench, pool.client, syn(7));
        assert_eq!(bench.evidence(pool.first), ([1, 1, 0, 0], 1), "the second");
        pool.repeat(&mut bench, pool.client, syn(7));
        assert_eq!(bench.evidence(pool.first), ([1, 2, 0, 0], 1), "the third");
        pool.repeat(&mut bench, pool.client, syn(8));
        assert_eq!(bench.evidence(pool.first), ([1, 2, 0, 0], 1), "another connection");
        pool.repeat(&mut bench, pool.client, syn(8));
        assert_eq!(bench.evidence(pool.first), ([2, 3, 0, 0], 1), "which is not answered either");
        assert_eq!(bench.evidence(pool.second), NOTHING, "the other backend");
    }
}

#[test]
fn copies_made_on_the_way_and_other_packets_prove_nothing() {
    let mut bench = Bench::shared();
    for mut pool in Pool::all() {
        pool.world.change_service(pool.service, |service| service.repeat_after = NEVER);
        bench.set_without_evidence(&pool.world);
        for flags in [flag::SYN, flag::SYN | flag::ACK, flag::ACK, flag::RST] {
            for _ in 0..2 {
                pool.send(&mut bench, pool.client, tcp(80, flags));
            }
        }
        assert_eq!(bench.evidence(pool.first), NOTHING, "copies");
        pool.world.change_service(pool.service, |service| service.repeat_after = AT_ONCE);
        bench.update(&pool.world);
        for flags in [flag::SYN | flag::ACK, flag::ACK, flag::RST, flag::FIN] {
            for _ in 0..2 {
                pool.repeat(&mut bench, pool.client, tcp(80, flags));
            }
        }
        assert_eq!(bench.evidence(pool.first), NOTHING, "no SYN");
    }
}

#[test]
fn a_service_that_does_not_ask_has_no_evidence() {
    let mut bench = Bench::shared();
    for mut pool in Pool::all() {
        pool.world.change_service(pool.service, |service| service.repeat_after = 0);
        bench.set_without_evidence(&pool.world);
        for _ in 0..3 {
            pool.repeat(&mut bench, pool.client, syn(7));
        }
        assert_eq!(bench.evidence(pool.first), NOTHING);
    }
}

#[test]
fn evidence_is_against_the_backend_that_did_not_answer() {
    let mut bench = Bench::shared();
    for mut pool in Pool::all() {
        bench.set_without_evidence(&pool.world);
        pool.send(&mut bench, pool.client, syn(7));
        let table = pool.world.maps.services[&pool.service].table;
        for slot in table.base..table.base + table.count {
            pool.world.maps.slots.insert(slot, SlotWord::at_rest(pool.second, 0));
        }
        bench.update(&pool.world);
        pool.repeat(&mut bench, pool.client, syn(7));
        assert_eq!(bench.evidence(pool.first), ([1, 1, 0, 0], 1));
        assert_eq!(bench.evidence(pool.second), NOTHING);
    }
}

/// One /24 or /56 is one network; others are others, up to collisions.
#[test]
fn client_networks_are_told_apart() {
    let mut bench = Bench::shared();
    for pool in Pool::all() {
        let clients: fn(u8) -> [IpAddr; 2] = match pool.client {
            IpAddr::V4(_) => |n| [[198, 18, n, 1], [198, 18, n, 250]].map(IpAddr::from),
            IpAddr::V6(_) => |n| {
                let of = |low| [0x2001, 0xdb8, n.into(), low, 0, 0, 0, 1_u16];
                [of(0x01ff), of(0x0100)].map(IpAddr::from)
            },
        };
        bench.set_without_evidence(&pool.world);
        for client in clients(0) {
            pool.send(&mut bench, client, syn(7));
            pool.repeat(&mut bench, client, syn(7));
        }
        assert_eq!(bench.evidence(pool.first), ([2, 2, 0, 0], 1), "one network");
        for n in 1..9 {
            let [client, _] = clients(n);
            pool.send(&mut bench, client, syn(7));
            pool.repeat(&mut bench, client, syn(7));
        }
        let (counts, networks) = bench.evidence(pool.first);
        assert_eq!(counts, [10, 10, 0, 0]);
        assert!(networks >= 5, "{networks} of 9 networks");
    }
}

fn watched(case: &mut Case, repeat_after: u32) {
    case.world.change_service(case.service, |service| service.repeat_after = repeat_after);
}

#[test]
fn a_translated_flow_counts_until_it_is_answered() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        watched(&mut case, AT_ONCE);
        bench.set_without_evidence(&case.world);
        case.asks(&mut bench, tcp(80, flag::SYN));
        assert_eq!(bench.evidence(case.id), NOTHING, "{}", case.what("the first"));
        for (repeats, what) in [(1, "the second"), (2, "the third")] {
            bench.wait(A_WHILE);
            case.asks(&mut bench, tcp(80, flag::SYN));
            let wanted = ([1, repeats, 0, 0], 1);
            assert_eq!(bench.evidence(case.id), wanted, "{}", case.what(what));
        }
        case.answers(&mut bench, tcp(80, flag::SYN | flag::ACK));
        bench.wait(A_WHILE);
        case.asks(&mut bench, tcp(80, flag::SYN));
        case.answers(&mut bench, tcp(80, flag::RST));
        let wanted = ([1, 2, 0, 0], 1);
        assert_eq!(bench.evidence(case.id), wanted, "{}", case.what("answered"));
    }
}

#[test]
fn copies_of_a_translated_syn_prove_nothing() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        watched(&mut case, NEVER);
        bench.set_without_evidence(&case.world);
        for _ in 0..3 {
            case.asks(&mut bench, tcp(80, flag::SYN));
        }
        assert_eq!(bench.evidence(case.id), NOTHING, "{}", case.what("copies"));
    }
}

#[test]
fn a_refused_connection_counts_where_the_service_asks() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        for (repeat_after, wanted) in [(0, NOTHING), (NEVER, ([0, 0, 1, 0], 1))] {
            watched(&mut case, repeat_after);
            bench.set_without_evidence(&case.world);
            case.asks(&mut bench, tcp(80, flag::SYN));
            case.answers(&mut bench, tcp(80, flag::RST | flag::ACK));
            assert_eq!(bench.evidence(case.id), wanted, "{}", case.what("refused"));
        }
    }
}

/// A client that gives up says nothing of its backend.
#[test]
fn a_clients_own_reset_proves_nothing() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        watched(&mut case, AT_ONCE);
        bench.set_without_evidence(&case.world);
        case.asks(&mut bench, tcp(80, flag::SYN));
        case.asks(&mut bench, tcp(80, flag::RST));
        assert_eq!(bench.evidence(case.id), NOTHING, "{}", case.what("given up"));
    }
}

#[test]
fn first_packets_that_do_not_arrive_count() {
    const SAYS_SO: u64 = 1;
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        let v6 = case.backend_v6;
        let kinds = match v6 {
            false => [(3, 1, SAYS_SO), (3, 3, SAYS_SO), (3, 4, 0), (11, 0, 0)],
            true => [(1, 0, SAYS_SO), (1, 4, SAYS_SO), (2, 0, 0), (3, 0, 0)],
        };
        watched(&mut case, NEVER);
        for (kind, code, count) in kinds {
            for first in [tcp(80, flag::SYN), udp(80, 5)] {
                bench.set_without_evidence(&case.world);
                case.asks(&mut bench, first.clone());
                let quoted = case.to_backend(first).ip();
                let message = icmp(kind, code, [0, 0, 5, 0], &quoted);
                let error = Packet::new(case.backend(), case.seen_client().0, message);
                let what = case.what(&format!("type {kind} code {code}"));
                bench.run(&what, &error.frame());
                let wanted = ([0, 0, 0, count], count as u32);
                assert_eq!(bench.evidence(case.id), wanted, "{what}");
            }
        }
    }
}

/// Whoever knows the ends of a flow can say so of it, but not of one that works.
#[test]
fn an_error_about_a_flow_that_was_answered_proves_nothing() {
    let mut bench = Bench::shared();
    for mut case in Case::all() {
        watched(&mut case, AT_ONCE);
        bench.set_without_evidence(&case.world);
        case.asks(&mut bench, tcp(80, flag::SYN));
        case.answers(&mut bench, tcp(80, flag::SYN | flag::ACK));
        let quoted = case.to_backend(tcp(80, flag::ACK)).ip();
        let (kind, code) = if case.backend_v6 { (1, 4) } else { (3, 3) };
        let message = icmp(kind, code, [0; 4], &quoted);
        let error = Packet::new(case.backend(), case.seen_client().0, message);
        bench.run(&case.what("unreachable"), &error.frame());
        assert_eq!(bench.evidence(case.id), NOTHING, "{}", case.what("unreachable"));
    }
}
