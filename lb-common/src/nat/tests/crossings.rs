//! Packets that meet at the moments that random ones seldom hit.

use super::balancer::{Balancer, Outcome, Packet, Rules, TCP, UDP, client_key};
use super::memory::Memory;
use super::model::{check, run};
use crate::abi::NatMeta;
use crate::hash::FlowWords;
use crate::nat::found::give_up;
use crate::nat::interleave;
use crate::nat::table::{NatHash, Table, Taking};
use crate::transition::PacketKind::{self, Data, Fin, Rst, Syn, Udp};

const START: u64 = 5000;

struct Lab {
    balancer: Balancer,
    rules: Rules,
    now: u64,
}

impl Lab {
    fn new(buckets: u32) -> Self {
        Self { balancer: Balancer::new(buckets, buckets), rules: Rules::new(2, 200), now: START }
    }

    fn packet(&self, key: FlowWords, kind: PacketKind) -> Packet {
        Packet { key, kind, now: self.now }
    }

    fn send(&self, key: FlowWords, kind: PacketKind) -> Outcome {
        self.balancer.process(&self.rules, &self.packet(key, kind))
    }

    /// The first packet of a client; returns the key of its answers.
    fn opens(&self, key: FlowWords, kind: PacketKind) -> FlowWords {
        match self.send(key, kind) {
            Outcome::ToBackend(to) => to.reversed(),
            other => panic!("{kind:?}: {other:?}"),
        }
    }

    fn at_once(&self, seed: u64, packets: &[(FlowWords, PacketKind)]) -> Vec<Outcome> {
        let packets: Vec<_> = packets.iter().map(|(key, kind)| self.packet(*key, *kind)).collect();
        let outcomes = run(&self.balancer, &self.rules, seed, (&packets, None));
        check(&self.balancer, self.now);
        outcomes
    }
}

/// Each in another order of accesses.
const ORDERS: std::ops::Range<u64> = 0..1200;

#[test]
fn a_late_answer_leaves_the_clients_next_flow_alone() {
    let mut lab = Lab::new(4);
    lab.rules.service.udp_responses = 1;
    let client = client_key(3, UDP);
    let first = lab.opens(client, Udp);
    assert!(matches!(lab.send(first, Udp), Outcome::ToClient(_)));
    let second = lab.opens(client, Udp);
    assert_ne!(first, second, "the first tuple rests");
    lab.send(first, Udp);
    assert_eq!(lab.opens(client, Udp), second, "it goes on");
}

#[test]
fn nothing_is_lost_while_a_flow_moves() {
    for seed in ORDERS {
        let lab = Lab::new(4);
        let client = client_key(0, TCP);
        let backend = lab.opens(client, Syn);
        lab.send(backend, Data);
        let packets = [(client, Data), (backend, Data), (client, Data)];
        for outcome in lab.at_once(seed, &packets) {
            assert_ne!(outcome, Outcome::NoFlow, "order {seed}");
        }
    }
}

/// The two see different lines free while a third comes and goes.
#[test]
fn two_that_want_one_key_do_not_both_get_it() {
    let (key, other) = (client_key(0, TCP), client_key(1, TCP));
    let taking = Taking::expired(START, 10, false);
    for seed in ORDERS {
        let table = Memory::new(1);
        let claim = |key: FlowWords| {
            let claim = table.claim(&key, NatHash::of(&key, [1, 2]), taking);
            table.line(claim.0)
        };
        let passing = || {
            if let Some(line) = claim(other) {
                give_up(line);
            }
            false
        };
        let claims: Vec<Box<dyn FnOnce() -> bool + Send + '_>> = vec![
            Box::new(|| claim(key).is_some()),
            Box::new(|| claim(key).is_some()),
            Box::new(passing),
        ];
        let got = interleave::run(seed, claims).into_iter().filter(|got| *got).count();
        assert!(got < 2, "order {seed}");
    }
}

#[test]
fn who_gives_way_does_so_whole() {
    for seed in ORDERS {
        // Seven lines: the fourth flow puts another out.
        let lab = Lab::new(1);
        let clients = [0, 1, 2].map(|client| client_key(client, TCP));
        let backends = clients.map(|client| lab.opens(client, Syn));
        let packets = [(backends[0], Data), (client_key(4, TCP), Syn), (clients[0], Syn)];
        let outcomes = lab.at_once(seed, &packets);
        if let Outcome::ToClient(to) = outcomes[0] {
            assert_eq!(to.reversed(), clients[0], "order {seed}");
        }
    }
}

#[test]
fn a_reset_does_not_outlive_the_next_flow_of_its_port() {
    for seed in ORDERS {
        let lab = Lab::new(2);
        let client = client_key(0, TCP);
        let backend = lab.opens(client, Syn);
        lab.send(backend, Data);
        lab.at_once(seed, &[(client, Rst), (backend, Data), (client, Syn)]);
    }
}

#[test]
fn an_expired_line_of_the_same_key_goes_first() {
    let mut lab = Lab::new(1);
    let confirm = |lab: &Lab, client| {
        let backend = lab.opens(client, Syn);
        lab.send(backend, Data);
        lab.send(client, Data);
    };
    let clients = [0, 1, 2].map(|client| client_key(client, TCP));
    for client in clients {
        confirm(&lab, client);
    }
    lab.now += 1000;
    confirm(&lab, clients[2]);
    let lines = lab.balancer.main.lines();
    let its: Vec<_> = lines.iter().filter(|line| line.key == clients[2]).collect();
    assert!(matches!(its[..], [line] if line.meta.expires() > lab.now), "{its:?}");
}

/// Both ends close at the same moment: neither FIN is lost, or the flow would
/// stay for as long as one waits for the other.
#[test]
fn two_that_close_at_once_have_closed() {
    for seed in ORDERS {
        let lab = Lab::new(4);
        let client = client_key(0, TCP);
        let backend = lab.opens(client, Syn);
        lab.send(backend, Data);
        lab.send(client, Data);
        lab.at_once(seed, &[(client, Fin), (backend, Fin)]);
        for table in [&lab.balancer.main, &lab.balancer.new] {
            for bucket in (0..table.buckets()).filter_map(|index| table.bucket(index)) {
                for meta in bucket.metas.iter().map(|meta| NatMeta(meta.load())) {
                    assert!(!meta.in_use() || meta.state().is_over(), "order {seed}: {meta:?}");
                }
            }
        }
    }
}
