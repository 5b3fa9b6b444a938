//! What one change costs afterwards: how many slots are in transition as time
//! goes by, simulated with the daemon's engine and the data path's rules on
//! flows of a web mix. A backend of a hundred is drained; the rest is waiting
//! for its flows to end.

use std::collections::HashMap;

use anyhow::{Result, ensure};
use lb_common::abi::{FlowEntry, FlowSeen, Service, SlotWord, Table, service_flags};
use lb_common::maglev::MAX_SIZE;
use lb_common::transition::{FlowTable, Insert, PacketKind, Pressure, Steer, steer};
use lb_daemon::slots::{Engine, HeapSlots, Place, SlotMemory};

use crate::world::owners;

const TICKS: u32 = 10;
const BACKENDS: u16 = 100;
const DRAINED: u16 = 0;
const SERVICE: u16 = 1;
/// New flows per second. 90 % live 10 s on average, 9 % two minutes, 1 % an
/// hour: 17,000 live at once.
const ARRIVALS: u32 = 300;
const MIX: [(u32, f64); 3] = [(90, 10.0), (9, 120.0), (1, 3600.0)];
/// Seconds between two packets of a flow, and between two scans.
const PACE: u64 = 5;
/// Seconds after the change that are reported.
const MOMENTS: [u64; 8] = [1, 5, 60, 300, 360, 600, 1800, 3600];

/// The slots of the service some seconds after the change.
pub struct Moment {
    pub seconds: u64,
    pub in_transition: u32,
    pub stored_flows: usize,
    pub live_flows: usize,
}

struct Flow {
    id: u32,
    slot: u32,
    owner: u16,
    ends: u64,
}

struct Simulation {
    engine: Engine<HeapSlots>,
    service: Service,
    entries: HashMap<u32, (u32, FlowEntry)>,
    flows: Vec<Flow>,
    random: u64,
    next_flow: u32,
}

/// One flow's view of the table.
struct View<'a> {
    entries: &'a mut HashMap<u32, (u32, FlowEntry)>,
    flow: u32,
    slot: u32,
}

impl FlowTable for View<'_> {
    fn tag(&self) -> u32 {
        self.flow
    }

    fn find(&mut self) -> Option<FlowEntry> {
        self.entries.get(&self.flow).map(|(_, entry)| *entry)
    }

    fn refresh(&mut self, seen: FlowSeen) {
        if let Some((_, entry)) = self.entries.get_mut(&self.flow) {
            entry.seen = seen;
        }
    }

    fn insert(&mut self, entry: FlowEntry) -> Insert {
        self.entries.insert(self.flow, (self.slot, entry));
        Insert::Done
    }

    fn overwrite(&mut self, entry: FlowEntry) -> bool {
        self.entries.insert(self.flow, (self.slot, entry));
        true
    }

    fn delete(&mut self) {
        self.entries.remove(&self.flow);
    }

    fn note_failure(&mut self) {}

    fn last_failure(&mut self) -> Option<u64> {
        None
    }

    fn is_dead(&mut self, _backend: u16) -> bool {
        false
    }

    fn old_word(&mut self) -> Option<SlotWord> {
        None
    }
}

/// Runs the change, and fails if it breaks a flow.
pub fn simulate() -> Result<Vec<Moment>> {
    let mut simulation = Simulation::new();
    for second in 0..WARM_UP {
        simulation.second(second)?;
    }
    // The members that stay keep their identities: as in a file edited.
    let after = owners(1, BACKENDS - 1, MAX_SIZE);
    simulation.engine.set_desired(SERVICE, &after, WARM_UP * TICKS as u64);
    let mut moments = Vec::new();
    for second in 0..=MOMENTS[MOMENTS.len() - 1] {
        if MOMENTS.contains(&second) {
            moments.push(simulation.moment(second));
        }
        simulation.second(WARM_UP + second)?;
    }
    Ok(moments)
}

/// Seconds after which most of the flows that live long are there.
const WARM_UP: u64 = 5400;

impl Simulation {
    fn new() -> Self {
        let ticks = |seconds: f64| (seconds * TICKS as f64) as u32;
        let service = Service {
            flags: service_flags::USED,
            table: Table { base: 0, count: MAX_SIZE, key: [0; 2] },
            tcp_idle: ticks(350.0),
            half_open: ticks(64.0),
            closing: ticks(120.0),
            arming: ticks(3.5),
            ..Service::default()
        };
        let mut engine = Engine::new(HeapSlots::new(MAX_SIZE), TICKS);
        engine.add(SERVICE, service, &owners(DRAINED, BACKENDS, MAX_SIZE), 0);
        let flows = Vec::new();
        Self { engine, service, entries: HashMap::new(), flows, random: 1, next_flow: 0 }
    }

    /// Uniform in 0..1.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn second(&mut self, second: u64) -> Result<()> {
        let now = second * TICKS as u64;
        self.engine.tick(now);
        for _ in 0..ARRIVALS {
            self.arrive(second);
        }
        let mut flows = std::mem::take(&mut self.flows);
        for flow in &flows {
            if flow.ends <= second {
                self.packet(flow.id, flow.slot, PacketKind::Fin, now);
            } else if (second + flow.id as u64).is_multiple_of(PACE) {
                let to = self.packet(flow.id, flow.slot, PacketKind::Data, now);
                ensure!(to == flow.owner, "a flow of {} went to {to}", flow.owner);
            }
        }
        flows.retain(|flow| flow.ends > second);
        self.flows = flows;
        if second.is_multiple_of(PACE) {
            self.scan(now);
        }
        Ok(())
    }

    fn arrive(&mut self, second: u64) {
        let kind = (self.random() * 100.0) as u32;
        let mut upto = 0;
        let class = MIX.iter().find(|(share, _)| {
            upto += share;
            kind < upto
        });
        let mean = class.map_or(MIX[0].1, |(_, mean)| *mean);
        let life = -mean * (1.0 - self.random()).ln();
        let slot = (self.random() * MAX_SIZE as f64) as u32;
        let id = self.next_flow;
        self.next_flow += 1;
        let owner = self.packet(id, slot, PacketKind::Syn, second * TICKS as u64);
        self.flows.push(Flow { id, slot, owner, ends: second + 1 + life as u64 });
    }

    fn packet(&mut self, flow: u32, slot: u32, kind: PacketKind, now: u64) -> u16 {
        let word = self.engine.memory().load(slot);
        if !word.look_up() {
            return word.current();
        }
        let mut view = View { entries: &mut self.entries, flow, slot };
        match steer(word, kind, &self.service, now, &mut view) {
            Steer::To(backend) => backend,
            Steer::Reset | Steer::Drop => unreachable!("no backend is dead"),
        }
    }

    fn scan(&mut self, now: u64) {
        let scan = self.engine.begin_scan(Pressure::Low, now);
        let engine = &mut self.engine;
        self.entries.retain(|_, (slot, entry)| {
            let place = Place { service_id: SERVICE, slot: *slot, old_slot: None };
            !engine.judge(&scan, Some(place), false, *entry, now)
        });
        self.engine.finish_scan(scan, now);
    }

    fn moment(&self, seconds: u64) -> Moment {
        let counts = self.engine.in_transition(SERVICE);
        Moment {
            seconds,
            in_transition: counts.arming + counts.storing + counts.looking,
            stored_flows: self.entries.len(),
            live_flows: self.flows.len(),
        }
    }
}
