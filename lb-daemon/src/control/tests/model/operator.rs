//! The configuration file, and the operator who edits it.

use std::{collections::BTreeMap, fmt::Write, net::IpAddr};

use lb_test_support::random::Random;

use super::{
    mutants::Mutant,
    truth::{CLOSING, IDLE, UDP_IDLE},
};
use crate::config::{self, Config};

pub const SERVERS: u8 = 6;
pub const SERVICES: [&str; 2] = ["web", "more"];
/// Sizes that a table may have.
const SIZES: [u32; 3] = [251, 257, 263];

/// A service and a server.
pub type Place = (u8, u8);

pub fn address(server: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, server + 1])
}

pub fn vip(service: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, service + 1])
}

#[derive(Clone, Debug)]
pub struct File {
    seed: u64,
    pub pools: [Option<Pool>; 2],
}

#[derive(Clone, Debug)]
pub struct Pool {
    pub backends: BTreeMap<u8, Entry>,
    size: u32,
    reset: bool,
    /// Seconds.
    drain: u64,
    slow_start: u64,
}

#[derive(Clone, Debug)]
pub struct Entry {
    pub weight: u64,
    pub is_drained: bool,
    drain: Option<u64>,
    renamed: bool,
}

impl Pool {
    fn new(random: &mut Random) -> Self {
        let mut pool = Self {
            backends: BTreeMap::new(),
            size: SIZES[0],
            reset: random.below(2) == 0,
            drain: [2, 8, 30][random.below(3) as usize],
            slow_start: [0, 0, 5][random.below(3) as usize],
        };
        for _ in 0..3 {
            pool.add(random);
        }
        pool
    }

    fn add(&mut self, random: &mut Random) {
        let entry = Entry {
            weight: 1 + random.below(3),
            is_drained: random.below(12) == 0,
            drain: [None, None, Some(3)][random.below(3) as usize],
            renamed: false,
        };
        self.backends.entry(random.below(u64::from(SERVERS)) as u8).or_insert(entry);
    }

    /// One that is listed, if any is.
    pub fn any(&self, random: &mut Random) -> Option<u8> {
        let listed = self.backends.len() as u64;
        (listed > 0).then(|| *self.backends.keys().nth(random.below(listed) as usize).unwrap())
    }

    /// Seconds that a backend's flows have when it is taken out.
    pub fn drain_of(&self, server: u8) -> u64 {
        self.backends.get(&server).and_then(|entry| entry.drain).unwrap_or(self.drain)
    }

    fn edit(&mut self, random: &mut Random) {
        let Some(server) = self.any(random) else { return self.add(random) };
        let entry = self.backends.get_mut(&server).unwrap();
        match random.below(16) {
            0..4 => self.add(random),
            4..8 => {
                self.backends.remove(&server);
            }
            8 | 9 => entry.weight = random.below(4),
            10 | 11 => entry.is_drained = !entry.is_drained,
            12 => entry.renamed = !entry.renamed,
            13 => self.reset = !self.reset,
            14 => self.size = SIZES[random.below(3) as usize],
            _ => {
                // Another server in its place, as in a rolling replacement.
                self.backends.remove(&server);
                self.add(random);
            }
        }
    }
}

impl File {
    pub fn new(random: &mut Random) -> Self {
        Self { seed: 0, pools: [Some(Pool::new(random)), None] }
    }

    pub fn edited(&self, random: &mut Random) -> Self {
        let mut next = self.clone();
        match random.below(24) {
            0 => next.seed += 1,
            1 | 2 => {
                let [_, more] = &mut next.pools;
                *more = if more.is_none() { Some(Pool::new(random)) } else { None };
            }
            which => {
                let edits = 1 + random.below(2);
                let pool = next.pools[(which % 3 == 0) as usize].as_mut();
                (0..edits).for_each({
                    let mut pool = pool;
                    move |_| pool.iter_mut().for_each(|pool| pool.edit(random))
                });
            }
        }
        next
    }

    pub fn places(&self) -> impl Iterator<Item = Place> {
        let pools = (0..).zip(&self.pools);
        pools.flat_map(|(service, pool)| {
            pool.iter().flat_map(move |pool| pool.backends.keys().map(move |one| (service, *one)))
        })
    }

    pub fn entry(&self, (service, server): Place) -> Option<&Entry> {
        self.pools[service as usize].as_ref()?.backends.get(&server)
    }

    pub fn parse(&self, mutant: Option<Mutant>) -> Config {
        let seed = format!("a seed of sixteen letters and {}", self.seed);
        let mut text = format!("interfaces: [eth0]\nseed: {seed}\nservices:\n");
        for (service, pool) in self.pools.iter().enumerate() {
            if let Some(pool) = pool {
                pool.write(service as u8, mutant, &mut text);
            }
        }
        config::parse("lb.yaml", &text).unwrap_or_else(|problems| panic!("{problems}")).config
    }
}

impl Pool {
    fn write(&self, service: u8, mutant: Option<Mutant>, text: &mut String) {
        let idle = if mutant == Some(Mutant::Impatient) { IDLE / 8 } else { IDLE };
        let arming = if mutant == Some(Mutant::NoArming) { 100 } else { 3500 };
        let Self { size, drain, slow_start, .. } = self;
        let dead = if self.reset { "reset" } else { "reselect" };
        let (name, vip) = (SERVICES[service as usize], vip(service));
        writeln!(
            text,
            "- {{name: {name}, vip: {vip}, port: 80, protocol: [tcp, udp], udp: keep, mode: dsr, \
             table_size: {size}, idle: {{tcp: {idle}ms, udp: {UDP_IDLE}ms}}, closing: {CLOSING}ms, \
             half_open: 10s, arming: {arming}ms, on_backend_dead: {dead}, drain: {drain}s, \
             slow_start: {slow_start}s, health: {{type: tcp}}, backends: ["
        )
        .unwrap();
        for (server, entry) in &self.backends {
            let name = if entry.renamed { "other" } else { "b" };
            let (address, weight) = (address(*server), entry.weight);
            let state = if entry.is_drained { "drain" } else { "active" };
            let drain = entry.drain.map_or(String::new(), |drain| format!(", drain: {drain}s"));
            writeln!(
                text,
                "  {{name: {name}{server}, address: {address}, weight: {weight}, state: \
                 {state}{drain}}},"
            )
            .unwrap();
        }
        text.push_str("  ]}\n");
    }
}
