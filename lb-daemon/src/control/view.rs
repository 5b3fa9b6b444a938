//! What is known of the world outside the maps.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    config::{Backend, Config, Service},
    health::{HealthEvent, State, Target},
    netlink::{LocalAddresses, NextHops},
    state::Remembered,
};

#[derive(Debug, Default)]
pub struct View {
    /// The wall clock, in Unix seconds, as of the last second.
    pub time: u64,
    pub next_hops: Arc<NextHops>,
    pub addresses: Arc<LocalAddresses>,
    /// Interfaces that the program sees what comes in on, by index.
    pub seen: BTreeSet<u32>,
    /// Where probes through the data path come out; 0: nowhere.
    pub probe_interface: u32,
    statuses: HashMap<Target, Status>,
}

/// What probes say of a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    pub state: State,
    pub reason: String,
    pub since: SystemTime,
}

impl Status {
    /// Nobody remembers since when, or why.
    pub fn found_at_start(state: State) -> Self {
        Self { state, reason: "found so at start".to_owned(), since: SystemTime::now() }
    }
}

impl From<&Remembered> for Status {
    fn from(remembered: &Remembered) -> Self {
        Self {
            state: remembered.state,
            reason: remembered.reason.clone(),
            since: UNIX_EPOCH + Duration::from_secs(remembered.since),
        }
    }
}

impl From<&Status> for Remembered {
    fn from(status: &Status) -> Self {
        let since = status.since.duration_since(UNIX_EPOCH);
        Self {
            state: status.state,
            reason: status.reason.clone(),
            since: since.map_or(0, |since| since.as_secs()),
        }
    }
}

/// What is probed for a backend, if anything.
pub fn target(service: &Service, backend: &Backend) -> Option<Target> {
    Target::for_backend(service, backend)
}

/// Everything that is to be probed.
pub fn targets(config: &Config) -> HashSet<Target> {
    let all = config
        .services
        .iter()
        .flat_map(|service| service.backends.iter().filter_map(|backend| target(service, backend)));
    all.collect()
}

impl View {
    pub fn tell_time(&mut self, now: SystemTime) {
        self.time = now.duration_since(UNIX_EPOCH).map_or(self.time, |since| since.as_secs());
    }

    /// A target's state has changed.
    pub fn note(&mut self, event: HealthEvent) {
        let HealthEvent { target, state, reason, at } = event;
        self.statuses.insert((*target).clone(), Status { state, reason, since: at });
    }

    /// An earlier daemon knew this; probes that have said something since stand.
    pub fn restore(&mut self, target: Target, status: Status) {
        self.statuses.entry(target).or_insert(status);
    }

    /// Forgets what is not probed any more.
    pub fn retain(&mut self, wanted: &HashSet<Target>) {
        self.statuses.retain(|target, _| wanted.contains(target));
    }

    /// A backend's state: what probes say, or, without probes, whether the
    /// kernel still reaches its neighbour.
    pub fn state(&self, service: &Service, backend: &Backend) -> State {
        match target(service, backend) {
            Some(target) => self.statuses.get(&target).map_or(State::Unknown, |s| s.state),
            None => match self.next_hops.get(&backend.address) {
                Some(Err(error)) if error.is_dead() => State::Dead,
                _ => State::Unknown,
            },
        }
    }

    /// Whether the kernel says that `address` is this host's own.
    pub fn is_own_host(&self, address: IpAddr) -> bool {
        matches!(self.next_hops.get(&address), Some(Err(error)) if error.is_own_host())
    }

    pub fn status(&self, service: &Service, backend: &Backend) -> Option<&Status> {
        self.statuses.get(&target(service, backend)?)
    }
}
