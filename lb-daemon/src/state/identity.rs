//! Names and their numbers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map::Entry},
    net::IpAddr,
};

use lb_common::abi::{MAX_BACKENDS, MAX_SERVICES, MAX_VIPS, Table};
use serde::{Deserialize, Serialize};

use super::ids::IdPool;
use crate::config::{Backend, Config, Service};

/// Everything that has a number.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The key of the flow hash where the configuration gives no seed.
    pub generated_key: [u64; 2],
    pub services: BTreeMap<String, ServiceIdentity>,
    pub vips: BTreeMap<IpAddr, u16>,
    /// Backends of services that are gone, which flow entries may still name.
    pub leaving: BTreeSet<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ServiceIdentity {
    /// Never changes while the service exists.
    pub id: u16,
    /// The index of its entry in the map: another one after its table changed.
    pub entry: u16,
    /// `None` until it has room in the slot space.
    pub table: Option<StoredTable>,
    /// The table before, while flows still ask it.
    pub old_table: Option<StoredTable>,
    /// Those that are configured, and those that left but are still named.
    pub backends: BTreeMap<IpAddr, u16>,
    /// Traffic to backends whose numbers have been given back.
    #[serde(default)]
    pub former: FormerTraffic,
}

impl ServiceIdentity {
    /// Numbers of backends that are not among these.
    fn without(&self, configured: &[Backend]) -> Vec<u16> {
        // Almost always, these are all there are.
        let known = |one: &Backend| self.backends.contains_key(&one.address);
        if self.backends.len() == configured.len() && configured.iter().all(known) {
            return Vec::new();
        }
        let stay: HashSet<IpAddr> = configured.iter().map(|one| one.address).collect();
        let gone = self.backends.iter().filter(|(address, _)| !stay.contains(address));
        gone.map(|(_, id)| *id).collect()
    }
}

/// What a service's counters have beyond those of its backends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FormerTraffic {
    pub packets: u64,
    pub bytes: u64,
    pub new_connections: u64,
}

/// A part of the slot space, and the key that the service's flows are hashed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredTable {
    pub base: u32,
    pub count: u32,
    pub key: [u64; 2],
}

impl From<StoredTable> for Table {
    fn from(StoredTable { base, count, key }: StoredTable) -> Self {
        Self { base, count, key }
    }
}

impl From<Table> for StoredTable {
    fn from(Table { base, count, key }: Table) -> Self {
        Self { base, count, key }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoRoom {
    #[error(
        "no number is free for another {0}: those of removed ones are kept until their flows have \
         ended; try again later"
    )]
    Numbers(&'static str),
}

impl Identity {
    pub fn new(generated_key: [u64; 2]) -> Self {
        Self {
            generated_key,
            services: BTreeMap::new(),
            vips: BTreeMap::new(),
            leaving: BTreeSet::new(),
        }
    }

    /// Gives a number to whatever in `config` has none. Nothing is taken back.
    /// `resting`: entries that no service has and that are not free.
    pub fn admit(
        &mut self,
        config: &Config,
        resting: impl IntoIterator<Item = u16>,
    ) -> Result<(), NoRoom> {
        let mut ids = IdPool::new(MAX_SERVICES, self.services.values().map(|service| service.id));
        let entries = self.services.values().map(|service| service.entry).chain(resting);
        let mut entries = IdPool::new(MAX_SERVICES, entries);
        let mut backends = IdPool::new(MAX_BACKENDS, self.backend_ids());
        let mut vips = IdPool::new(MAX_VIPS, self.vips.values().copied());
        for service in &config.services {
            if !self.services.contains_key(&service.name) {
                let fresh = ServiceIdentity {
                    id: ids.take().ok_or(NoRoom::Numbers("service"))?,
                    entry: entries.take().ok_or(NoRoom::Numbers("service"))?,
                    table: None,
                    old_table: None,
                    backends: BTreeMap::new(),
                    former: FormerTraffic::default(),
                };
                self.services.insert(service.name.clone(), fresh);
            }
            let known = self.services.get_mut(&service.name).expect("just admitted");
            for backend in &service.backends {
                if let Entry::Vacant(unknown) = known.backends.entry(backend.address) {
                    unknown.insert(backends.take().ok_or(NoRoom::Numbers("backend"))?);
                }
            }
            for vip in &service.vips {
                if let Entry::Vacant(unknown) = self.vips.entry(*vip) {
                    unknown.insert(vips.take().ok_or(NoRoom::Numbers("VIP"))?);
                }
            }
        }
        Ok(())
    }

    /// An index for another entry of a service, beside the ones in use.
    pub fn spare_entry(&self, resting: impl Iterator<Item = u16>) -> Option<u16> {
        IdPool::new(
            MAX_SERVICES,
            self.services.values().map(|service| service.entry).chain(resting),
        )
        .take()
    }

    /// Takes a service out; its backends stay numbered until their ids are
    /// [released](Self::release).
    pub fn dismiss(&mut self, service: &str) -> Option<ServiceIdentity> {
        let gone = self.services.remove(service)?;
        self.leaving.extend(gone.backends.values());
        Some(gone)
    }

    /// Frees the number of a backend that nothing names any more.
    pub fn release(&mut self, id: u16) {
        self.leaving.remove(&id);
        for service in self.services.values_mut() {
            service.backends.retain(|_, backend| *backend != id);
        }
    }

    /// Whose number it is: a service, and the address of a backend.
    pub fn place_of(&self, id: u16) -> Option<(String, IpAddr)> {
        self.services.iter().find_map(|(service, known)| {
            let mut backends = known.backends.iter();
            let (address, _) = backends.find(|(_, one)| **one == id)?;
            Some((service.clone(), *address))
        })
    }

    /// Backends that are numbered but not configured, with their service if
    /// that is.
    pub fn departed(&self, config: &Config) -> Vec<u16> {
        let configured: HashMap<&str, &Service> =
            config.services.iter().map(|service| (service.name.as_str(), service)).collect();
        let of_services = self.services.iter().flat_map(|(name, known)| {
            let backends = configured.get(name.as_str()).map_or(&[][..], |one| &one.backends);
            known.without(backends)
        });
        of_services.chain(self.leaving.iter().copied()).collect()
    }

    /// The maps are new: no slot and no flow entry names anything.
    pub fn begin_anew(&mut self, config: &Config) {
        let departed: BTreeSet<u16> = self.departed(config).into_iter().collect();
        self.leaving.clear();
        self.services.retain(|name, _| config.services.iter().any(|s| s.name == *name));
        for service in self.services.values_mut() {
            service.old_table = None;
            service.table = None;
            service.former = FormerTraffic::default();
            service.backends.retain(|_, id| !departed.contains(id));
        }
        self.vips.retain(|vip, _| config.services.iter().any(|s| s.vips.contains(vip)));
    }

    fn backend_ids(&self) -> impl Iterator<Item = u16> {
        let of_services = self.services.values().flat_map(|service| service.backends.values());
        of_services.chain(&self.leaving).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config(text: &str) -> Config {
        config::parse("lb.yaml", text).unwrap().config
    }

    fn service(name: &str, vip: u8, backends: &[u8]) -> String {
        let backends: Vec<_> =
            backends.iter().map(|b| format!("{{name: b{b}, address: 10.0.0.{b}}}")).collect();
        format!(
            "- {{name: {name}, vip: 192.0.2.{vip}, port: 80, protocol: tcp, mode: dsr, backends: \
             [{}]}}\n",
            backends.join(", ")
        )
    }

    fn services(all: &[String]) -> Config {
        config(&format!("interfaces: [eth0]\nservices:\n{}", all.concat()))
    }

    fn backend(identity: &Identity, service: &str, last: u8) -> Option<u16> {
        identity.services[service].backends.get(&IpAddr::from([10, 0, 0, last])).copied()
    }

    #[test]
    fn numbers_stay_whatever_comes_and_goes_around_them() {
        let mut identity = Identity::new([1, 2]);
        identity.admit(&services(&[service("a", 1, &[1, 2]), service("b", 2, &[1])]), []).unwrap();
        let b = identity.services["b"].clone();
        let later = services(&[service("b", 2, &[3, 1]), service("c", 3, &[1])]);
        identity.dismiss("a");
        identity.admit(&later, []).unwrap();
        assert_eq!(identity.services["b"].id, b.id);
        assert_eq!(backend(&identity, "b", 1), Some(b.backends[&IpAddr::from([10, 0, 0, 1])]));
        assert_eq!(identity.services["c"].id, 0, "the number of a is free");
    }

    #[test]
    fn a_departed_backend_keeps_its_number_until_it_is_released() {
        let mut identity = Identity::new([1, 2]);
        identity.admit(&services(&[service("a", 1, &[1, 2])]), []).unwrap();
        let gone = backend(&identity, "a", 2).unwrap();
        let smaller = services(&[service("a", 1, &[1])]);
        assert_eq!(identity.departed(&smaller), [gone]);
        identity.admit(&services(&[service("a", 1, &[1, 3])]), []).unwrap();
        assert_ne!(backend(&identity, "a", 3), Some(gone));
        identity.release(gone);
        assert_eq!(backend(&identity, "a", 2), None);
        identity.admit(&services(&[service("a", 1, &[1, 3, 4])]), []).unwrap();
        assert_eq!(backend(&identity, "a", 4), Some(gone));
    }

    #[test]
    fn one_that_took_the_place_of_another_in_the_file_does_not_hide_it() {
        let mut identity = Identity::new([1, 2]);
        identity.admit(&services(&[service("a", 1, &[1, 2])]), []).unwrap();
        let gone = backend(&identity, "a", 2).unwrap();
        assert_eq!(identity.departed(&services(&[service("a", 1, &[1, 3])])), [gone]);
    }

    #[test]
    fn backends_of_a_dismissed_service_are_departed() {
        let mut identity = Identity::new([1, 2]);
        identity.admit(&services(&[service("a", 1, &[1]), service("b", 2, &[2])]), []).unwrap();
        let gone = backend(&identity, "a", 1).unwrap();
        identity.dismiss("a");
        assert_eq!(identity.departed(&services(&[service("b", 2, &[2])])), [gone]);
        identity.begin_anew(&services(&[service("b", 2, &[2])]));
        assert!(identity.leaving.is_empty());
    }
}
