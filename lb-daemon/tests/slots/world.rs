//! One service, a few slots, a few clients, and everything that may happen:
//! packets, planned changes, failures, deaths, returns, a full table, scans
//! that take their time, a daemon that is late or dies, other tables, ids that
//! are used again.

mod daemon;
mod packets;
mod pool;
mod promises;

use std::collections::BTreeMap;

use lb_common::abi::{ASK_OLD, FlowEntry, Service, SlotWord, Table, service_flags};
use lb_common::transition::{Health, PacketKind, Pressure, Steer, steer};
use lb_daemon::slots::{Engine, HeapSlots, Place, Refusal, Scan, SlotMemory, SlotSpace};

use crate::flows::{ARMING, CLOSING, Client, HALF_OPEN, IDLE, SECOND, UDP_IDLE};
use crate::memory::Memory;
use crate::mutants::Mutant;
use crate::random::{Random, mix};
use crate::table::OnePacket;

const SERVICE: u16 = 3;
const BACKENDS: u16 = 5;
const TUPLES: u64 = 24;
const SLOT_SPACE: u32 = 1024;

struct RunningScan {
    scan: Scan,
    /// Entries that are still to be judged.
    left: Vec<(u64, FlowEntry)>,
    /// Judged, to be deleted.
    condemned: Vec<(u64, FlowEntry)>,
}

pub struct World {
    random: Random,
    now: u64,
    engine: Engine<Memory>,
    service: Service,
    space: SlotSpace,
    flows: BTreeMap<u64, FlowEntry>,
    capacity: usize,
    /// The bit in the backend's map entry.
    dead: Vec<bool>,
    health: Vec<Health>,
    /// Its id waits to be used again.
    retired: Vec<bool>,
    /// What packets see of a backend and the slots have not heard.
    untold: Option<(u16, Health)>,
    owners: Vec<u16>,
    clients: Vec<Client>,
    scan: Option<RunningScan>,
    /// Copies of SYNs come; or else backends fail, but not both.
    copies: bool,
    mutant: Option<Mutant>,
    next_stranger: u64,
}

impl World {
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut random = Random::new(mix(seed));
        let mut space = SlotSpace::new(SLOT_SPACE, SECOND);
        let count = 1 + random.below(6) as u32;
        let base = space.allocate(count, 0).expect("the space is empty");
        let mut flags = service_flags::USED | service_flags::UDP_KEEP;
        if random.chance(2) {
            flags |= service_flags::RESET_ON_DEAD;
        }
        let service = Service {
            flags,
            table: Table { base, count, key: [random.next(); 2] },
            tcp_idle: IDLE,
            udp_idle: UDP_IDLE,
            half_open: HALF_OPEN,
            closing: CLOSING,
            arming: ARMING,
            ..Service::default()
        };
        let owners = (0..count).map(|_| random.below(BACKENDS as u64) as u16).collect();
        let memory = Memory::new(HeapSlots::new(SLOT_SPACE), mutant);
        let capacity = if random.chance(2) { 1000 } else { 1 + random.below(12) as usize };
        let copies = random.chance(2);
        let mut world = Self {
            random,
            now: 10_000,
            engine: Engine::new(memory, SECOND),
            service,
            space,
            flows: BTreeMap::new(),
            capacity,
            dead: vec![false; 1 << 16],
            health: vec![Health::Up; BACKENDS as usize],
            retired: vec![false; BACKENDS as usize],
            untold: None,
            owners,
            clients: vec![Client::Quiet; TUPLES as usize],
            scan: None,
            copies,
            mutant,
            next_stranger: TUPLES,
        };
        let seen = world.service_as_daemon_sees_it();
        world.engine.add(SERVICE, seen, &world.owners, world.now);
        world
    }

    fn service_as_daemon_sees_it(&self) -> Service {
        let arming = if self.mutant == Some(Mutant::NoArming) { 0 } else { ARMING };
        Service { arming, ..self.service }
    }

    /// One random event; an error when a flow is broken.
    pub fn step(&mut self) -> Result<(), String> {
        if self.random.chance(4) {
            self.tell_slots();
        }
        match self.random.below(200) {
            0..30 => self.time_passes(),
            30..110 => self.client_sends()?,
            110..116 => self.stranger_sends(),
            116..126 => self.desired_changes(),
            126..130 => self.health_changes(),
            130..150 => {
                self.engine.tick(self.now);
            }
            150..195 => self.scan_goes_on(),
            195..197 => self.daemon_dies(),
            197 => self.table_changes(),
            198 => self.table_change_ends(),
            _ => self.id_is_retired(),
        }
        self.check()
    }

    fn time_passes(&mut self) {
        self.now += 1 + self.random.below(3);
        for tuple in 0..TUPLES {
            let client = &mut self.clients[tuple as usize];
            if client.is_over(is_udp(tuple), self.now) {
                *client = Client::Quiet;
            }
        }
    }
}

fn is_udp(tuple: u64) -> bool {
    tuple.is_multiple_of(4)
}

fn slot_in(table: &Table, tuple: u64) -> u32 {
    (mix(tuple ^ table.key[0]) % table.count as u64) as u32
}
