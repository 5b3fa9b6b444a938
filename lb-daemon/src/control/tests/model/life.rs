//! The daemon at work, and how it dies and starts.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use super::{
    balancer::{Fuse, Killed, Shared},
    mutants::Mutant,
    operator::{File, SERVERS, address},
    tell,
    traffic::mac,
    world::{Daemon, World},
};
use crate::{
    control::{Controller, Parts, tests::world::registry},
    events::Journal,
    nat::Pass,
    netlink::{MacAddress, NextHop, NextHops},
    state::{Identity, StateFile},
};

const SLOT_SPACE: u32 = 1 << 12;
/// Loopback's, where test frames come in, so that they are sent back there.
const INTERFACE: u32 = 1;

impl World {
    /// Has the daemon do something; returns what, unless it dies before the end
    /// or is not there.
    pub(super) fn operate<T>(&mut self, what: impl FnOnce(&mut Daemon) -> T) -> Option<T> {
        let mut daemon = self.daemon.take()?;
        daemon.view_mut().time = self.wall_clock();
        let (daemon, done) = self.may_die(move || {
            let done = what(&mut daemon);
            (daemon, done)
        })?;
        self.daemon = Some(daemon);
        Some(done)
    }

    pub(super) fn may_die<T>(&mut self, what: impl FnOnce() -> T) -> Option<T> {
        let most = self.random.below(9);
        let writes_left = self.random.below(1 << most);
        let done = self.random.below(2) == 0;
        let dies = self.random.below(100) == 0;
        self.balancer.fuse.set(dies.then_some(Fuse { writes_left, done }));
        let outcome = catch_unwind(AssertUnwindSafe(what));
        self.balancer.fuse.set(None);
        match outcome {
            Ok(done) => return Some(done),
            Err(reason) if reason.is::<Killed>() => tell(|| "the daemon is killed".into()),
            Err(reason) => resume_unwind(reason),
        }
        self.scan = None;
        None
    }

    pub(super) fn wall_clock(&self) -> u64 {
        let ahead = if self.mutant == Some(Mutant::ClockAhead) { 4 } else { 0 };
        self.host(|traffic, _| traffic.truth.seconds()) + ahead
    }

    pub(super) fn state_file(&self) -> StateFile {
        StateFile::in_directory(self.state.path())
    }

    pub(super) fn a_second_of_work(&mut self) {
        if self.daemon.is_none() && self.random.below(3) == 0 {
            let edited = self.random.below(3) == 0;
            let file = if edited { self.file.edited(&mut self.random) } else { self.file.clone() };
            self.begin(file, false);
        }
        tell(|| "a second of work".into());
        let tables_follow = self.random.below(4) != 0;
        self.operate(|daemon| {
            daemon.tick().unwrap();
            daemon.housekeep().unwrap();
            daemon.refresh().unwrap();
            while tables_follow && daemon.has_work() {
                daemon.work();
            }
            sweep(daemon);
        });
        if let Some(daemon) = &self.daemon {
            self.health = daemon.to_remember();
        }
    }

    pub(super) fn scan_goes_on(&mut self) {
        tell(|| "the scan goes on".into());
        let scan = self.scan.take();
        let next = self.operate(|daemon| match scan {
            None => Some(daemon.begin_scan().unwrap()),
            Some(scan) => daemon.scan(scan).unwrap(),
        });
        self.scan = next.flatten();
    }

    /// All that is due, without anything that goes wrong.
    pub(super) fn settle(&mut self) {
        self.balancer.fuse.set(None);
        let scan = self.scan.take();
        let Some(daemon) = &mut self.daemon else { return };
        if let Some(scan) = scan {
            daemon.scan(scan).unwrap();
        }
        daemon.tick().unwrap();
        daemon.housekeep().unwrap();
        daemon.refresh().unwrap();
        while daemon.has_work() {
            daemon.work();
        }
        sweep(daemon);
        let scan = daemon.begin_scan().unwrap();
        daemon.scan(scan).unwrap();
    }

    /// It ends between two things it does.
    pub(super) fn restart(&mut self) {
        tell(|| "the daemon ends".into());
        self.daemon = None;
        self.scan = None;
    }

    /// A daemon starts with a file.
    pub(super) fn begin(&mut self, file: File, is_first: bool) {
        if self.mutant == Some(Mutant::OrdersLost) {
            let orders = self.state.path().join("overrides.json");
            if orders.exists() {
                fs::remove_file(orders).unwrap();
            }
        }
        tell(|| format!("a daemon starts with {file:?}"));
        self.removals_begin(&file, false);
        let mut identity = self.state_file().read().unwrap().unwrap();
        if self.mutant == Some(Mutant::NumbersLost) {
            identity = Identity::new(identity.generated_key);
        }
        let parts = Parts {
            plane: Shared(self.balancer.clone()),
            slots: Shared(self.balancer.clone()),
            slot_space: SLOT_SPACE,
            state_file: self.state_file(),
            identity,
            config: file.parse(self.mutant),
            nat: registry(),
            journal: Journal::default(),
            ways: Arc::default(),
        };
        let (time, health) = (self.wall_clock(), self.health.clone());
        let daemon = self.may_die(move || {
            let mut daemon = Controller::new(parts, is_first).unwrap();
            for (target, status) in daemon.remembered(&health) {
                daemon.view_mut().restore(target, status);
            }
            daemon.view_mut().next_hops = Arc::new(next_hops());
            daemon.view_mut().time = time;
            daemon.start().unwrap();
            while daemon.has_work() {
                daemon.work();
            }
            daemon
        });
        self.daemon = daemon;
        self.in_force(file);
    }
}

fn sweep(daemon: &mut Daemon) {
    let registry = daemon.nat.clone();
    let mut pass = Pass::begin(&registry);
    while pass.slice(0, &mut |_| {}) {}
    registry.set_census(pass.finish());
}

fn next_hops() -> NextHops {
    let hop = |server| NextHop {
        ifindex: INTERFACE,
        interface: "lo".into(),
        source_mac: MacAddress([2, 0, 0, 0, 0, 2]),
        destination_mac: MacAddress(mac(server)),
        mtu: 1500,
        source: None,
        gateway: None,
    };
    (0..SERVERS).map(|server| (address(server), Ok(hop(server)))).collect()
}
