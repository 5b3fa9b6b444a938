//! Backends whose address is the host's own: what they need of their VIPs.

use std::net::IpAddr;

use super::{
    super::{model::Service, raw::File, report::Report, yaml::At},
    Network,
};
use crate::{config::Config, netlink::Way};

/// Says which VIPs do not go with a backend on this host.
pub(super) fn vips(file: &File, config: &Config, network: &Network, report: &mut Report) {
    for (typed, service) in file.services.iter().zip(&config.services) {
        for address in typed.backends.iter().filter_map(|backend| backend.address.as_ref()) {
            if network.ways.get(&address.value) != Some(&Way::Local) {
                continue;
            }
            if service.mode.snat().is_some() {
                families(service, (address.at, address.value), report);
            } else {
                ownership(service, (address.at, address.value), network, report);
            }
        }
    }
}

/// The backend sees its clients' own addresses.
fn families(service: &Service, (at, address): (At, IpAddr), report: &mut Report) {
    if let Some(vip) = service.vips.iter().find(|vip| vip.is_ipv4() != address.is_ipv4()) {
        let family = if vip.is_ipv4() { "IPv4" } else { "IPv6" };
        let message = format!(
            "{address} is an address of this host, which cannot answer clients of the VIP {vip}: \
             between families only backends on other hosts are reached"
        );
        report.problem(at, message, format!("give {vip} a service with {family} backends"));
    }
}

/// The server listens on the VIP. A warning: the VIP may come with the role.
fn ownership(
    service: &Service,
    (at, address): (At, IpAddr),
    network: &Network,
    report: &mut Report,
) {
    let foreign = |vip: &&IpAddr| network.ways.get(*vip).is_some_and(|way| *way != Way::Local);
    if let Some(vip) = service.vips.iter().find(foreign) {
        let message = format!(
            "{address} is an address of this host, but the VIP {vip} is not: this host's kernel \
             does not take the packets that it gets as a backend"
        );
        let length = if vip.is_ipv4() { 32 } else { 128 };
        report.warning(at, message, format!("run: ip address add {vip}/{length} dev lo"));
    }
}
