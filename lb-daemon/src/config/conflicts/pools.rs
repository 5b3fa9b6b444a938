//! Pools of source addresses and ports: apart from each other and from VIPs.
//!
//! A translated flow claims (source address and port, backend) in one table,
//! so services with the same addresses and the same range share them. Ranges
//! that overlap without being the same would use up each other's ports where
//! no figure shows it, and are refused. A packet to a port that is both a
//! VIP's and a pool's is not known for a client's or a backend's.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    super::{
        model::{Config, Family, PortRange, Protocol, Service},
        raw::{self, File},
        report::Report,
        yaml::At,
    },
    label,
    sources::addresses_of,
    translation::place,
};

/// The ports of one source address, as one service takes them.
pub(in super::super) struct Pool<'a, 't> {
    pub source: Source,
    pub ports: PortRange,
    pub service: &'a raw::Service<'t>,
    pub protocols: &'a [Protocol],
    /// Where the ports stand, else the source.
    pub at: At<'t>,
    pub source_at: At<'t>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(in super::super) enum Source {
    Address(IpAddr),
    /// Whatever address the host has toward an IPv4 backend.
    HostV4,
    HostV6,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::HostV4 => f.write_str("the host's own IPv4 address"),
            Self::HostV6 => f.write_str("the host's own IPv6 address"),
        }
    }
}

/// All pools of the file. `own` tells the sources of packets to a backend
/// whose service gives none.
pub(in super::super) fn pools<'a, 't>(
    file: &'a File<'t>,
    config: &'a Config,
    own: impl Fn(IpAddr) -> Option<Source>,
) -> Vec<Pool<'a, 't>> {
    let mut pools = Vec::new();
    for (service, resolved) in file.services.iter().zip(&config.services) {
        let Some(snat) = resolved.mode.snat() else { continue };
        let sources: Vec<(Source, At)> = match addresses_of(service, file) {
            Some(list) => {
                list.value.iter().map(|one| (Source::Address(one.value), one.at)).collect()
            }
            None => {
                let mut sources: Vec<(Source, At)> = Vec::new();
                for source in possible(resolved).filter_map(&own) {
                    if !sources.iter().any(|(known, _)| *known == source) {
                        sources.push((source, place(service)));
                    }
                }
                sources
            }
        };
        let ports_at = ports_place(service, file);
        pools.extend(sources.into_iter().map(|(source, at)| Pool {
            source,
            ports: snat.ports,
            service,
            protocols: &resolved.protocols,
            at: ports_at.unwrap_or(at),
            source_at: at,
        }));
    }
    pools
}

/// Addresses of backends, and one of each family that may be found.
fn possible(service: &Service) -> impl Iterator<Item = IpAddr> {
    let listed = service.backends.iter().map(|backend| backend.address);
    let questions = || service.discovery.names.iter().map(|source| source.question.family);
    let file = service.discovery.file.is_some();
    let v4 = file || questions().any(Family::has_v4);
    let v6 = file || questions().any(Family::has_v6);
    let v4 = v4.then_some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let v6 = v6.then_some(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    listed.chain(v4).chain(v6)
}

/// Where the ports stand that hold for a service, if anywhere.
fn ports_place<'t>(service: &raw::Service<'t>, file: &File<'t>) -> Option<At<'t>> {
    let own = &service.common.snat.ports;
    own.or(&file.defaults.snat.ports).or(&file.snat.ports).right().map(|ports| ports.at)
}

/// The host's own, as far as the file alone tells.
pub(in super::super) fn unnamed(backend: IpAddr) -> Option<Source> {
    Some(if backend.is_ipv4() { Source::HostV4 } else { Source::HostV6 })
}

pub(in super::super) fn overlaps(pools: &[Pool], report: &mut Report) {
    // By source: ranges apart from each other, by their first port.
    let mut known: HashMap<Source, BTreeMap<u16, &Pool>> = HashMap::new();
    for pool in pools {
        let ranges = known.entry(pool.source).or_default();
        let below = ranges.range(..=pool.ports.last).next_back().map(|(_, other)| *other);
        match below.filter(|other| other.ports.overlaps(pool.ports)) {
            None => {
                ranges.insert(pool.ports.first, pool);
            }
            Some(other) if other.ports == pool.ports => {}
            Some(other) => report_overlap(pool, other, report),
        }
    }
}

fn report_overlap(pool: &Pool, other: &Pool, report: &mut Report) {
    let message = format!(
        "service {}: ports {} of {} overlap {} of service {} ({})",
        label(pool.service),
        pool.ports,
        pool.source,
        other.ports,
        label(other.service),
        other.at.position()
    );
    report.problem(pool.at, message, "give both the same range, which they share, or ranges apart");
}

/// Ports that services have at one VIP.
#[derive(Default)]
struct Served<'a, 't> {
    ports: BTreeMap<(Protocol, u16), &'a raw::Service<'t>>,
    any: BTreeMap<Protocol, &'a raw::Service<'t>>,
}

pub(in super::super) fn vips(pools: &[Pool], file: &File, config: &Config, report: &mut Report) {
    if pools.is_empty() {
        return;
    }
    let mut served: HashMap<IpAddr, Served> = HashMap::new();
    for (service, resolved) in file.services.iter().zip(&config.services) {
        for frontend in resolved.frontends() {
            let vip = served.entry(frontend.vip).or_default();
            match frontend.port {
                Some(port) => vip.ports.insert((frontend.protocol, port), service),
                None => vip.any.insert(frontend.protocol, service),
            };
        }
    }
    for pool in pools {
        if let Source::Address(address) = pool.source
            && let Some(served) = served.get(&address)
        {
            meets(pool, served, report);
        }
    }
}

fn meets(pool: &Pool, served: &Served, report: &mut Report) {
    let PortRange { first, last } = pool.ports;
    let (name, source) = (label(pool.service), pool.source);
    for protocol in pool.protocols {
        if let Some(owner) = served.any.get(protocol) {
            let message = format!(
                "service {name}: source {source} is a VIP with every {protocol} port in service {} ({})",
                label(owner),
                owner.at.position()
            );
            report.problem(pool.at, message, "give another address in snat.addresses");
        } else if let Some(((_, port), owner)) =
            served.ports.range((*protocol, first)..=(*protocol, last)).next()
        {
            let message = format!(
                "service {name}: ports {} of {source} hold the VIP's {protocol} port {port} of service {} ({})",
                pool.ports,
                label(owner),
                owner.at.position()
            );
            report.problem(pool.at, message, "give a range without it, or another address");
        }
    }
}
