//! A daemon with its operator, its probes and its clock, and everything that may
//! happen to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::Arc,
    time::SystemTime,
};

use lb_test_support::{host::Host, random::Random};
use tempfile::TempDir;

use super::{
    balancer::{Balancer, Fuse, Killed, Shared},
    mutants::Mutant,
    operator::{File, Place, SERVERS, SERVICES, address},
    tell,
    traffic::{Traffic, mac},
    truth::Server,
};
use crate::{
    api::{
        protocol::Command,
        types::{Change, Who},
    },
    control::{Controller, FlowScan, Parts, tests::world::registry, view::target},
    events::Journal,
    health::{HealthEvent, State},
    nat::Pass,
    netlink::{MacAddress, NextHop},
    state::{HealthMemory, Identity, StateFile},
};

const SLOT_SPACE: u32 = 1 << 12;
/// Loopback's, where test frames come in, so that they are sent back there.
const INTERFACE: u32 = 1;

pub type Daemon = Controller<Shared, Shared>;

/// What the operator decided beside the file.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Decided {
    pub drained: bool,
    pub weight: Option<u16>,
}

pub struct World {
    pub random: Random,
    pub balancer: Rc<Balancer>,
    pub daemon: Option<Daemon>,
    /// The file in force.
    pub file: File,
    pub decided: BTreeMap<Place, Decided>,
    /// What was being decided of these when the daemon died is not known.
    unsure: BTreeSet<Place>,
    state: TempDir,
    /// The file that says what probes found.
    health: HealthMemory,
    scan: Option<FlowScan>,
    mutant: Option<Mutant>,
}

/// In memory where that can be had: each change of state is synchronized.
fn state_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl World {
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut random = Random::new(seed);
        let start = 1_000_000 + random.below(1000);
        let copies = random.below(3) == 0;
        let capacity = if random.below(3) == 0 { 4 + random.below(12) as u32 } else { 1 << 16 };
        let traffic = Traffic::new(random.next(), copies, start);
        let balancer = Rc::new(Balancer::new(traffic, capacity, mutant));
        let file = File::new(&mut random);
        let mut world = Self {
            balancer,
            daemon: None,
            file,
            decided: BTreeMap::new(),
            unsure: BTreeSet::new(),
            state: state_directory(),
            health: HealthMemory::default(),
            scan: None,
            mutant,
            random,
        };
        let identity = Identity::new([world.random.next(), world.random.next()]);
        world.state_file().write(&identity).unwrap();
        world.begin(world.file.clone(), true);
        world
    }

    pub fn host<T>(&self, what: impl FnOnce(&mut Traffic, &mut Host) -> T) -> T {
        what(&mut self.balancer.traffic.borrow_mut(), &mut self.balancer.host.borrow_mut())
    }

    /// One thing happens; an error when a promise is broken.
    pub fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..16 => self.time_passes(),
            16..56 => self.host(|traffic, host| traffic.one_sends(host)),
            56..58 => self.flood(),
            58..62 => self.a_server_changes(),
            62..68 => self.probe(),
            68..84 => self.a_second_of_work(),
            84..90 => self.scan_goes_on(),
            90..94 => self.reload(),
            94..97 => self.order(),
            97 if self.random.below(3) == 0 => self.restart(),
            _ => {
                self.operate(|daemon| daemon.work());
            }
        }
        self.check()
    }

    fn time_passes(&mut self) {
        let most = [500, 2500, 6000][self.random.below(3) as usize];
        let by = 1 + self.random.below(most);
        self.host(|traffic, _| traffic.truth.time_passes(by));
    }

    fn flood(&mut self) {
        for _ in 0..self.random.below(8) {
            self.host(|traffic, host| traffic.stranger_sends(host));
        }
    }
}

/// The daemon at work.
impl World {
    /// Has the daemon do something; returns what, unless it dies before the end
    /// or is not there.
    fn operate<T>(&mut self, what: impl FnOnce(&mut Daemon) -> T) -> Option<T> {
        let mut daemon = self.daemon.take()?;
        daemon.view_mut().time = self.wall_clock();
        let (daemon, done) = self.may_die(move || {
            let done = what(&mut daemon);
            (daemon, done)
        })?;
        self.daemon = Some(daemon);
        Some(done)
    }

    fn may_die<T>(&mut self, what: impl FnOnce() -> T) -> Option<T> {
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

    fn wall_clock(&self) -> u64 {
        let ahead = if self.mutant == Some(Mutant::ClockAhead) { 4 } else { 0 };
        self.host(|traffic, _| traffic.truth.seconds()) + ahead
    }

    fn state_file(&self) -> StateFile {
        StateFile::in_directory(self.state.path())
    }

    pub fn a_second_of_work(&mut self) {
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

    fn scan_goes_on(&mut self) {
        tell(|| "the scan goes on".into());
        let scan = self.scan.take();
        let next = self.operate(|daemon| match scan {
            None => Some(daemon.begin_scan().unwrap()),
            Some(scan) => daemon.scan(scan).unwrap(),
        });
        self.scan = next.flatten();
    }

    /// All that is due, without anything that goes wrong.
    pub fn settle(&mut self) {
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
    fn restart(&mut self) {
        tell(|| "the daemon ends".into());
        self.daemon = None;
        self.scan = None;
    }

    /// A daemon starts with a file.
    pub fn begin(&mut self, file: File, is_first: bool) {
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

fn next_hops() -> BTreeMap<std::net::IpAddr, Result<NextHop, crate::netlink::NextHopError>> {
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

/// Servers, and the probes of them.
impl World {
    fn a_server_changes(&mut self) {
        let server = self.random.below(u64::from(SERVERS)) as u8;
        let (slow, returns) = (self.random.below(2) == 0, self.random.below(3) > 0);
        tell(|| format!("server {server} changes: slow {slow}, returns {returns}"));
        self.host(|traffic, _| match traffic.truth.servers[server as usize] {
            Server::Works if traffic.copies => {}
            Server::Works if slow => traffic.truth.servers[server as usize] = Server::Slow,
            Server::Dead if !returns => {}
            Server::Works => traffic.truth.die(server),
            Server::Slow if !returns => traffic.truth.die(server),
            Server::Slow | Server::Dead => traffic.truth.servers[server as usize] = Server::Works,
        });
    }

    /// A probe tells of a server, if that is news.
    pub fn probe(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        let server = self.random.below(u64::from(SERVERS)) as u8;
        let config = daemon.config().clone();
        let mut found = config.services.iter().flat_map(|service| {
            let mut backends = service.backends.iter();
            backends.find(|one| one.address == address(server)).map(|one| (service, one))
        });
        let Some((service, backend)) = found.next() else { return };
        let (present, _) = daemon.view.state(service, backend);
        let state = match self.host(|traffic, _| traffic.truth.servers[server as usize]) {
            Server::Works => State::Up,
            Server::Slow if self.mutant == Some(Mutant::SlowIsDead) => State::Dead,
            Server::Slow => State::Failing,
            Server::Dead => State::Dead,
        };
        if state == present {
            return;
        }
        tell(|| format!("server {server} is found {state:?}"));
        let target = Arc::new(target(service, backend).unwrap());
        if state == State::Dead && self.mutant != Some(Mutant::SlowIsDead) {
            self.host(|traffic, _| traffic.truth.told_dead[server as usize] = true);
        }
        let told = self.operate(|daemon| {
            let event =
                HealthEvent { target, state, reason: "".into(), at: SystemTime::UNIX_EPOCH };
            daemon.view_mut().note(event);
            daemon.refresh().unwrap();
        });
        if state != State::Dead && told.is_some() {
            self.host(|traffic, _| traffic.truth.told_dead[server as usize] = false);
        }
    }
}

/// The operator.
impl World {
    fn reload(&mut self) {
        if self.daemon.is_none() {
            return;
        }
        let file = self.file.edited(&mut self.random);
        // A service that goes and comes back has not been there for a moment.
        self.host(|traffic, _| traffic.truth.time_passes(500));
        let now = self.random.below(4) == 0;
        tell(|| format!("reload, removed ones go now: {now}; {file:?}"));
        self.removals_begin(&file, now);
        let config = file.parse(self.mutant);
        let now = now || self.mutant == Some(Mutant::RemovedAtOnce);
        if self.operate(|daemon| daemon.reload(config, now).unwrap()).is_some()
            || self.random.below(2) == 0
        {
            self.in_force(file);
        } else {
            // The next one finds the file from before; what was to go may have
            // been given its time.
            let edited = file;
            self.unsure.extend(edited.places());
            self.unsure.extend(self.file.places());
        }
    }

    /// From now on, flows of those who are not in `file` have so much time.
    fn removals_begin(&mut self, file: &File, now: bool) {
        for (service, pool) in self.file.pools.iter().enumerate() {
            let Some(pool) = pool else { continue };
            let service = service as u8;
            if file.pools[service as usize].is_none() {
                self.host(|traffic, _| traffic.truth.forget(service));
                continue;
            }
            let of_next = &file.pools[service as usize];
            for server in pool.backends.keys() {
                if file.entry((service, *server)).is_some() {
                    continue;
                }
                // A daemon that starts knows the new file only.
                let next = of_next.iter().map(|next| next.drain_of(*server));
                let after = next.chain([pool.drain_of(*server)]).min().unwrap_or(0);
                let after = if now { 0 } else { after };
                self.host(|traffic, _| {
                    let at = traffic.truth.seconds() + after;
                    traffic.truth.cut((service, *server), |cut| {
                        cut.removal = Some(cut.removal.map_or(at, |before| before.min(at)));
                    });
                });
            }
        }
    }

    /// The daemon has taken a file over, or is to when it starts.
    fn in_force(&mut self, file: File) {
        let before: BTreeSet<Place> = self.file.places().collect();
        let after: BTreeSet<Place> = file.places().collect();
        self.unsure.extend(before.symmetric_difference(&after));
        self.file = file;
        if self.daemon.is_none() {
            self.unsure.extend(after);
            return;
        }
        for place in after {
            self.host(|traffic, _| {
                traffic.truth.serves(place.0);
                traffic.truth.cut(place, |cut| cut.removal = None);
            });
        }
        for place in std::mem::take(&mut self.unsure) {
            self.learn(place);
        }
    }

    fn overridden(&self, (service, server): Place) -> (Decided, Option<u64>) {
        let daemon = self.daemon.as_ref().expect("somebody to ask");
        let place = (SERVICES[service as usize], address(server));
        let drain = daemon.overrides.drain(place);
        let weight = daemon.overrides.weight(place).map(|one| one.weight);
        let decided = Decided { drained: drain.is_some(), weight };
        (decided, drain.and_then(|drain| drain.deadline))
    }

    /// Asks the daemon what holds of a backend.
    fn learn(&mut self, place: Place) {
        let (decided, deadline) = self.overridden(place);
        self.decided.insert(place, decided);
        self.host(|traffic, _| traffic.truth.cut(place, |cut| cut.drain = deadline));
    }

    fn order(&mut self) {
        let service = self.random.below(2) as u8;
        let Some(pool) = &self.file.pools[service as usize] else { return };
        let Some(server) = pool.any(&mut self.random) else { return };
        let place = (service, server);
        let (command, deadline) = match self.random.below(8) {
            0 | 1 => (Command::Drain, None),
            2 | 3 => (Command::Drain, Some(1 + self.random.below(12))),
            4..7 => (Command::Undrain, None),
            _ => (Command::SetWeight, None),
        };
        let weight = [None, Some(0), Some(1), Some(5)][self.random.below(4) as usize];
        let change = Change {
            service: Some(SERVICES[service as usize].into()),
            backend: Some(address(server).to_string()),
            deadline,
            weight,
            ..Change::default()
        };
        let at = deadline.map(|after| self.host(|traffic, _| traffic.truth.seconds()) + after);
        let who = Who { uid: 1000, user: None };
        if self.daemon.is_none() {
            return;
        }
        tell(|| format!("{command:?} {change:?}"));
        if let Some(at) = at {
            self.host(|traffic, _| {
                traffic.truth.cut(place, |cut| {
                    cut.drain = Some(cut.drain.map_or(at, |before| before.min(at)));
                });
            });
        }
        let done = self.operate(|daemon| daemon.order(command, &change, &who).unwrap());
        if done.is_none() {
            self.unsure.insert(place);
            return;
        }
        let decided = self.decided.entry(place).or_default();
        match command {
            Command::SetWeight => decided.weight = weight,
            Command::Drain => decided.drained = true,
            _ => decided.drained = false,
        }
        if command != Command::SetWeight {
            self.host(|traffic, _| traffic.truth.cut(place, |cut| cut.drain = at));
        }
    }
}

/// What must hold.
impl World {
    fn check(&mut self) -> Result<(), String> {
        if let Some(why) = self.host(|traffic, _| traffic.broken.take()) {
            return Err(why);
        }
        if self.daemon.is_none() {
            return Ok(());
        }
        for place in self.file.places() {
            let (found, _) = self.overridden(place);
            let decided = self.decided.get(&place).copied().unwrap_or_default();
            if found != decided {
                return Err(format!("of {place:?}, {decided:?} was ordered and {found:?} holds"));
            }
            let on = self.host(|traffic, _| traffic.truth.flows_on(place));
            if on > 0 && self.is_drained(place) {
                return Err(format!("{place:?} is said to be drained and has {on} flows"));
            }
        }
        Ok(())
    }

    /// Whether the daemon says that no flow is left.
    fn is_drained(&self, (service, server): Place) -> bool {
        let daemon = self.daemon.as_ref().expect("somebody to ask");
        let id = daemon.id_of(SERVICES[service as usize], address(server));
        id.and_then(|id| daemon.drains.get(&id)).is_some_and(|drain| drain.done)
    }

    /// All is well again: flows go on, then they end; nothing is left of them, and
    /// new ones go where they should.
    pub fn comes_to_rest(&mut self) -> Result<(), String> {
        while self.daemon.is_none() {
            self.begin(self.file.clone(), false);
        }
        self.host(|traffic, host| traffic.all_go_on(host));
        self.check()?;
        for server in 0..SERVERS {
            self.host(|traffic, _| traffic.truth.servers[server as usize] = Server::Works);
        }
        for _ in 0..200 {
            self.probe();
        }
        while self.daemon.is_none() {
            self.begin(self.file.clone(), false);
        }
        // Longer than a flow may be silent: a removed backend's slots name it until then.
        for _ in 0..100 {
            self.host(|traffic, _| traffic.truth.time_passes(5_000));
            let time = self.wall_clock();
            self.daemon.as_mut().unwrap().view_mut().time = time;
            self.settle();
        }
        self.at_rest()
    }

    fn at_rest(&mut self) -> Result<(), String> {
        let left = self.balancer.host.borrow().flow_keys().len();
        if left > 0 {
            return Err(format!("{left} flows are left when all have ended"));
        }
        let daemon = self.daemon.as_ref().unwrap();
        let known: usize = daemon.identity.services.values().map(|one| one.backends.len()).sum();
        if known != self.file.places().count() || !daemon.identity.leaving.is_empty() {
            return Err(format!("numbers of removed backends are held: {:?}", daemon.identity));
        }
        if daemon.needs_scan() && !daemon.has_drains() {
            return Err("slots are in transition although all flows have ended".into());
        }
        for service in 0..2 {
            let Some(pool) = self.file.pools[service as usize].clone() else { continue };
            for _ in 0..8 {
                let to = self.host(|traffic, host| traffic.newcomer(service, host));
                let place = to.map(|to| (service, to));
                let takes = |place| self.takes(place);
                let ok = match place {
                    Some(place) => takes(place),
                    None => !pool.backends.keys().any(|one| takes((service, *one))),
                };
                if !ok {
                    return Err(format!("a new flow of service {service} went to {to:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whether a backend is to get new flows when all servers work.
    fn takes(&self, place: Place) -> bool {
        let Some(entry) = self.file.entry(place) else { return false };
        let decided = self.decided.get(&place).copied().unwrap_or_default();
        let weight = decided.weight.unwrap_or(entry.weight as u16);
        !entry.is_drained && !decided.drained && weight > 0
    }
}
