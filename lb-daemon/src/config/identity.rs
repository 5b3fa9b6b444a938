//! Identity: what makes a service or a backend the same one after a reload.
//!
//! Health, flows and counters follow these keys, not positions in the file. A
//! service is its name; a backend is its service and its address, so that
//! renaming a backend loses nothing.

use std::{collections::BTreeMap, net::IpAddr};

use super::model::{Backend, Config, Ports, Protocol, Service, Unserved};

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ServiceKey(pub String);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BackendKey {
    pub service: ServiceKey,
    pub address: IpAddr,
}

/// One (VIP, protocol, port) that a service answers for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Frontend {
    pub vip: IpAddr,
    pub protocol: Protocol,
    /// `None`: every port that no other service of the VIP and protocol names.
    pub port: Option<u16>,
}

impl Service {
    pub fn key(&self) -> ServiceKey {
        ServiceKey(self.name.clone())
    }

    pub fn backend_key(&self, backend: &Backend) -> BackendKey {
        BackendKey { service: self.key(), address: backend.address }
    }

    /// Every (VIP, protocol, port) of the service.
    pub fn frontends(&self) -> impl Iterator<Item = Frontend> {
        let ports: Vec<Option<u16>> = match &self.ports {
            Ports::Any => vec![None],
            Ports::List(ports) => ports.iter().copied().map(Some).collect(),
        };
        let mut frontends = Vec::new();
        for &vip in &self.vips {
            for &protocol in &self.protocols {
                frontends.extend(ports.iter().map(|&port| Frontend { vip, protocol, port }));
            }
        }
        frontends.into_iter()
    }
}

impl Config {
    pub fn service(&self, key: &ServiceKey) -> Option<&Service> {
        self.services.iter().find(|service| service.name == key.0)
    }

    /// Every VIP and what happens to its unserved ports: as the service that
    /// says so wants it, else [`Unserved::Auto`].
    pub fn vips(&self) -> BTreeMap<IpAddr, Unserved> {
        let mut vips = BTreeMap::new();
        for service in &self.services {
            for &vip in &service.vips {
                let policy = vips.entry(vip).or_insert(Unserved::Auto);
                if *policy == Unserved::Auto {
                    *policy = service.unserved;
                }
            }
        }
        vips
    }
}
