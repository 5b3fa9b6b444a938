//! What may happen in the small world: packets, the daemon, health, time.
//!
//! A packet takes two steps, reading the slot's word and acting on it, between
//! which the daemon may write words. Every step of the daemon is optional, so
//! that any delay of it is covered, and so is a change of mind: the desired
//! owner is whoever it likes at each step.

use lb_common::abi::{ASK_OLD, NO_BACKEND, Service, SlotWord, service_flags};
use lb_common::transition::{
    Health, PacketKind, Plan, Pressure, Scanned, Situation, Steer, Timing, Verdict, forget_settled,
    judge, may_rest, plan, steer, without_dead,
};

use crate::mutants::Mutant;
use crate::state::{
    ARMING, BACKENDS, CLOSING, COPY, Client, Flight, HALF_OPEN, HANDSHAKE, IDLE, Mark, OLD, SECOND,
    Scan, State,
};
use crate::table::{NOW, OnePacket, stamp};

/// What is possible in this world.
#[derive(Clone, Copy, Debug)]
pub struct World {
    pub udp: bool,
    pub reset_on_dead: bool,
    /// Copies of SYNs.
    pub copies: bool,
    /// The table may be full at any moment.
    pub full: bool,
    pub deaths: bool,
    /// Backends fail but keep their flows.
    pub failing: bool,
    /// At times nobody is to get new flows.
    pub nobody: bool,
    pub crashes: bool,
    pub pressure: Pressure,
    /// The slot does not leave rest with this epoch.
    pub last_epoch: u16,
    pub mutant: Option<Mutant>,
}

impl World {
    pub const TCP: Self = Self {
        udp: false,
        reset_on_dead: false,
        copies: true,
        full: true,
        deaths: true,
        failing: false,
        nobody: false,
        crashes: true,
        pressure: Pressure::Critical,
        last_epoch: 2,
        mutant: None,
    };
}

pub type Event = (&'static str, u16);

/// Successors of a state.
pub struct Steps<'a> {
    world: &'a World,
    from: State,
    pub found: Vec<(Event, State)>,
    pub violation: Option<(Event, String)>,
}

impl<'a> Steps<'a> {
    pub fn of(world: &'a World, from: State) -> Self {
        let mut steps = Self { world, from, found: Vec::new(), violation: None };
        match from.flight {
            Some(flight) => steps.act(flight),
            None => {
                steps.time();
                steps.send();
                steps.change_health();
            }
        }
        steps.daemon();
        steps
    }

    fn add(&mut self, event: &'static str, detail: u16, to: State) {
        self.found.push(((event, detail), to));
    }

    fn time(&mut self) {
        let mut next = self.from;
        next.age();
        self.add("time passes", 0, next);
    }
}

/// Packets.
impl Steps<'_> {
    fn send(&mut self) {
        let first = if self.world.udp { PacketKind::Udp } else { PacketKind::Syn };
        let may_open = match self.from.client {
            Client::Quiet => true,
            Client::Opening { .. } => false,
            Client::Open { .. } => !self.world.udp,
        };
        if may_open {
            let mut next = self.from;
            next.client = Client::Quiet;
            self.fly("sends the first packet", next, first, None, true);
        }
        if self.from.copies > 0 && self.from.client != Client::Quiet {
            self.fly("sends a copy of the SYN", self.from, first, None, false);
        }
        match self.from.client {
            Client::Opening { reached, age } if age <= HANDSHAKE => {
                for owner in (0..BACKENDS).filter(|owner| reached & 1 << owner != 0) {
                    let mut next = self.from;
                    next.client = Client::Open { owner, silence: 0, closing: false };
                    self.fly("sends data", next, PacketKind::Data, Some(owner), false);
                }
            }
            Client::Open { owner, closing, .. } => {
                let data = if self.world.udp { PacketKind::Udp } else { PacketKind::Data };
                self.fly("sends data", self.from, data, Some(owner), false);
                if !self.world.udp {
                    if !closing {
                        self.fly("sends FIN", self.from, PacketKind::Fin, Some(owner), false);
                    }
                    self.fly("sends RST", self.from, PacketKind::Rst, None, false);
                }
            }
            _ => {}
        }
    }

    fn fly(
        &mut self,
        event: &'static str,
        mut next: State,
        kind: PacketKind,
        owner: Option<u16>,
        opens: bool,
    ) {
        next.flight = Some(Flight { kind, opens, word: self.from.word, owner });
        self.add(event, owner.unwrap_or(NO_BACKEND), next);
    }

    fn act(&mut self, flight: Flight) {
        let may_fail = self.act_with(flight, false);
        // A failure is stamped while the daemon still has the word before it.
        if may_fail && self.world.full && flight.word == self.from.word {
            self.act_with(flight, true);
        }
    }

    /// Returns whether an insert was tried.
    fn act_with(&mut self, flight: Flight, insert_fails: bool) -> bool {
        let mut next = self.from;
        next.flight = None;
        let mut table = OnePacket {
            state: &mut next,
            flight,
            insert_fails,
            tried_to_insert: false,
            mutant: self.world.mutant,
        };
        let went = steer(flight.word, flight.kind, &self.service(), NOW, &mut table);
        let tried = table.tried_to_insert;
        let event = if insert_fails { "arrives, table full, at" } else { "arrives at" };
        let detail = if let Steer::To(backend) = went { backend } else { NO_BACKEND };
        match self.arrive(&mut next, flight, went) {
            Ok(()) => self.add(event, detail, next),
            Err(why) => self.violation = Some(((event, detail), why)),
        }
        tried
    }

    fn arrive(&self, next: &mut State, flight: Flight, went: Steer) -> Result<(), String> {
        let reached = match went {
            Steer::To(NO_BACKEND) | Steer::Reset | Steer::Drop => None,
            Steer::To(backend) if !next.is_dead(backend) => Some(backend),
            Steer::To(backend) => return Err(format!("sent to {backend}, which is dead")),
        };
        if let Some(owner) = flight.owner
            && !next.is_dead(owner)
            && reached != Some(owner)
        {
            return Err(format!("{flight:?} went {went:?}"));
        }
        match (flight.kind, reached) {
            (PacketKind::Rst, _) => next.forget_client(),
            (PacketKind::Udp, Some(owner)) => {
                next.client = Client::Open { owner, silence: 0, closing: false };
            }
            (PacketKind::Udp, None) => next.client = Client::Quiet,
            (PacketKind::Syn, None) if flight.opens => next.forget_client(),
            (PacketKind::Syn, None) => {}
            (PacketKind::Syn, Some(backend)) => {
                let before = match next.client {
                    Client::Opening { reached, .. } => reached,
                    Client::Quiet if flight.opens => 0,
                    // A late copy changes nothing for a flow that is open.
                    _ => return Ok(()),
                };
                next.client = Client::Opening { reached: before | 1 << backend, age: 0 };
                next.copies = if self.world.copies { COPY + 1 } else { 0 };
            }
            (PacketKind::Data | PacketKind::Fin, _) => {
                if let Client::Open { owner, closing, .. } = next.client {
                    let closing = closing || flight.kind == PacketKind::Fin;
                    next.client = Client::Open { owner, silence: 0, closing };
                }
            }
        }
        Ok(())
    }

    fn service(&self) -> Service {
        let mut flags = service_flags::USED | service_flags::UDP_KEEP;
        if self.world.reset_on_dead {
            flags |= service_flags::RESET_ON_DEAD;
        }
        Service {
            flags,
            tcp_idle: if self.world.udp { 0 } else { IDLE as u32 },
            udp_idle: if self.world.udp { IDLE as u32 } else { 0 },
            half_open: HALF_OPEN as u32,
            closing: CLOSING as u32,
            arming: ARMING as u32,
            ..Service::default()
        }
    }
}

/// Health.
impl Steps<'_> {
    fn change_health(&mut self) {
        for backend in 0..BACKENDS {
            match self.from.health_of(backend) {
                Health::Up if self.world.failing => {
                    let mut next = self.from;
                    next.health[backend as usize] = Health::Failing;
                    self.add("begins to fail:", backend, next);
                    self.die(backend);
                }
                Health::Failing => {
                    let mut next = self.from;
                    next.health[backend as usize] = Health::Up;
                    self.add("fails no more:", backend, next);
                    self.die(backend);
                }
                Health::Up => self.die(backend),
                Health::Dead => self.come_back(backend),
            }
        }
    }

    fn die(&mut self, backend: u16) {
        let others_live = (0..BACKENDS).any(|other| other != backend && !self.from.is_dead(other));
        if !self.world.deaths || !others_live {
            return;
        }
        let mut next = self.from;
        next.kill(backend);
        let substitute = (0..BACKENDS).find(|&other| !next.is_dead(other)).unwrap_or(NO_BACKEND);
        next.old_word = next.old_word.map(|word| without_dead(word, backend, substitute));
        self.add("dies:", backend, next);
    }

    /// Before a backend is marked up, no slot says that old flows are its own.
    fn come_back(&mut self, backend: u16) {
        let mut next = self.from;
        let word = self.from.word;
        if word.settled() == backend && word.current() != backend {
            next = self.written(next, forget_settled(word), false);
            if next.second_store.is_some() {
                return;
            }
        }
        next.health[backend as usize] = Health::Up;
        self.add("is back:", backend, next);
    }
}

/// The daemon.
impl Steps<'_> {
    fn timing(&self) -> Timing {
        let mut timing = Timing::of(&self.service(), SECOND as u32);
        match self.world.mutant {
            Some(Mutant::NoArming) => timing.arming = 0,
            Some(Mutant::NoSecond) => timing.second = 0,
            _ => {}
        }
        timing
    }

    fn daemon(&mut self) {
        if let Some(word) = self.from.second_store {
            let mut next = self.from;
            next.word = word;
            next.second_store = None;
            return self.add("daemon writes the other half", 0, next);
        }
        for desired in 0..BACKENDS {
            if self.from.health_of(desired) == Health::Up {
                self.plan(desired);
            }
        }
        if self.world.nobody {
            self.plan(NO_BACKEND);
        }
        self.scan_for_rest();
        self.scan_entry();
        if self.world.crashes {
            self.crash();
        }
        if self.world.mutant == Some(Mutant::LruTable) && self.from.entry.is_some() {
            let mut next = self.from;
            next.entry = None;
            self.add("the entry is evicted", 0, next);
        }
    }

    fn plan(&mut self, desired: u16) {
        let State { word, .. } = self.from;
        let situation = Situation {
            word,
            desired,
            current: self.from.health_of(word.current()),
            settled: self.from.health_of(word.settled()),
            base: stamp(self.from.base),
            written: stamp(self.from.written),
            last_failure: (self.from.failed < OLD).then(|| stamp(self.from.failed)),
        };
        let Plan::Write { word: planned, storing_begins } = plan(&situation, &self.timing(), NOW)
        else {
            return;
        };
        let leaves_rest = !word.look_up() && planned.look_up();
        if leaves_rest && word.epoch() == self.world.last_epoch {
            return;
        }
        if self.world.mutant.is_none() {
            self.check_plan(&situation, planned);
        }
        let next = self.written(self.from, planned, storing_begins);
        self.add("daemon writes a word, desired", desired, next);
    }

    fn check_plan(&self, situation: &Situation, planned: SlotWord) {
        assert!(planned.store() || planned.settled() == planned.current(), "{planned:?}");
        let word = situation.word;
        let flips = word.current() != planned.current();
        let somebody = word.current() != NO_BACKEND;
        if flips && somebody && situation.current == Health::Up && !self.world.udp {
            assert!(word.store() && self.from.base >= ARMING && self.from.failed >= ARMING);
        }
    }

    fn written(&self, mut next: State, word: SlotWord, storing_begins: bool) -> State {
        let before = next.word;
        let stored = match self.world.mutant {
            Some(Mutant::SettledOverwritten)
                if before.store() && word.store() && before.current() != word.current() =>
            {
                word.with_settled(before.current())
            }
            Some(Mutant::EqualMeansRest) if word.current() == word.settled() && !word.store() => {
                word.with_look_up(false)
            }
            _ => word,
        };
        next.word = stored;
        if self.world.mutant == Some(Mutant::TwoStores) {
            let flags = !0xffff_ffff;
            next.word = SlotWord(before.0 & !flags | stored.0 & flags);
            next.second_store = Some(stored);
        }
        next.written = 0;
        next.scan = Scan::None;
        if storing_begins {
            next.base = 0;
        }
        next
    }

    fn scan_for_rest(&mut self) {
        let word = self.from.word;
        if !word.look_up() || word.store() {
            return;
        }
        let mut next = self.from;
        match self.from.scan {
            Scan::None => {
                next.scan = Scan::Begun { lead: self.from.written.min(SECOND) };
                self.add("a scan begins", 0, next);
            }
            Scan::Begun { lead } => {
                let holds = self.verdict() == Some(Verdict::Hold)
                    && self.world.mutant != Some(Mutant::RestWithoutScan);
                next.scan = if holds { Scan::None } else { Scan::Clean { lead } };
                self.add("the scan passes the slot's entry", 0, next);
            }
            Scan::Clean { lead } => {
                let written = stamp(self.from.written);
                let began = written + lead as u64;
                if let Some(rest) = may_rest(word, written, began, &self.timing()) {
                    let next = self.written(self.from, rest, false);
                    self.add("daemon lets the slot rest", 0, next);
                }
            }
        }
    }

    fn verdict(&self) -> Option<Verdict> {
        let mut entry = self.from.entry?;
        if self.world.mutant == Some(Mutant::NoEpoch) {
            entry.epoch = self.from.word.epoch();
        }
        let service = self.service();
        let scanned = Scanned {
            entry: entry.to_shared(),
            is_udp: self.world.udp,
            word: self.from.word,
            written: stamp(self.from.written),
            old_word: self.from.old_word,
            service: &service,
            ticks_per_second: self.timing().second as u32,
            pressure: self.world.pressure,
        };
        Some(judge(&scanned, NOW))
    }

    fn scan_entry(&mut self) {
        let mut next = self.from;
        match self.from.mark {
            Mark::None => match self.verdict() {
                Some(Verdict::Delete) => next.mark = Mark::Unchanged,
                Some(Verdict::Relieve) => {
                    next.base = 0;
                    next.mark = Mark::Unchanged;
                }
                Some(Verdict::Keep | Verdict::Hold) | None => return,
            },
            Mark::Unchanged => {
                next.mark = Mark::None;
                next.entry = None;
            }
        }
        self.add("a scan deletes the entry, in two steps", 0, next);
    }

    fn crash(&mut self) {
        let mut next = self.from;
        if next.word.look_up() {
            let lost = self.world.mutant == Some(Mutant::BaseLost);
            next.base = if lost { OLD } else { 0 };
            next.written = 0;
        }
        next.scan = Scan::None;
        next.mark = Mark::None;
        self.add("the daemon starts anew", 0, next);
    }
}

/// A client's flow whose owner lives has an entry that names it, or the word
/// does: what all the rules are there for.
pub fn owner_is_known(world: &World, state: &State) -> bool {
    let Client::Open { owner, .. } = state.client else { return true };
    if state.is_dead(owner) {
        return true;
    }
    let word = state.word;
    if !word.look_up() {
        return word.current() == owner;
    }
    let old = if word.settled() == ASK_OLD { state.old_word } else { None };
    let valid = state.entry.filter(|entry| {
        let of_old = old.is_some_and(|old| old.look_up() && entry.epoch == old.epoch());
        let expired = world.udp && entry.age > IDLE;
        (entry.epoch == word.epoch() || of_old) && !expired
    });
    match valid {
        Some(entry) => entry.owner == owner,
        None => {
            let asked = old.unwrap_or(word);
            // What a dead `settled` does not answer is `current`'s.
            let to = if state.is_dead(asked.settled()) { word.current() } else { asked.settled() };
            to == owner
        }
    }
}
