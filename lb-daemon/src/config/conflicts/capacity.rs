//! Whether everything fits the maps.

use std::collections::HashSet;

use lb_common::abi;

use super::super::{
    model::{Config, Ports, Service},
    raw::File,
    report::Report,
};

/// Reports what does not fit. True: the (VIP, protocol, port) triples are few
/// enough to be listed.
pub(super) fn fits(file: &File, config: &Config, report: &mut Report) -> bool {
    let vips: HashSet<_> = config.services.iter().flat_map(|service| &service.vips).collect();
    let triples = config.services.iter().map(triples).fold(0, u64::saturating_add);
    let backends: usize = config.services.iter().map(most_backends).sum();
    at_most(abi::MAX_SERVICES, config.services.len() as u64, "services", file, report);
    at_most(abi::MAX_VIPS, vips.len() as u64, "VIPs", file, report);
    at_most(abi::MAX_BACKENDS, backends as u64, "backends of all services", file, report);
    slots(file, config, report);
    at_most(abi::MAX_PORTS, triples, "combinations of VIP, port and protocol", file, report)
}

/// With those that may be found.
fn most_backends(service: &Service) -> usize {
    service.backends.len().max(service.discovery.max_backends as usize)
}

fn triples(service: &Service) -> u64 {
    let ports = match &service.ports {
        Ports::Any => 1,
        Ports::List(ports) => ports.len(),
    };
    [service.vips.len(), service.protocols.len(), ports]
        .into_iter()
        .fold(1, |product, count| product.saturating_mul(count as u64))
}

fn at_most(most: u32, number: u64, what: &str, file: &File, report: &mut Report) -> bool {
    let fits = number <= u64::from(most);
    if !fits {
        let message = format!("{number} {what} are more than the {most} that fit");
        report.problem(
            file.services_at.unwrap_or(file.at),
            message,
            "split the services between balancers",
        );
    }
    fits
}

fn slots(file: &File, config: &Config, report: &mut Report) {
    let needed: u64 = config.services.iter().map(|service| u64::from(service.table_size)).sum();
    let space = config.limits.slot_space;
    if needed > u64::from(space) {
        let at = file.limits.slot_space.right().map(|space| space.at);
        let message =
            format!("the tables of all services need {needed} slots, limits.slot_space is {space}");
        let help = format!("set limits.slot_space to {needed} or more, or a smaller table_size");
        report.problem(at.or(file.services_at).unwrap_or(file.at), message, help);
    }
}
