//! What a service that translates addresses asks of its backends and tables.

use std::net::IpAddr;

use super::{
    super::{
        model::{Config, Mode, Ports, Service},
        raw::{self, File},
        report::Report,
        yaml::At,
    },
    label, part,
};

pub(super) fn find(file: &File, config: &Config, report: &mut Report) {
    for (typed, service) in file.services.iter().zip(&config.services) {
        if let Mode::Dnat(_) = service.mode {
            one_family(typed, report);
        }
        if service.mode.snat().is_some() {
            kept_ports(typed, service, report);
        }
    }
    tables(file, config, report);
}

/// Without another source, a packet keeps its family; and a service has one
/// table, from which every VIP's flows get their backends.
fn one_family(typed: &raw::Service, report: &mut Report) {
    let Some(first) = typed.vips.first() else { return };
    let family = family(first.value);
    let others = |address: &IpAddr| address.is_ipv4() != first.value.is_ipv4();
    if let Some(second) = typed.vips.iter().find(|vip| others(&vip.value)) {
        let message = format!("mode dnat keeps the family, and {} is {family}", first.value);
        let help = "make two services, one for each family, or set mode: nat";
        report.problem(second.at, message, help);
    }
    let backends = typed.backends.iter().filter_map(|backend| part(&backend.address));
    for (address, at) in backends.filter(|(address, _)| others(address)) {
        let message = format!(
            "mode dnat keeps the family: the VIP {} is {family}, {address} is not",
            first.value
        );
        report.problem(at, message, format!("give an {family} address, or set mode: nat"));
    }
}

pub(in super::super) const fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "IPv4" } else { "IPv6" }
}

fn kept_ports(typed: &raw::Service, service: &Service, report: &mut Report) {
    if service.ports != Ports::Any {
        return;
    }
    for at in typed.backends.iter().filter_map(|backend| backend.port.right()).map(|port| port.at) {
        let help = "remove it, or list the service's ports instead of any";
        report.problem(at, "with port any, backends get the port that the client used", help);
    }
}

/// A table that the file turns off must not be needed.
fn tables(file: &File, config: &Config, report: &mut Report) {
    let limits = &file.limits;
    for (name, given, wide, what) in [
        ("nat_flows", &limits.nat_flows, false, "IPv4 on both sides"),
        ("nat_flows_wide", &limits.nat_flows_wide, true, "not IPv4 on both sides"),
    ] {
        let Some(given) = given.right().filter(|given| given.value == 0) else { continue };
        let mut services = file.services.iter().zip(&config.services);
        let Some((typed, _)) = services.find(|(_, service)| service_has_flows(service, wide))
        else {
            continue;
        };
        let message = format!("service {} has translated flows that are {what}", label(typed));
        report.problem(given.at, message, format!("give {name} more than 0, or leave it out"));
    }
}

fn service_has_flows(service: &Service, wide: bool) -> bool {
    let backends: Vec<IpAddr> = service.backends.iter().map(|one| one.address).collect();
    service.mode.snat().is_some() && has_flows(&service.vips, &backends, wide)
}

/// Whether translated flows between them are of the wide table or the other.
pub(in super::super) fn has_flows(vips: &[IpAddr], backends: &[IpAddr], wide: bool) -> bool {
    let any = |addresses: &[IpAddr], is: fn(&IpAddr) -> bool| addresses.iter().any(is);
    if wide {
        any(vips, IpAddr::is_ipv6) || any(backends, IpAddr::is_ipv6)
    } else {
        any(vips, IpAddr::is_ipv4) && any(backends, IpAddr::is_ipv4)
    }
}

/// Where to show what is wrong with a service as a whole.
pub(super) fn place<'t>(typed: &raw::Service<'t>) -> At<'t> {
    typed.common.mode.right().map_or(typed.at, |mode| mode.at)
}
