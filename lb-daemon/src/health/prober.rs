//! Runs the probes of all targets and reports changes of state.
//!
//! Every target has a task of its own, so one that hangs delays no other. The
//! number of probes under way is bounded; tasks get their turn in the order
//! they asked, and a probe's timeout starts with its turn.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Notify, Semaphore, mpsc::UnboundedSender},
    task::AbortHandle,
    time::{Instant, sleep_until},
};
use tracing::warn;

use super::{
    check::{Checks, Probe},
    latency::Latency,
    limits,
    pace::Pace,
    state::{Change, Machine, Outcome, State},
    target::Target,
};

/// At most one line in the log per this time about probes that could not be made.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

/// A target is not hurried more often than that.
const HURRY_INTERVAL: Duration = Duration::from_secs(1);

/// A target has a new state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthEvent {
    pub target: Arc<Target>,
    pub state: State,
    pub reason: String,
    pub at: SystemTime,
}

/// What is known of a target.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub state: State,
    pub reason: String,
    pub since: SystemTime,
}

/// How a target's probes go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Probed {
    /// Of the last that succeeded; `None` before the first.
    pub latency: Option<Latency>,
    /// Why the last one did not succeed or could not be made.
    pub problem: Option<String>,
}

/// Probes until dropped.
pub struct Prober<P = Checks> {
    shared: Arc<Shared<P>>,
}

struct Shared<P> {
    probe: P,
    turns: Semaphore,
    events: UnboundedSender<HealthEvent>,
    targets: Mutex<HashMap<Arc<Target>, Entry>>,
    started: Instant,
    /// That have ended.
    probes: AtomicU64,
    /// Milliseconds after `started` of the last complaint, plus one.
    complained: AtomicU64,
}

struct Entry {
    machine: Machine,
    status: Status,
    probed: Probed,
    task: AbortHandle,
    hurry: Arc<Notify>,
    hurried: Option<Instant>,
}

impl Prober {
    /// Raises the limit of open files and probes. Must be
    /// called within a tokio runtime, like [`Prober::set_targets`].
    pub fn new(events: UnboundedSender<HealthEvent>) -> Self {
        Self::with(Checks::new(), limits::concurrent_probes(), events)
    }
}

impl<P: Probe> Prober<P> {
    fn with(probe: P, concurrency: usize, events: UnboundedSender<HealthEvent>) -> Self {
        let shared = Shared {
            probe,
            turns: Semaphore::new(concurrency),
            events,
            targets: Mutex::default(),
            started: Instant::now(),
            probes: AtomicU64::new(0),
            complained: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Probes exactly `wanted` from now on. Targets that were probed before
    /// keep their state and their schedule; others start as unknown.
    pub fn set_targets(&self, wanted: impl IntoIterator<Item = Target>) {
        let wanted: HashSet<Target> = wanted.into_iter().collect();
        let mut targets = self.shared.targets();
        targets.retain(|target, entry| {
            let keep = wanted.contains(&**target);
            if !keep {
                entry.task.abort();
            }
            keep
        });
        for target in wanted {
            if !targets.contains_key(&target) {
                let target = Arc::new(target);
                let hurry = Arc::new(Notify::new());
                let task = run(self.shared.clone(), target.clone(), hurry.clone());
                let task = tokio::spawn(task).abort_handle();
                targets.insert(target.clone(), Entry::new(&target, task, hurry));
            }
        }
    }

    /// Takes over a state that an earlier daemon left behind. No event is sent,
    /// and a state that probes have found since stands.
    pub fn restore(&self, target: &Target, state: State) {
        let mut targets = self.shared.targets();
        if let Some(entry) = targets.get_mut(target)
            && entry.status.state == State::Unknown
        {
            entry.machine.restore(state);
            entry.status = Status::now(state, "found so at start".to_owned());
        }
    }

    /// The kernel gave up on the neighbour that leads to `address`: all its
    /// targets are dead at once.
    pub fn neighbour_failed(&self, address: IpAddr) {
        self.shared.update(|target| target.address == address, Machine::neighbour_failed);
    }

    /// There is reason to doubt the target: it is probed at once, beside its
    /// schedule.
    pub fn hurry(&self, target: &Target) {
        let now = Instant::now();
        if let Some(entry) = self.shared.targets().get_mut(target)
            && entry.hurried.is_none_or(|last| now >= last + HURRY_INTERVAL)
        {
            entry.hurried = Some(now);
            entry.hurry.notify_one();
        }
    }

    /// What is known of `target`, if it is probed.
    pub fn status(&self, target: &Target) -> Option<Status> {
        self.shared.targets().get(target).map(|entry| entry.status.clone())
    }

    /// How many probes have ended, of all targets.
    pub fn probes(&self) -> u64 {
        self.shared.probes.load(Ordering::Relaxed)
    }

    /// How the probes of all targets go.
    pub fn probed(&self) -> HashMap<Arc<Target>, Probed> {
        let targets = self.shared.targets();
        targets.iter().map(|(target, entry)| (target.clone(), entry.probed.clone())).collect()
    }
}

impl<P> Drop for Prober<P> {
    fn drop(&mut self) {
        for entry in self.shared.targets().values() {
            entry.task.abort();
        }
    }
}

impl<P> Shared<P> {
    /// A panic while it was held leaves every entry whole: each is changed in
    /// one step.
    fn targets(&self) -> MutexGuard<'_, HashMap<Arc<Target>, Entry>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(
        &self,
        applies: impl Fn(&Target) -> bool,
        step: impl Fn(&mut Machine, std::time::Instant) -> Option<Change>,
    ) {
        let now = Instant::now().into_std();
        for (target, entry) in self.targets().iter_mut().filter(|(target, _)| applies(target)) {
            if let Some(change) = step(&mut entry.machine, now) {
                self.publish(target, entry, change);
            }
        }
    }

    fn record(&self, target: &Arc<Target>, outcome: &Outcome) {
        self.probes.fetch_add(1, Ordering::Relaxed);
        if let Outcome::NotMade(why) = outcome {
            self.complain(target, why);
        }
        let now = Instant::now().into_std();
        // Under the lock, so that events leave in the order of the changes.
        if let Some(entry) = self.targets().get_mut(target) {
            entry.probed.note(outcome);
            if let Some(change) = entry.machine.observe(outcome, now) {
                self.publish(target, entry, change);
            }
        }
    }

    fn publish(&self, target: &Arc<Target>, entry: &mut Entry, change: Change) {
        entry.status = Status::now(change.state, change.reason);
        let Status { state, reason, since: at } = entry.status.clone();
        // Nobody listens any more: the daemon is about to stop.
        let _ = self.events.send(HealthEvent { target: target.clone(), state, reason, at });
    }

    fn complain(&self, target: &Target, why: &str) {
        let now = self.started.elapsed().as_millis() as u64 + 1;
        let last = self.complained.load(Ordering::Relaxed);
        let due = last == 0 || now - last.min(now) >= COMPLAINT_INTERVAL.as_millis() as u64;
        let exchange =
            || self.complained.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if due && exchange().is_ok() {
            warn!("could not probe {target}: {why}; backends keep their states meanwhile");
        }
    }
}

impl Entry {
    fn new(target: &Target, task: AbortHandle, hurry: Arc<Notify>) -> Self {
        let machine = Machine::new(State::Unknown, target.rise, target.fall, target.interval);
        let status = Status::now(State::Unknown, "not probed enough yet".to_owned());
        Self { machine, status, probed: Probed::default(), task, hurry, hurried: None }
    }
}

impl Probed {
    fn note(&mut self, outcome: &Outcome) {
        self.problem = match outcome {
            Outcome::Works(took) => {
                self.latency = Some(Latency::with(self.latency, *took));
                None
            }
            Outcome::Fails(why) | Outcome::Gone(why) | Outcome::NotMade(why) => Some(why.clone()),
        };
    }
}

impl Status {
    fn now(state: State, reason: String) -> Self {
        Self { state, reason, since: SystemTime::now() }
    }
}

async fn run<P: Probe>(shared: Arc<Shared<P>>, target: Arc<Target>, hurry: Arc<Notify>) {
    let mut pace = Pace::new(&target);
    let mut due = Instant::now() + pace.start();
    loop {
        let on_schedule = tokio::select! {
            () = sleep_until(due) => true,
            () = hurry.notified() => false,
        };
        let outcome = {
            let _turn = shared.turns.acquire().await.expect("turns are never closed");
            shared.probe.probe(&target).await
        };
        shared.record(&target, &outcome);
        if on_schedule {
            // A probe that ran late moves the schedule: no burst to catch up.
            due = (due + pace.gap()).max(Instant::now());
        }
    }
}

#[cfg(test)]
#[path = "prober_tests.rs"]
mod tests;
