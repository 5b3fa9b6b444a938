//! Whether services that translate can work on a host: with its ports, its
//! addresses and its routes. Pure; [`HostFacts::of_this_host`] reads the facts.

mod facts;
mod own_host;
mod ports;

use std::{collections::BTreeMap, net::IpAddr};

pub use facts::{HostFacts, Network};

use super::{
    conflicts::pools::{self, Pool, Source},
    model::Config,
    raw::File,
    report::{Report, Severity},
    yaml::At,
};
use crate::netlink::Way;

/// How a file is compared with a host.
#[derive(Clone, Copy)]
pub struct Comparison<'a> {
    /// Called with a configuration that is good by itself.
    pub facts: &'a dyn Fn(&Config) -> HostFacts,
    /// What does not go together is a problem, or only a warning.
    pub severity: Severity,
}

impl Comparison<'static> {
    pub const fn with_this_host(severity: Severity) -> Self {
        Self { facts: &HostFacts::of_this_host, severity }
    }
}

/// Says what of `config`, which `file` became, cannot work on the host.
pub(super) fn compare(file: &File, config: &Config, comparison: &Comparison, report: &mut Report) {
    let facts = (comparison.facts)(config);
    if config.services.iter().all(|service| service.mode.snat().is_none()) {
        // There is little to ask the host, so that it need not be the right one.
        if let Some(network) = facts.network.as_ref().filter(|one| is_the_one(config, one)) {
            own_host::vips(file, config, network, report);
        }
        return;
    }
    for what in &facts.unknown {
        let message = format!("not compared with this host: {what}");
        report.warning(file.at, message, "run check where the balancer runs");
    }
    report.treat(comparison.severity);
    let mut subject = Subject { file, config, facts: &facts, report };
    let Some(network) = &facts.network else {
        subject.pools(&pools::pools(file, config, pools::unnamed));
        return;
    };
    if !is_the_one(config, network) {
        let help = "run check where the balancer runs, or name interfaces that are there";
        let message = "none of these interfaces is here: not compared with this host";
        let at = file.interfaces.first().map_or(file.at, |first| first.at);
        subject.report.warning(at, message, help);
        return;
    }
    let pools = pools::pools(file, config, |backend| own_source(backend, network));
    subject.pools(&pools);
    subject.own_addresses(&pools, network);
    subject.interfaces(network);
    own_host::vips(file, config, network, report);
}

/// Whether the file may be meant for the host.
fn is_the_one(config: &Config, network: &Network) -> bool {
    config.interfaces.iter().any(|one| network.interfaces.contains(&one.name))
}

/// The source of the host's packets to a backend.
fn own_source(backend: IpAddr, network: &Network) -> Option<Source> {
    match network.ways.get(&backend)? {
        Way::Out { source, .. } => source.map(Source::Address),
        // What goes to a backend here keeps its client's address.
        Way::Local | Way::Refused | Way::Nowhere => None,
    }
}

struct Subject<'a, 't> {
    file: &'a File<'t>,
    config: &'a Config,
    facts: &'a HostFacts,
    report: &'a mut Report,
}

impl Subject<'_, '_> {
    /// Pools against each other, VIPs and the host's own connections.
    fn pools(&mut self, pools: &[Pool]) {
        pools::overlaps(pools, self.report);
        pools::vips(pools, self.file, self.config, self.report);
        for pool in pools.iter().filter(|pool| is_own(pool.source, self.facts)) {
            self.ephemeral(pool);
        }
    }

    fn ephemeral(&mut self, pool: &Pool) {
        let (Some(_), Some(range)) = (ports::shared(pool.ports, self.facts), self.facts.ephemeral)
        else {
            return;
        };
        let message = format!(
            "ports {} overlap those of this host's own connections, probes among them \
             (net.ipv4.ip_local_port_range is {range})",
            pool.ports
        );
        let reserve = ports::reserve(pool.ports, self.facts);
        let help = match ports::free(self.facts) {
            Some(free) => format!("set snat.ports to {free}, or run: {reserve}"),
            None => format!("run: {reserve}"),
        };
        self.report.problem(pool.at, message, help);
    }

    /// Replies to an address that is not this host's go elsewhere.
    fn own_addresses(&mut self, pools: &[Pool], network: &Network) {
        let vips = self.config.vips();
        for pool in pools {
            let Source::Address(address) = pool.source else { continue };
            let interface = match network.ways.get(&address) {
                Some(Way::Local | Way::Refused) | None => continue,
                // The router sends what is for it here.
                _ if vips.contains_key(&address) => continue,
                Some(Way::Out { interface, .. }) => interface,
                Some(Way::Nowhere) => &self.config.interfaces[0].name,
            };
            let message = format!(
                "{address} is neither an address of this host nor in a prefix routed to it: \
                 replies to it would not come back"
            );
            let length = if address.is_ipv4() { 32 } else { 128 };
            let help = format!(
                "run: ip address add {address}/{length} dev {interface}, or: ip route add local \
                 {address} dev lo"
            );
            self.report.problem(pool.source_at, message, help);
        }
    }

    /// Replies are translated where they come in, if the program is there.
    fn interfaces(&mut self, network: &Network) {
        // By interface: the first backend behind it, and how many more.
        let mut unlisted: BTreeMap<&str, (At, usize)> = BTreeMap::new();
        for (typed, service) in self.file.services.iter().zip(&self.config.services) {
            if service.mode.snat().is_none() {
                continue;
            }
            for address in typed.backends.iter().filter_map(|backend| backend.address.as_ref()) {
                if let Some(Way::Out { interface, seen_on, .. }) = network.ways.get(&address.value)
                    && !self.config.interfaces.iter().any(|one| seen_on.contains(&one.name))
                {
                    unlisted
                        .entry(interface)
                        .and_modify(|(_, more)| *more += 1)
                        .or_insert((address.at, 0));
                }
            }
        }
        for (interface, (at, more)) in unlisted {
            let whose = match more {
                0 => "its replies".to_owned(),
                1 => "its replies, and those of another backend,".to_owned(),
                _ => format!("its replies, and those of {more} other backends,"),
            };
            let message =
                format!("{whose} come in on {interface}, which is not among the interfaces");
            self.report.problem(at, message, format!("add {interface} to interfaces"));
        }
    }
}

/// Whether the host's own connections have this source too. Ways are asked
/// for all sources in the file; what has none is a source the host chose.
fn is_own(source: Source, facts: &HostFacts) -> bool {
    match (source, &facts.network) {
        (Source::HostV4 | Source::HostV6, _) => true,
        (Source::Address(address), Some(network)) => !matches!(
            network.ways.get(&address),
            Some(Way::Out { .. } | Way::Refused | Way::Nowhere)
        ),
        (Source::Address(_), None) => false,
    }
}
