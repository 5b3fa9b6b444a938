//! One service, a few slots, a few clients, and everything that may happen:
//! packets, planned changes, failures, deaths, returns, a full table, scans
//! that take their time, a daemon that is late or dies, other tables, ids that
//! are used again.

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

/// Packets.
impl World {
    fn old_index(&self, tuple: u64) -> Option<u32> {
        let old = &self.service.old_table;
        let has_old = self.service.flags & service_flags::HAS_OLD_TABLE != 0;
        has_old.then(|| old.base + slot_in(old, tuple))
    }

    fn index(&self, tuple: u64) -> u32 {
        self.service.table.base + slot_in(&self.service.table, tuple)
    }

    fn steer(&mut self, tuple: u64, kind: PacketKind) -> Steer {
        let (index, old_index) = (self.index(tuple), self.old_index(tuple));
        let word = self.engine.memory().load(index);
        let mut packet = OnePacket {
            flows: &mut self.flows,
            capacity: self.capacity,
            memory: self.engine.memory_mut(),
            dead: &self.dead,
            tuple,
            index,
            old_index,
            word,
            kind,
            now: self.now,
            mutant: self.mutant,
        };
        steer(word, kind, &self.service, self.now, &mut packet)
    }

    fn client_sends(&mut self) -> Result<(), String> {
        let tuple = self.random.below(TUPLES);
        let mut client = self.clients[tuple as usize];
        let first = if is_udp(tuple) { PacketKind::Udp } else { PacketKind::Syn };
        let (kind, opens) = match client {
            Client::Quiet => (first, true),
            Client::Opening { .. }
                if self.copies && client.may_copy(self.now) && self.random.chance(3) =>
            {
                (PacketKind::Syn, false)
            }
            Client::Opening { reached, .. } => {
                let of = |owner: &u16| reached & 1 << owner != 0;
                let answers: Vec<u16> = (0..BACKENDS).filter(of).collect();
                let owner = answers[self.random.below(answers.len() as u64) as usize];
                client = Client::Open { owner, last: self.now, closing: false };
                (PacketKind::Data, false)
            }
            Client::Open { .. } if is_udp(tuple) => (PacketKind::Udp, false),
            Client::Open { .. } => match self.random.below(16) {
                0 => (PacketKind::Rst, false),
                1 | 2 => (PacketKind::Fin, false),
                3 if self.random.chance(4) => (PacketKind::Syn, true),
                _ => (PacketKind::Data, false),
            },
        };
        let must_reach = if opens { None } else { client.owner() };
        let went = self.steer(tuple, kind);
        let reached = self.reached(went)?;
        if let Some(owner) = must_reach
            && kind != PacketKind::Rst
            && reached != Some(owner)
        {
            return Err(format!("{kind:?} of tuple {tuple}, owned by {owner}, went {went:?}"));
        }
        self.clients[tuple as usize] = client.after(kind, opens, reached, self.now);
        Ok(())
    }

    fn reached(&self, went: Steer) -> Result<Option<u16>, String> {
        match went {
            Steer::To(backend) if backend < BACKENDS && self.dead[backend as usize] => {
                Err(format!("sent to {backend}, which is dead"))
            }
            Steer::To(backend) if backend < BACKENDS => Ok(Some(backend)),
            _ => Ok(None),
        }
    }

    /// A flood: packets of flows that do not exist.
    fn stranger_sends(&mut self) {
        self.next_stranger += 1;
        let kinds = [PacketKind::Syn, PacketKind::Data, PacketKind::Udp];
        let kind = kinds[self.random.below(3) as usize];
        self.steer(self.next_stranger * 4 + (kind != PacketKind::Udp) as u64, kind);
    }
}

/// Backends.
impl World {
    fn healthy(&self) -> Vec<u16> {
        let is_up =
            |&id: &u16| self.health[id as usize] == Health::Up && !self.retired[id as usize];
        (0..BACKENDS).filter(is_up).collect()
    }

    fn desired_changes(&mut self) {
        let healthy = self.healthy();
        let change_all = self.random.chance(3);
        for owner in &mut self.owners {
            if change_all || self.random.chance(3) || !healthy.contains(owner) {
                *owner = healthy[self.random.below(healthy.len() as u64) as usize];
            }
        }
        self.tell_slots();
        self.engine.set_desired(SERVICE, &self.owners, self.now);
    }

    fn health_changes(&mut self) {
        let id = self.random.below(BACKENDS as u64) as u16;
        let others = self.healthy().iter().any(|&other| other != id);
        if self.retired[id as usize] || !others {
            return;
        }
        match self.health[id as usize] {
            Health::Up if !self.copies && self.random.chance(2) => {
                self.set_health(id, Health::Failing)
            }
            Health::Up | Health::Failing if self.random.chance(2) => self.die(id),
            Health::Up => {}
            Health::Failing | Health::Dead => {
                self.set_health(id, Health::Up);
                self.dead[id as usize] = false;
            }
        }
    }

    fn die(&mut self, id: u16) {
        self.dead[id as usize] = true;
        for client in &mut self.clients {
            *client = client.without(id);
        }
        self.set_health(id, Health::Dead);
        if self.random.chance(2) {
            self.desired_changes();
        }
    }

    /// The slots hear of it at once or, as where a thousand services have to, after
    /// packets have seen it.
    fn set_health(&mut self, id: u16, health: Health) {
        self.tell_slots();
        self.health[id as usize] = health;
        if health != Health::Dead {
            self.engine.backend_returns(SERVICE, id, self.now);
        }
        self.untold = Some((id, health));
        if self.random.chance(2) {
            self.tell_slots();
        }
    }

    fn tell_slots(&mut self) {
        if let Some((id, health)) = self.untold.take() {
            self.engine.backend_changed(SERVICE, id, health, self.now);
        }
    }

    fn id_is_retired(&mut self) {
        let id = self.random.below(BACKENDS as u64) as u16;
        let healthy = self.healthy();
        if self.health[id as usize] == Health::Up && healthy.len() > 2 && healthy.contains(&id) {
            self.retired[id as usize] = true;
            self.desired_changes();
            self.engine.retire_id(id);
        }
    }

    fn ids_are_used_again(&mut self) -> Result<(), String> {
        for id in self.engine.take_free_ids() {
            if let Some(tuple) = self.clients.iter().position(|client| client.owner() == Some(id)) {
                return Err(format!("{id} is free but owns the flow of tuple {tuple}"));
            }
            for client in &mut self.clients {
                *client = client.without(id);
            }
            self.retired[id as usize] = false;
        }
        Ok(())
    }
}

/// The daemon.
impl World {
    fn place(&self, tuple: u64) -> Place {
        let old = &self.service.old_table;
        Place {
            service_id: SERVICE,
            slot: slot_in(&self.service.table, tuple),
            old_slot: self.old_index(tuple).map(|index| index - old.base),
        }
    }

    fn scan_goes_on(&mut self) {
        let Some(mut running) = self.scan.take() else {
            let pressure = Pressure::of(self.flows.len() as u64, self.capacity as u64);
            let scan = self.engine.begin_scan(pressure, self.now);
            let left = self.flows.iter().map(|(&tuple, &entry)| (tuple, entry)).collect();
            self.scan = Some(RunningScan { scan, left, condemned: vec![] });
            return;
        };
        if let Some((tuple, _)) = running.left.pop() {
            // What is read now, not what was there when the scan began.
            if let Some(mut entry) = self.flows.get(&tuple).copied() {
                if self.mutant == Some(Mutant::NoEpoch) {
                    let epoch = self.engine.memory().load(self.index(tuple)).epoch();
                    entry.owner.0 = entry.owner.0 & !0xffff_0000 | (epoch as u64) << 16;
                }
                let place = Some(self.place(tuple));
                if self.engine.judge(&running.scan, place, is_udp(tuple), entry, self.now) {
                    running.condemned.push((tuple, self.flows[&tuple]));
                }
            }
            if self.random.chance(2) {
                self.delete_condemned(&mut running);
            }
            self.scan = Some(running);
        } else {
            self.delete_condemned(&mut running);
            self.engine.finish_scan(running.scan, self.now);
        }
    }

    fn delete_condemned(&mut self, running: &mut RunningScan) {
        for (tuple, judged) in running.condemned.drain(..) {
            let unchecked = self.mutant == Some(Mutant::DeleteWithoutCheck);
            if self.flows.get(&tuple).is_some_and(|entry| unchecked || *entry == judged) {
                self.flows.remove(&tuple);
            }
        }
    }

    /// The daemon dies in the middle of a change, and another one starts.
    fn daemon_dies(&mut self) {
        self.engine.memory_mut().writes_left = self.random.below(4);
        match self.random.below(4) {
            0 => self.desired_changes(),
            1 => self.table_changes(),
            2 => {
                self.engine.tick(self.now);
            }
            _ => {}
        }
        self.scan = None;
        self.untold = None;
        let died = self.engine.memory_mut();
        let slots = died.left_behind.take().unwrap_or_else(|| died.slots.clone());
        let memory = Memory::new(slots, self.mutant);
        self.engine = Engine::new(memory, SECOND);
        for id in 0..BACKENDS {
            // What is dead shows in the map; the rest has to be learnt again.
            let known = if self.dead[id as usize] { Health::Dead } else { Health::Up };
            self.health[id as usize] = known;
            self.engine.backend_changed(SERVICE, id, known, self.now);
            if self.retired[id as usize] {
                self.engine.retire_id(id);
            }
        }
        let since = if self.mutant == Some(Mutant::BaseLost) { 0 } else { self.now };
        let healthy = self.healthy();
        for owner in &mut self.owners {
            if !healthy.contains(owner) {
                *owner = healthy[0];
            }
        }
        self.engine.adopt(SERVICE, self.service_as_daemon_sees_it(), &self.owners, since);
    }

    fn table_changes(&mut self) {
        self.tell_slots();
        let count = 1 + self.random.below(6) as u32;
        let key = [self.random.next(); 2];
        let Some(base) = self.space.allocate(count, self.now) else { return };
        let healthy = self.healthy();
        let owner = |random: &mut Random| healthy[random.below(healthy.len() as u64) as usize];
        let owners: Vec<u16> = (0..count).map(|_| owner(&mut self.random)).collect();
        let table = Table { base, count, key };
        let mut written = None;
        let now = self.now;
        let dies = self.engine.memory().writes_left < count as u64;
        let changed = self.engine.change_table(SERVICE, table, &owners, now, |service| {
            // A daemon that died before has not come so far.
            if dies {
                return Err(Refusal::Busy);
            }
            written = Some(*service);
            Ok(now)
        });
        match (changed, written) {
            (Ok(()), Some(service)) => {
                self.service = Service { arming: ARMING, ..service };
                self.owners = owners;
                // A scan may not mix places of both tables.
                self.scan = None;
            }
            _ => self.space.release(base, self.now),
        }
    }

    fn table_change_ends(&mut self) {
        for finished in self.engine.finish_table_changes(self.now) {
            self.service = Service { arming: ARMING, ..finished.service };
            self.space.release(finished.freed.base, self.now);
        }
    }
}

/// What must hold.
impl World {
    fn check(&mut self) -> Result<(), String> {
        self.ids_are_used_again()?;
        for slot in 0..self.service.table.count {
            let word = self.engine.memory().load(self.service.table.base + slot);
            if !word.store() && word.current() != word.settled() {
                return Err(format!("slot {slot}: S = 0 but {word:?}"));
            }
        }
        for tuple in 0..TUPLES {
            if let Some(owner) = self.clients[tuple as usize].owner()
                && !self.dead[owner as usize]
                && self.named_owner(tuple) != owner
            {
                let named = self.named_owner(tuple);
                return Err(format!("tuple {tuple} is owned by {owner}, but {named} is named"));
            }
        }
        Ok(())
    }

    /// Whom the entry or the words name as the owner of the tuple's flow.
    fn named_owner(&self, tuple: u64) -> u16 {
        let word = self.engine.memory().load(self.index(tuple));
        if !word.look_up() {
            return word.current();
        }
        let old = self.old_index(tuple).filter(|_| word.settled() == ASK_OLD);
        let old = old.map(|index| self.engine.memory().load(index));
        let is_valid = |entry: &&FlowEntry| {
            let epoch = entry.owner.epoch();
            let of_old = old.is_some_and(|old| old.look_up() && old.epoch() == epoch);
            let expired = is_udp(tuple) && self.now - entry.seen.ticks() > UDP_IDLE as u64;
            (epoch == word.epoch() || of_old) && !expired
        };
        match self.flows.get(&tuple).filter(is_valid) {
            Some(entry) => entry.owner.backend(),
            None => self.unstored_owner(word, old),
        }
    }

    fn unstored_owner(&self, word: SlotWord, old: Option<SlotWord>) -> u16 {
        let settled = old.unwrap_or(word).settled();
        let is_dead = settled >= BACKENDS || self.dead[settled as usize];
        match (is_dead, word.current(), old) {
            (false, ..) => settled,
            (true, ASK_OLD, Some(old)) => old.current(),
            (true, current, _) => current,
        }
    }

    /// When all clients fall silent, everything comes to rest where it should.
    pub fn comes_to_rest(&mut self) {
        self.clients.fill(Client::Quiet);
        self.scan = None;
        for _ in 0..8 * IDLE {
            self.now += 1;
            self.engine.tick(self.now);
            self.table_change_ends();
            while self.scan.is_none() {
                self.scan_goes_on();
            }
            while self.scan.is_some() {
                self.scan_goes_on();
            }
        }
        assert!(self.flows.is_empty(), "left in the flow table: {:?}", self.flows);
        for (slot, &owner) in self.owners.iter().enumerate() {
            let word = self.engine.memory().load(self.service.table.base + slot as u32);
            assert_eq!(word, SlotWord::at_rest(owner, word.epoch()), "slot {slot}");
        }
        assert_eq!(self.engine.in_transition(SERVICE), Default::default());
        assert_eq!(self.engine.tick(self.now), None);
        assert_eq!(self.service.flags & service_flags::HAS_OLD_TABLE, 0);
        assert!(!self.retired.contains(&true) || self.ids_are_used_again().is_ok());
    }
}
