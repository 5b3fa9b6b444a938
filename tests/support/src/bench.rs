//! Rows of packet tables: every frame runs in the kernel and on the host, and
//! both must agree on verdict, frame, counters and flow table.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use lb_common::abi::{Answer, BackendCounters, SlotWord, TOTALS_LEN, Totals, Unserved};
use lb_common::reason::DropReason;

use crate::host::{Host, Maps, NO_TOTALS};
use crate::kernel::{Kernel, Outcome, action};
use crate::packet::{Packet, describe, flag, protocol, tcp, verify};
use crate::world::{INGRESS, World, direct, flow_key};

pub struct Bench {
    kernel: Kernel,
    host: Host,
    written: Maps,
    /// The clock as last read: the kernel's program tells only its low half.
    clock: u64,
    seen: Totals,
    /// Backends' counters when the maps were set.
    backends: BTreeMap<u16, BackendCounters>,
}

/// What becomes of a frame.
#[derive(Clone, Debug)]
pub enum Expect {
    Pass,
    /// To the kernel, as this frame.
    PassAs(Vec<u8>),
    Drop(DropReason),
    /// Out of the interface it came in on, as this frame.
    Transmit(Vec<u8>),
    /// Out of another interface, as this frame.
    Redirect(Vec<u8>),
    /// To the prober, as this frame.
    ToProber(Vec<u8>),
    /// Dropped for the reason, and this frame goes back.
    Answer(Answer, DropReason, Vec<u8>),
    /// An echo request turned into this reply.
    Echo(Vec<u8>),
}

impl Bench {
    /// The one loaded object of this test binary: the verifier takes seconds.
    pub fn shared() -> MutexGuard<'static, Self> {
        static SHARED: OnceLock<Mutex<Bench>> = OnceLock::new();
        let bench = SHARED.get_or_init(|| Mutex::new(Self::load()));
        // A row that failed leaves nothing behind that `set` would not replace.
        bench.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load() -> Self {
        let mut bench = Self {
            kernel: Kernel::load(),
            host: Host::new(Maps::default()),
            written: Maps::default(),
            clock: 0,
            seen: NO_TOTALS,
            backends: BTreeMap::new(),
        };
        bench.learn_the_time();
        bench
    }

    /// The time with both halves stands in any entry of the flow table.
    fn learn_the_time(&mut self) {
        let [client, vip] = [IpAddr::from([192, 0, 2, 1]), IpAddr::from([203, 0, 113, 1])];
        let mut world = World::new();
        let backend = world.backend(direct(INGRESS));
        let service = world.service(SlotWord::new(backend, backend, 1, true, true));
        world.vip(vip, Unserved::Drop);
        world.serve(vip, protocol::TCP, 80, service);
        self.set(&world);
        let syn = Packet::new(client, vip, tcp(80, flag::SYN));
        self.kernel.run(&syn.frame());
        let entry = self.kernel.flow(flow_key(&syn)).expect("a flow in transition is stored");
        self.clock = entry.seen.ticks();
        self.set(&World::new());
    }

    /// Writes the maps anew and fills the budgets; counters stay.
    pub fn set(&mut self, world: &World) {
        world.maps.replace(&self.written, &mut self.kernel);
        self.kernel.fill_budgets();
        self.kernel.clear_probe_ports();
        self.written = world.maps.clone();
        self.host = Host::new(world.maps.clone());
        self.seen = self.kernel.totals();
        let ids: Vec<u16> = self.written.backends.keys().copied().collect();
        self.backends = ids.iter().map(|id| (*id, self.kernel.backend_counters(*id))).collect();
    }

    /// Writes what has changed in the maps; flows stay.
    pub fn update(&mut self, world: &World) {
        world.maps.update(&self.written, &mut self.kernel);
        self.written = world.maps.clone();
        self.host.update(world.maps.clone());
    }

    pub fn kernel(&mut self) -> &mut Kernel {
        &mut self.kernel
    }

    /// The data path's clock.
    pub fn now(&mut self) -> u64 {
        let low = u64::from(self.kernel.clock());
        let wrapped = low < self.clock & 0xffff_ffff;
        let high = (self.clock >> 32) + u64::from(wrapped);
        self.clock = high << 32 | low;
        self.clock
    }

    /// Runs a frame in the kernel and on the host, and returns what both say
    /// and how the totals changed.
    pub fn run(&mut self, what: &str, frame: &[u8]) -> (Outcome, Totals) {
        let now = self.now();
        let host_before = self.host.totals();
        let outcome = self.kernel.run(frame);
        let on_host = self.host.run(frame, now);
        let totals = self.kernel.totals();
        let change = difference(&totals, &self.seen);
        self.seen = totals;
        let about = || {
            let (kernel, host) = (describe(&outcome.packet), describe(&on_host.packet));
            let sent = describe(frame);
            format!("{what}\n in:     {sent}\n kernel: {kernel}\n host:   {host}")
        };
        assert_eq!(
            outcome.action,
            on_host.action,
            "action in the kernel and on the host: {}",
            about()
        );
        let leaves = outcome.action != action::DROP;
        assert!(!leaves || outcome.packet == on_host.packet, "frames differ: {}", about());
        let on_host = difference(&self.host.totals(), &host_before);
        assert_eq!(change, on_host, "counters in the kernel and on the host: {}", about());
        let accounted = change.forwarded + change.passed + change.dropped.iter().sum::<u64>();
        assert_eq!((change.received, accounted), (1, 1), "conservation: {}", about());
        if leaves && verify(frame).is_ok() {
            assert_eq!(verify(&outcome.packet), Ok(()), "{}", about());
        }
        if change.looked_up > 0 {
            self.compare_flows(&about);
        }
        (outcome, change)
    }

    /// A frame leaves the prober's namespace: what both make of it.
    pub fn send_probe(&mut self, what: &str, frame: &[u8]) -> Outcome {
        let before = self.kernel.totals();
        let outcome = self.kernel.run_probe(frame);
        let on_host = self.host.run_probe(frame);
        assert_eq!(outcome.action, on_host.action, "{what}: {}", describe(frame));
        if outcome.action != action::DROP {
            let [kernel, host] = [&outcome, &on_host].map(|one| describe(&one.packet));
            assert_eq!(outcome.packet, on_host.packet, "{what}:\n {kernel}\n {host}");
            assert_eq!(verify(&outcome.packet), Ok(()), "{what}: {kernel}");
        }
        let change = difference(&self.kernel.totals(), &before);
        assert_eq!(as_array(&change), [0; TOTALS_LEN], "{what} is no traffic of clients");
        outcome
    }

    /// Both flow tables name the same owners and states.
    fn compare_flows(&mut self, about: &dyn Fn() -> String) {
        let mut keys = self.kernel.flow_keys();
        keys.extend(self.host.flow_keys());
        for key in keys {
            let kernel = self.kernel.flow(key).map(|e| (e.owner, e.seen.state()));
            let host = self.host.flow(&key).map(|e| (e.owner, e.seen.state()));
            assert_eq!(kernel, host, "flow in the kernel and on the host: {}", about());
        }
    }

    /// Backends' counters have grown alike in the kernel and on the host since
    /// the maps were set.
    pub fn assert_backends_agree(&mut self) {
        for (id, before) in &self.backends {
            let after = self.kernel.backend_counters(*id);
            let change = BackendCounters {
                packets: after.packets - before.packets,
                bytes: after.bytes - before.bytes,
                new_connections: after.new_connections - before.new_connections,
                unresolved: after.unresolved - before.unresolved,
                reply_packets: after.reply_packets - before.reply_packets,
                reply_bytes: after.reply_bytes - before.reply_bytes,
                refused: after.refused - before.refused,
                unlogged: after.unlogged - before.unlogged,
            };
            assert_eq!(change, self.host.backend_counters(*id), "counters of backend {id}");
        }
    }

    /// The same, without a SYN that was seen before or evidence of it.
    pub fn set_without_evidence(&mut self, world: &World) {
        self.set(world);
        self.kernel.clear_syns();
        for id in world.maps.backends.keys() {
            self.kernel.clear_evidence(*id);
        }
    }

    /// What the traffic says of a backend: unanswered, repeats, refused,
    /// unreachable; and how many networks say so.
    pub fn evidence(&mut self, id: u16) -> ([u64; 4], u32) {
        let kernel = self.kernel.evidence(id);
        assert_eq!(kernel, self.host.evidence_of(id), "evidence against backend {id}");
        let [counts @ .., networks] = kernel;
        (counts, networks.count_ones())
    }

    /// Waits until the data path's clock has moved on by so many ticks.
    pub fn wait(&mut self, ticks: u64) {
        let until = self.now() + ticks;
        while self.now() < until {
            std::thread::yield_now();
        }
    }

    /// Whether an insert is noted to have failed in the group of `slot`.
    pub fn insert_failed(&mut self, slot: u32) -> bool {
        let kernel = self.kernel.insert_failed(slot);
        assert_eq!(
            kernel,
            self.host.insert_failed(slot).is_some(),
            "failed insert around slot {slot}"
        );
        kernel
    }

    /// One row of a table.
    pub fn expect(&mut self, what: &str, frame: &[u8], expected: Expect) {
        let (outcome, change) = self.run(what, frame);
        let (wanted, out, counters) = match &expected {
            Expect::Pass => (action::PASS, Some(frame), counted(None, None)),
            Expect::PassAs(f) => (action::PASS, Some(&f[..]), counted(None, None)),
            Expect::Drop(reason) => (action::DROP, None, counted(Some(*reason), None)),
            Expect::Transmit(f) => (action::TX, Some(&f[..]), counted(None, None)),
            Expect::ToProber(f) => (action::REDIRECT, Some(&f[..]), counted(None, None)),
            Expect::Redirect(f) => (action::REDIRECT, Some(&f[..]), counted(None, None)),
            Expect::Answer(answer, reason, f) => {
                (action::TX, Some(&f[..]), counted(Some(*reason), Some(*answer)))
            }
            Expect::Echo(f) => (action::TX, Some(&f[..]), counted(None, Some(Answer::EchoReply))),
        };
        let about = || {
            let wanted = out.map_or("nothing".to_owned(), describe);
            let (sent, got) = (describe(frame), describe(&outcome.packet));
            format!("{what}\n in:     {sent}\n got:    {got}\n wanted: {wanted}\n {change:?}")
        };
        assert_eq!(outcome.action, wanted, "action: {}", about());
        assert!(out.is_none_or(|out| out == outcome.packet), "frame: {}", about());
        assert_eq!((change.dropped, change.answers), counters, "counters: {}", about());
        let passes = wanted == action::PASS || matches!(expected, Expect::ToProber(_));
        assert_eq!(change.passed, u64::from(passes), "passed: {}", about());
    }
}

/// What one packet adds to the counters of drops and answers.
fn counted(
    reason: Option<DropReason>,
    answer: Option<Answer>,
) -> ([u64; DropReason::CAPACITY], [u64; 8]) {
    let (mut dropped, mut answers) = ([0; DropReason::CAPACITY], [0; 8]);
    if let Some(reason) = reason {
        dropped[reason as usize] = 1;
    }
    if let Some(answer) = answer {
        answers[answer as usize] = 1;
    }
    (dropped, answers)
}

fn difference(after: &Totals, before: &Totals) -> Totals {
    let (after, before) = (as_array(after), as_array(before));
    let difference: [u64; TOTALS_LEN] = std::array::from_fn(|i| after[i] - before[i]);
    // SAFETY: `Totals` is `repr(C)` and consists of TOTALS_LEN u64.
    unsafe { std::mem::transmute::<[u64; TOTALS_LEN], Totals>(difference) }
}

fn as_array(totals: &Totals) -> [u64; TOTALS_LEN] {
    // SAFETY: as above.
    unsafe { std::mem::transmute::<Totals, [u64; TOTALS_LEN]>(*totals) }
}
