//! What the numbers in the tables mean.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use lb_common::abi::{NatSettings, Service};

use crate::dataplane::Ticks;

/// Made by the control loop whenever one of these changes.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Grows by one with each.
    pub version: u64,
    pub ticks: Ticks,
    pub settings: NatSettings,
    /// By the index of their entry.
    pub services: BTreeMap<u16, ServiceName>,
    /// By number.
    pub backends: HashMap<u16, BackendName>,
    /// Entries of services that are no more: their lines are freed.
    pub gone: BTreeSet<u16>,
    /// Addresses that the control loop would like to forget.
    pub watched: HashSet<[u64; 2]>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServiceName {
    pub name: String,
    /// Its entry, for the times.
    pub entry: Service,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackendName {
    pub service: String,
    pub name: String,
    pub address: IpAddr,
}

impl Directory {
    /// Before the control loop has said anything.
    pub fn empty(ticks: Ticks) -> Self {
        Self {
            version: 0,
            ticks,
            settings: NatSettings::default(),
            services: BTreeMap::new(),
            backends: HashMap::new(),
            gone: BTreeSet::new(),
            watched: HashSet::new(),
        }
    }
}
