//! The data path on the host: the same steps as in the kernel, bound to plain
//! memory. What the kernel does to a packet is compared with this.

mod flows;
mod frame;
mod maps;
pub mod nat;
mod probe;

use std::cell::RefCell;

use lb_common::abi::{
    Answer, Backend, Budget, BudgetState, Evidence, FlowEntry, FlowKey, Handoff, PortBucket,
    ProbePort, ProbeWay, SYN_CELLS, Service, SlotWord, Totals, VipBucket, features,
};
use lb_common::budget;
use lb_common::datapath::{self, FlowContext, Outcome, Tables};
use lb_common::hash::FlowWords;
use lb_common::nat::Shared;
use lb_common::reason::DropReason;

use flows::HostFlow;
use frame::Frame;
pub use maps::Maps;

use crate::kernel::{self, action};

/// Tests number their backends from 1.
const BACKENDS_WITH_EVIDENCE: u16 = 256;

/// Counters, all zero.
pub const NO_TOTALS: Totals = Totals {
    received: 0,
    forwarded: 0,
    passed: 0,
    looked_up: 0,
    stored: 0,
    store_failed: 0,
    answers: [0; 8],
    dropped: [0; DropReason::CAPACITY],
};

/// Maps with a clock.
pub struct Host {
    state: RefCell<State>,
    /// What a missing bucket looks like: the kernel's arrays are full of zeros.
    empty: (VipBucket, PortBucket, Service, Backend, ProbeWay),
    maps: Maps,
    nat: nat::Flows,
    syn_cells: Vec<Shared>,
    evidence: Vec<Evidence>,
    /// Handed over by one program to the next.
    handoff: std::cell::UnsafeCell<Handoff>,
    now: u64,
}

/// What packets change.
struct State {
    flows: flows::Flows,
    totals: Totals,
    budgets: [BudgetState; Budget::COUNT],
    counters: std::collections::BTreeMap<u16, lb_common::abi::BackendCounters>,
    insert_failed: std::collections::BTreeMap<u32, u64>,
    probe_ports: std::collections::BTreeMap<u16, ProbePort>,
}

impl Host {
    pub fn new(maps: Maps) -> Self {
        let state = State {
            flows: flows::Flows::new(maps.flows.clone(), maps.flow_room),
            totals: NO_TOTALS,
            budgets: Default::default(),
            counters: Default::default(),
            insert_failed: maps.insert_failed.clone(),
            probe_ports: Default::default(),
        };
        Self {
            state: RefCell::new(state),
            empty: Default::default(),
            nat: nat::Flows::new(&maps.nat_settings),
            handoff: Default::default(),
            syn_cells: (0..SYN_CELLS).map(|_| Shared::new(0)).collect(),
            evidence: (0..BACKENDS_WITH_EVIDENCE).map(|_| Evidence::default()).collect(),
            maps,
            now: 0,
        }
    }

    /// Changes what the daemon writes: flows stay.
    pub fn update(&mut self, maps: Maps) {
        self.maps = maps;
    }

    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// For a daemon that writes while packets come.
    pub fn maps_mut(&mut self) -> &mut Maps {
        &mut self.maps
    }

    /// Runs the data path on a frame that came in on loopback.
    pub fn run(&mut self, frame: &[u8], now: u64) -> kernel::Outcome {
        self.now = now;
        self.state.borrow_mut().totals.received += 1;
        let mut frame = Frame::new(frame);
        let mut verdict = datapath::process(&mut frame, &*self);
        let mut to_prober = false;
        while verdict.outcome() == Outcome::Next {
            let handoff = self.handoff.get_mut();
            let mut copy = *handoff;
            verdict = match verdict.next_program() {
                0 => datapath::nat::process(&mut frame, &*self, &mut copy),
                1 => datapath::nat::open(&mut frame, &*self, &mut copy),
                3 => datapath::nat::follow_fragment(&mut frame, &*self),
                4 => {
                    let decided = datapath::probe::answer(&mut frame, &*self, &mut copy);
                    to_prober = decided.outcome() == Outcome::Redirect;
                    // What is not an answer is handed over once more.
                    *self.handoff.get_mut() = copy;
                    decided
                }
                _ => datapath::process(&mut frame, &Direct(&*self)),
            };
        }
        let totals = &mut self.state.get_mut().totals;
        let action = match verdict.outcome() {
            Outcome::Pass => {
                totals.passed += 1;
                action::PASS
            }
            Outcome::Transmit => {
                totals.forwarded += 1;
                action::TX
            }
            // Counts as meant for this host.
            Outcome::Redirect if to_prober => {
                totals.passed += 1;
                action::REDIRECT
            }
            Outcome::Redirect => {
                totals.forwarded += 1;
                action::REDIRECT
            }
            Outcome::Drop => {
                totals.dropped[verdict.reason()] += 1;
                action::DROP
            }
            Outcome::Answer => {
                totals.dropped[verdict.reason()] += 1;
                totals.answers[verdict.answer_kind()] += 1;
                action::TX
            }
            Outcome::Next => unreachable!("handed over above"),
            Outcome::Echo => {
                totals.forwarded += 1;
                totals.answers[Answer::EchoReply as usize] += 1;
                action::TX
            }
        };
        kernel::Outcome { action, packet: frame.into_bytes() }
    }

    pub fn totals(&self) -> Totals {
        self.state.borrow().totals
    }

    pub fn flow(&self, key: &FlowKey) -> Option<FlowEntry> {
        self.state.borrow().flows.get(key)
    }

    pub fn flow_keys(&self) -> Vec<FlowKey> {
        self.state.borrow().flows.keys()
    }

    /// Removes an entry of the flow table and returns what it was.
    pub fn take_flow(&mut self, key: &FlowKey) -> Option<FlowEntry> {
        self.state.get_mut().flows.remove(key)
    }

    /// Puts an entry in the flow table, unless the flow has one or there is no
    /// room; returns whether it did.
    pub fn insert_flow(&mut self, key: &FlowKey, entry: FlowEntry) -> bool {
        let flows = &mut self.state.get_mut().flows;
        flows.get(key).is_none() && flows.put(*key, entry)
    }

    pub fn backend_counters(&self, id: u16) -> lb_common::abi::BackendCounters {
        self.state.borrow().counters.get(&id).copied().unwrap_or_default()
    }

    /// What the traffic says of a backend: unanswered, repeats, refused,
    /// unreachable, networks.
    pub fn evidence_of(&self, id: u16) -> [u64; 5] {
        let Evidence { unanswered, repeats, refused, unreachable, networks, .. } =
            &self.evidence[usize::from(id)];
        [unanswered, repeats, refused, unreachable, networks].map(Shared::load)
    }

    /// When an insert last failed in the slot's group.
    pub fn insert_failed(&self, slot: u32) -> Option<u64> {
        let group = slot / lb_common::abi::SLOTS_PER_FAIL_STAMP;
        self.state.borrow().insert_failed.get(&group).copied()
    }
}

impl Tables for Host {
    const TRANSLATES: bool = true;
    type Flow<'a> = HostFlow<'a>;

    fn vip_bucket(&self, index: u32) -> Option<&VipBucket> {
        Some(self.maps.vips.get(&index).unwrap_or(&self.empty.0))
    }

    fn port_bucket(&self, index: u32) -> Option<&PortBucket> {
        Some(self.maps.ports.get(&index).unwrap_or(&self.empty.1))
    }

    fn service(&self, id: u16) -> Option<&Service> {
        Some(self.maps.services.get(&id).unwrap_or(&self.empty.2))
    }

    fn owner(&self, slot: u32) -> Option<u16> {
        Some(self.maps.owner(slot))
    }

    fn slot(&self, index: u32) -> Option<SlotWord> {
        Some(self.maps.slots.get(&index).copied().unwrap_or(SlotWord(0)))
    }

    fn backend(&self, id: u16) -> Option<&Backend> {
        // The topmost ids are no backends.
        let exists = u32::from(id) < lb_common::abi::MAX_BACKENDS;
        exists.then(|| self.maps.backends.get(&id).unwrap_or(&self.empty.3))
    }

    fn count(&self, id: u16, bytes: usize, new_connection: bool) {
        let mut state = self.state.borrow_mut();
        let counters = state.counters.entry(id).or_default();
        counters.packets += 1;
        counters.bytes += bytes as u64;
        counters.new_connections += u64::from(new_connection);
    }

    fn count_unresolved(&self, id: u16) {
        self.state.borrow_mut().counters.entry(id).or_default().unresolved += 1;
    }

    fn syn_cell(&self, index: u32) -> Option<&Shared> {
        self.syn_cells.get(index as usize)
    }

    fn evidence(&self, id: u16) -> Option<&Evidence> {
        self.evidence.get(usize::from(id))
    }

    fn take_token(&self, kind: Budget) -> bool {
        let settings = &self.maps.settings;
        let rate = settings.budget_per_second[kind as usize];
        let mut state = self.state.borrow_mut();
        budget::take(&mut state.budgets[kind as usize], self.now, rate, settings.ticks_per_second)
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn has_dnat(&self) -> bool {
        self.maps.settings.features & features::DNAT != 0
    }

    fn follows_fragments(&self) -> bool {
        self.maps.settings.features & features::FRAGMENTS != 0
    }

    fn handoff(&self) -> Option<&mut Handoff> {
        // SAFETY: `run` has the host for itself, and a step takes it once.
        Some(unsafe { &mut *self.handoff.get() })
    }

    fn flow<'a>(&'a self, words: &'a FlowWords, context: &'a FlowContext<'a>) -> HostFlow<'a> {
        HostFlow::new(self, words, context)
    }
}

/// The host's maps for packets that go past translation.
struct Direct<'a>(&'a Host);

impl Tables for Direct<'_> {
    const TRANSLATES: bool = false;

    type Flow<'a>
        = HostFlow<'a>
    where
        Self: 'a;

    fn vip_bucket(&self, index: u32) -> Option<&VipBucket> {
        self.0.vip_bucket(index)
    }

    fn port_bucket(&self, index: u32) -> Option<&PortBucket> {
        self.0.port_bucket(index)
    }

    fn service(&self, id: u16) -> Option<&Service> {
        self.0.service(id)
    }

    fn owner(&self, slot: u32) -> Option<u16> {
        self.0.owner(slot)
    }

    fn slot(&self, index: u32) -> Option<SlotWord> {
        self.0.slot(index)
    }

    fn backend(&self, id: u16) -> Option<&Backend> {
        self.0.backend(id)
    }

    fn count(&self, id: u16, bytes: usize, new_connection: bool) {
        self.0.count(id, bytes, new_connection);
    }

    fn count_unresolved(&self, id: u16) {
        self.0.count_unresolved(id);
    }

    fn syn_cell(&self, index: u32) -> Option<&Shared> {
        self.0.syn_cell(index)
    }

    fn evidence(&self, id: u16) -> Option<&Evidence> {
        self.0.evidence(id)
    }

    fn take_token(&self, kind: Budget) -> bool {
        self.0.take_token(kind)
    }

    fn now(&self) -> u64 {
        self.0.now
    }

    fn has_dnat(&self) -> bool {
        self.0.has_dnat()
    }

    fn follows_fragments(&self) -> bool {
        self.0.follows_fragments()
    }

    fn handoff(&self) -> Option<&mut Handoff> {
        self.0.handoff()
    }

    fn flow<'a>(&'a self, words: &'a FlowWords, context: &'a FlowContext<'a>) -> HostFlow<'a> {
        HostFlow::new(self.0, words, context)
    }
}
