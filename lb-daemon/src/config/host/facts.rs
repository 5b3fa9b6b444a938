//! What a file is compared with, and the thin edge that reads it. All of it
//! can be read without privileges.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    net::IpAddr,
};

use super::super::model::{Config, PortRange};
use crate::netlink::{Survey, Way};

pub(super) const EPHEMERAL: &str = "/proc/sys/net/ipv4/ip_local_port_range";
pub(super) const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";

/// What is known of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostFacts {
    /// Ports that the kernel gives the host's own connections (for IPv6 too).
    pub ephemeral: Option<PortRange>,
    /// Ports among them that it does not give.
    pub reserved: Vec<PortRange>,
    /// `None`: netlink could not be asked.
    pub network: Option<Network>,
    /// What could not be read, and why.
    pub unknown: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Network {
    pub interfaces: BTreeSet<String>,
    /// To all backends, to source addresses of services that translate, and to
    /// VIPs whose packets go to a backend on this host as they are.
    pub ways: BTreeMap<IpAddr, Way>,
}

fn ask(survey: &mut Survey, config: &Config) -> io::Result<BTreeMap<IpAddr, Way>> {
    let mut ways = BTreeMap::new();
    let mut ask = |address: &IpAddr| {
        let way = match ways.get(address) {
            Some(way) => Way::clone(way),
            None => survey.way(*address)?,
        };
        let is_local = way == Way::Local;
        ways.insert(*address, way);
        Ok::<_, io::Error>(is_local)
    };
    for service in &config.services {
        let mut has_local = false;
        for backend in &service.backends {
            has_local |= ask(&backend.address)?;
        }
        let others = match service.mode.snat() {
            Some(snat) => &snat.addresses[..],
            None if has_local => &service.vips[..],
            None => &[],
        };
        for address in others {
            ask(address)?;
        }
    }
    Ok(ways)
}

impl HostFacts {
    /// Of the host, and of the network namespace, that this runs on.
    pub fn of_this_host(config: &Config) -> Self {
        let mut facts = Self::default();
        let range = read(EPHEMERAL, ephemeral);
        facts.ephemeral = facts.known(range);
        let reserved = read(RESERVED, reserved);
        facts.reserved = facts.known(reserved).unwrap_or_default();
        let network = network(config)
            .map_err(|error| format!("interfaces and routes cannot be asked for: {error}"));
        facts.network = facts.known(network);
        facts
    }

    fn known<T>(&mut self, fact: Result<T, String>) -> Option<T> {
        fact.map_err(|why| self.unknown.push(why)).ok()
    }
}

fn read<T>(path: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    parse(&text).ok_or_else(|| format!("{path} has an unknown form: {}", text.trim()))
}

/// Such as `32768\t60999`.
fn ephemeral(text: &str) -> Option<PortRange> {
    let mut ports = text.split_whitespace().map(|port| port.parse().ok());
    Some(PortRange { first: ports.next()??, last: ports.next()?? })
}

/// Such as `8080,9000-9010`; empty for none.
fn reserved(text: &str) -> Option<Vec<PortRange>> {
    let parts = text.trim().split(',').filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(PortRange { first: first.parse().ok()?, last: last.parse().ok()? })
        })
        .collect()
}

fn network(config: &Config) -> io::Result<Network> {
    let mut survey = Survey::begin()?;
    let interfaces = survey.links().iter().map(|link| link.name.clone()).collect();
    let ways = ask(&mut survey, config)?;
    Ok(Network { interfaces, ways })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let range = |first, last| PortRange { first, last };
        assert_eq!(ephemeral("32768\t60999\n"), Some(range(32768, 60999)));
        assert_eq!(ephemeral("32768"), None);
        assert_eq!(reserved("\n"), Some(vec![]));
        assert_eq!(reserved("80,9000-9010\n"), Some(vec![range(80, 80), range(9000, 9010)]));
        assert_eq!(reserved("80,x\n"), None);
    }
}
