//! Random packets, several at a time, and what must hold after each.

use std::collections::BTreeMap;

use super::balancer::{Balancer, Outcome, Packet, Rules, TCP, UDP, client_key, ends};
use super::hosts::Hosts;
use crate::nat::interleave;
use crate::nat::sweep::Seen;
use crate::transition::PacketKind::{self, Data, Fin, Rst, Syn, Udp};

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 24) % limit
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// How large everything is.
#[derive(Clone, Copy)]
struct Scene {
    main: u32,
    new: u32,
    addresses: u8,
    ports: u16,
    clients: u8,
    udp_responses: u32,
    keep: bool,
}

const AMPLE: Scene = Scene {
    main: 16,
    new: 16,
    addresses: 2,
    ports: 200,
    clients: 6,
    udp_responses: 2,
    keep: false,
};

struct World {
    balancer: Balancer,
    rules: Rules,
    hosts: Hosts,
    random: Random,
    scene: Scene,
    now: u64,
    /// Every step is printed.
    told: bool,
}

impl World {
    fn new(seed: u64, scene: Scene) -> Self {
        let mut rules = Rules::new(scene.addresses, scene.ports);
        rules.service.udp_responses = scene.udp_responses;
        rules.keep = scene.keep;
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let now = 5000 + random.below(2000);
        Self {
            balancer: Balancer::new(scene.main, scene.new),
            rules,
            hosts: Hosts::default(),
            random,
            scene,
            now,
            told: false,
        }
    }

    fn tell(&self, batch: &[(Packet, Outcome)], sweeps: bool) {
        println!("{}:{}", self.now, if sweeps { " a sweep, and" } else { "" });
        for (packet, outcome) in batch {
            println!("    {packet:?}: {outcome:?}");
        }
        for line in
            [&self.balancer.main, &self.balancer.new].map(|table| table.lines()).iter().flatten()
        {
            let from = if line.reverse { "reverse" } else { "forward" };
            let (key, to) = (ends(&line.key), ends(&line.entry.to));
            let (state, until) = (line.meta.state().name(), line.meta.expires());
            println!("        {from} {key} to {to}, {state} until {until}");
        }
    }

    fn packet(&mut self) -> Packet {
        let backend = self.random.one_in(2);
        let choice = self.random.below(1 << 20) as usize;
        let key = match self.hosts.some_backend_key(choice) {
            Some(key) if backend => key,
            _ => {
                let client = self.random.below(u64::from(self.scene.clients)) as u8;
                let udp = client % 4 == 3 && self.scene.udp_responses < 9;
                client_key(client, if udp { UDP } else { TCP })
            }
        };
        let from_client = key.destination == client_key(0, TCP).destination;
        // CPUs read the clock a little apart.
        let now = self.now - self.random.below(2);
        Packet { key, kind: self.kind((key.ports >> 32) as u8 == UDP, from_client), now }
    }

    fn kind(&mut self, udp: bool, from_client: bool) -> PacketKind {
        if udp {
            return Udp;
        }
        match self.random.below(24) {
            0..=5 if from_client => Syn,
            0 | 6 | 7 => Fin,
            8 => Rst,
            _ => Data,
        }
    }

    fn pass_time(&mut self) {
        self.now += match self.random.below(16) {
            0 => self.random.below(60),
            1 => 10 + self.random.below(30),
            2 if self.random.one_in(4) => 480,
            3..=9 => 1,
            _ => 0,
        };
    }

    fn step(&mut self) {
        self.pass_time();
        let at_once = [1, 1, 2, 3][self.random.below(4) as usize];
        let mut packets: Vec<_> = (0..at_once).map(|_| self.packet()).collect();
        if at_once > 1 && self.random.one_in(2) {
            self.pair(&mut packets);
        }
        let sweeps = self.random.one_in(6);
        let seed = self.random.below(1 << 40);
        let sweep = sweeps.then_some(self.now);
        let outcomes = run(&self.balancer, &self.rules, seed, (&packets, sweep));
        let batch: Vec<_> = packets.into_iter().zip(outcomes).collect();
        if self.told {
            self.tell(&batch, sweeps);
        }
        self.hosts.arrived(&self.rules, &batch);
        check(&self.balancer, self.now);
    }

    /// Makes the second packet one of the first's flow or of the same client.
    fn pair(&mut self, packets: &mut [Packet]) {
        packets[1].key = packets[0].key;
        packets[1].kind = if self.random.one_in(2) {
            packets[0].kind
        } else {
            let udp = (packets[0].key.ports >> 32) as u8 == UDP;
            let from_client = packets[0].key.destination == client_key(0, TCP).destination;
            self.kind(udp, from_client)
        };
    }

    /// Long after the last packet nothing is left.
    fn end(&mut self) {
        self.now += 1000;
        self.balancer.sweep(&self.rules, self.now);
        let Balancer { main, new } = &self.balancer;
        assert!(main.lines().is_empty() && new.lines().is_empty(), "a line leaks");
    }
}

/// What becomes of packets, and of a pass of the daemon, that meet in an order
/// that `seed` decides.
pub fn run(
    balancer: &Balancer,
    rules: &Rules,
    seed: u64,
    (packets, sweep): (&[Packet], Option<u64>),
) -> Vec<Outcome> {
    if let ([packet], None) = (packets, sweep) {
        return vec![balancer.process(rules, packet)];
    }
    let mut threads: Vec<Box<dyn FnOnce() -> Option<Outcome> + Send + '_>> = Vec::new();
    for packet in packets {
        threads.push(Box::new(move || Some(balancer.process(rules, packet))));
    }
    if let Some(now) = sweep {
        threads.push(Box::new(move || {
            balancer.sweep(rules, now);
            None
        }));
    }
    interleave::run(seed, threads).into_iter().flatten().collect()
}

/// What holds while no packet is on its way.
pub fn check(balancer: &Balancer, now: u64) {
    let lines = |table: &super::memory::Memory, young| -> Vec<(Seen, bool)> {
        table.lines().into_iter().map(|seen| (seen, young)).collect()
    };
    let mut all = lines(&balancer.main, false);
    all.extend(lines(&balancer.new, true));
    let mut live: BTreeMap<_, (Seen, bool)> = BTreeMap::new();
    for (line, young) in all {
        assert!(!line.meta.is_busy(), "claimed for ever: {line:?}");
        if line.meta.expires() < now {
            continue;
        }
        let key = (line.key.source, line.key.destination, line.key.ports);
        if let Some(other) = live.insert(key, (line, young)) {
            panic!("two lines of one key: {line:?} and {other:?}");
        }
    }
    for (line, young) in live.values() {
        if line.reverse || *young && line.meta.state().is_evictable() {
            continue;
        }
        let back = line.entry.to.reversed();
        let partner = live.get(&(back.source, back.destination, back.ports));
        let (partner, _) = partner.unwrap_or_else(|| panic!("{now}: nothing answers to {line:?}"));
        assert_eq!(partner.entry.to.reversed(), line.key, "answers go elsewhere");
        assert!(
            partner.meta.expires() >= line.meta.expires(),
            "answers expire first: {partner:?}, {line:?}"
        );
    }
}

/// Worlds, and steps in each.
const SEEDS: std::ops::Range<u64> = 0..250;
const STEPS: u32 = 60;

fn explore(scene: Scene) -> BTreeMap<&'static str, u64> {
    let mut coverage = BTreeMap::new();
    for seed in SEEDS {
        let live = |told| {
            let mut world = World::new(seed, scene);
            world.told = told;
            for _ in 0..STEPS {
                world.step();
            }
            world.end();
            world.hosts.coverage
        };
        let Ok(told) = std::panic::catch_unwind(|| live(false)) else {
            live(true);
            panic!("seed {seed} fails only sometimes");
        };
        for (what, count) in told {
            *coverage.entry(what).or_default() += count;
        }
    }
    coverage
}

#[track_caller]
fn covered(coverage: &BTreeMap<&'static str, u64>, all: &[&str]) {
    for what in all {
        assert!(coverage.get(what).is_some_and(|count| *count > 20), "{what}: {coverage:?}");
    }
}

#[test]
fn with_room_for_all() {
    let coverage = explore(AMPLE);
    covered(&coverage, &["opened", "open", "crossed", "no flow"]);
}

#[test]
fn few_tuples() {
    let coverage = explore(Scene { addresses: 1, ports: 3, clients: 12, ..AMPLE });
    covered(&coverage, &["open", "crossed", "exhausted", "tuple used again"]);
}

#[test]
fn tables_of_one_bucket() {
    let coverage = explore(Scene { main: 1, new: 1, clients: 16, ..AMPLE });
    covered(&coverage, &["open", "crossed", "opened"]);
}

#[test]
fn clients_keep_their_ports_where_they_can() {
    let scene = Scene { keep: true, udp_responses: 0, main: 3, new: 2, clients: 24, ..AMPLE };
    let coverage = explore(scene);
    covered(&coverage, &["open", "crossed", "busy"]);
}
