//! What the maps should say of services that translate: where their flows leave
//! from, and under which addresses answers arrive.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use lb_common::abi::{NatSettings, Pool, VipEntry};

use crate::{
    config::{Config, Mode, Service, Snat},
    dataplane::{Ticks, VipTable, words_of},
    nat::{Buckets, Census},
    netlink::NextHops,
};

/// Answers longer than this are checked against their way: no link takes less
/// (RFC 791 has hosts take that much).
const LEAST_MTU: u32 = 576;
/// How long a tuple rests after the client's FIN or a RST.
const CLIENT_REST: std::time::Duration = std::time::Duration::from_secs(10);

/// Addresses whose packets may be answers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// Destinations: translated flows leave from here.
    sources: BTreeSet<IpAddr>,
    /// Sources: backends that answer under their clients' addresses.
    backends: BTreeSet<IpAddr>,
    /// Destinations: probes through the data path leave from here.
    probes: BTreeSet<IpAddr>,
    /// What was among these, and flows may still need, by the version of the
    /// directory with which a pass must begin that is to find none.
    former_sources: BTreeMap<IpAddr, u64>,
    former_backends: BTreeMap<IpAddr, u64>,
}

impl Marks {
    pub fn of(config: &Config, next_hops: &NextHops) -> Self {
        let mut marks = Self::default();
        for service in &config.services {
            let Some(snat) = service.mode.snat() else { continue };
            marks.sources.extend(&snat.addresses);
            for backend in &service.backends {
                // This host's own answers come in nowhere.
                if matches!(next_hops.get(&backend.address), Some(Err(e)) if e.is_own_host()) {
                    continue;
                }
                if snat.toward(backend.address).next().is_none() {
                    let hop = next_hops.get(&backend.address).and_then(|hop| hop.as_ref().ok());
                    marks.sources.extend(hop.and_then(|hop| hop.source));
                }
                if matches!(service.mode, Mode::Dnat(_)) {
                    marks.backends.insert(backend.address);
                }
            }
        }
        marks
    }

    /// What an earlier daemon left in the table.
    pub fn found(vips: &VipTable, version: u64) -> Self {
        let mut marks = Self::default();
        for (address, meta) in vips.iter() {
            if VipEntry::is_nat_source(meta) {
                marks.former_sources.insert(address, version);
            }
            if VipEntry::is_dnat_backend(meta) {
                marks.former_backends.insert(address, version);
            }
        }
        marks
    }

    /// These, and what was among those before.
    pub fn after(mut self, before: &Self, version: u64) -> Self {
        let left = |before: &BTreeSet<IpAddr>, now: &BTreeSet<IpAddr>| {
            before.difference(now).map(|address| (*address, version)).collect::<Vec<_>>()
        };
        self.former_sources = before.former_sources.clone();
        self.former_sources.extend(left(&before.sources, &self.sources));
        self.former_sources.retain(|address, _| !self.sources.contains(address));
        self.former_backends = before.former_backends.clone();
        self.former_backends.extend(left(&before.backends, &self.backends));
        self.former_backends.retain(|address, _| !self.backends.contains(address));
        self
    }

    /// These, and addresses that probes leave from.
    pub fn with_probes(self, sources: &BTreeSet<IpAddr>) -> Self {
        Self { probes: sources.clone(), ..self }
    }

    /// Addresses that only flows from before need.
    pub fn former(&self) -> impl Iterator<Item = IpAddr> {
        self.former_sources.keys().chain(self.former_backends.keys()).copied()
    }

    /// Forgets those of them that no flow needs; returns whether there were any.
    pub fn forget(&mut self, census: &Census) -> bool {
        let before = self.former_sources.len() + self.former_backends.len();
        let needed =
            |address: &IpAddr, version: &mut u64| !census.has_no_address(*address, *version);
        self.former_sources.retain(needed);
        self.former_backends.retain(needed);
        self.former_sources.len() + self.former_backends.len() < before
    }

    /// All of them.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.sources
            .iter()
            .chain(&self.backends)
            .chain(&self.probes)
            .copied()
            .chain(self.former())
            .collect()
    }

    pub fn has_sources(&self) -> bool {
        !self.sources.is_empty() || !self.former_sources.is_empty()
    }

    pub fn has_backends(&self) -> bool {
        !self.backends.is_empty() || !self.former_backends.is_empty()
    }

    /// What the VIP table says of `address`, where it says `meta` without this.
    pub fn mark(&self, address: IpAddr, meta: Option<u64>) -> u64 {
        let mut meta = meta.unwrap_or(VipEntry::NOT_A_VIP);
        if self.sources.contains(&address) || self.former_sources.contains_key(&address) {
            meta = VipEntry::with_nat_source(meta);
        }
        if self.backends.contains(&address) || self.former_backends.contains_key(&address) {
            meta = VipEntry::with_dnat_backend(meta);
        }
        if self.probes.contains(&address) {
            meta = VipEntry::with_probe_source(meta);
        }
        meta
    }
}

pub fn has_nat(config: &Config) -> bool {
    config.services.iter().any(|service| service.mode.snat().is_some())
}

pub fn has_dnat(config: &Config) -> bool {
    config.services.iter().any(|service| matches!(service.mode, Mode::Dnat(_)))
}

/// How many flows to a backend the service's pool has sources for. In `dnat` the
/// clients' own addresses are the sources: 0.
pub fn sources(service: &Service, backend: IpAddr) -> u64 {
    let Mode::Nat(snat) = &service.mode else { return 0 };
    let addresses = snat.toward(backend).count().max(1) as u64;
    addresses * u64::from(snat.ports.count())
}

/// Addresses and ports of a service's flows.
pub fn pool(snat: &Snat) -> Pool {
    let mut pool = Pool {
        first_port: snat.ports.first,
        // All 65,536 ports are never given: the lowest are reserved.
        ports: u16::try_from(snat.ports.count()).unwrap_or(u16::MAX),
        ..Pool::default()
    };
    for address in &snat.addresses {
        let words = words_of(*address);
        if address.is_ipv4() {
            pool.v4[pool.v4_count as usize] = words[1];
            pool.v4_count += 1;
        } else {
            pool.v6[pool.v6_count as usize] = words;
            pool.v6_count += 1;
        }
    }
    pool
}

/// What holds for all translated flows. `key`: of the tables' hash.
pub fn settings(config: &Config, buckets: Buckets, key: [u64; 2], ticks: Ticks) -> NatSettings {
    let of = |duration| u32::try_from(ticks.of(duration)).unwrap_or(u32::MAX);
    let rests = config.services.iter().filter_map(|service| service.mode.snat());
    let rest = rests.map(|snat| snat.rest).max().unwrap_or(CLIENT_REST);
    NatSettings {
        key,
        narrow: buckets.narrow,
        wide: buckets.wide,
        narrow_new: buckets.narrow_new,
        wide_new: buckets.wide_new,
        rest_client: of(CLIENT_REST),
        rest_backend: of(rest),
        rest_udp: ticks.per_second(),
        guard: ticks.per_second(),
        mixed: u32::from(config.services.iter().any(mixes_families)),
        least_mtu: LEAST_MTU,
        log: u32::from(config.nat_log.is_some()),
        ..NatSettings::default()
    }
}

/// Whether IPv4 packets may belong to flows that are IPv6 on the other side.
fn mixes_families(service: &Service) -> bool {
    let backends = service.backends.iter().map(|backend| backend.address.is_ipv4());
    let mut ends = service.vips.iter().map(IpAddr::is_ipv4).chain(backends);
    let first = ends.next();
    service.mode.snat().is_some() && ends.any(|v4| Some(v4) != first)
}
