//! Who answers for which address.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
};

use super::{
    super::{
        identity::Frontend,
        model::{Config, Protocol, Unserved},
        raw::{self, File, Typed, TypedPorts},
        report::Report,
        yaml::At,
    },
    label,
};

/// Reports every (VIP, protocol, port) that two services claim. `any` takes
/// only what no other service names, so it meets nothing but another `any`.
pub(super) fn claims(file: &File, config: &Config, report: &mut Report) {
    let mut claimed: HashMap<Frontend, (usize, At)> = HashMap::new();
    for (index, (service, resolved)) in file.services.iter().zip(&config.services).enumerate() {
        for (port, at) in ports(service) {
            for (vip, protocol) in pairs(&resolved.vips, &resolved.protocols) {
                match claimed.entry(Frontend { vip, protocol, port }) {
                    Entry::Vacant(place) => {
                        place.insert((index, at));
                    }
                    Entry::Occupied(first) if first.get().0 == index => {}
                    Entry::Occupied(first) => {
                        let (owner, place) = *first.get();
                        report_claim(first.key(), &file.services[owner], place, at, report);
                    }
                }
            }
        }
    }
}

fn report_claim(frontend: &Frontend, owner: &raw::Service, place: At, at: At, report: &mut Report) {
    let Frontend { vip, protocol, port } = frontend;
    let port = port.map_or("any".to_owned(), |port| port.to_string());
    let message = format!(
        "{vip} {} port {port} already belongs to service {} ({})",
        protocol.name(),
        label(owner),
        place.position()
    );
    report.problem(at, message, "give one of the two another VIP, port or protocol");
}

fn ports<'t>(service: &raw::Service<'t>) -> Vec<(Option<u16>, At<'t>)> {
    match service.ports.right() {
        None => Vec::new(),
        Some(Typed { value: TypedPorts::Any, at }) => vec![(None, *at)],
        Some(Typed { value: TypedPorts::List(list), .. }) => {
            list.iter().map(|port| (Some(port.value), port.at)).collect()
        }
    }
}

fn pairs(vips: &[IpAddr], protocols: &[Protocol]) -> impl Iterator<Item = (IpAddr, Protocol)> {
    vips.iter().flat_map(move |&vip| protocols.iter().map(move |&protocol| (vip, protocol)))
}

/// Services of one VIP must not contradict each other about its other ports.
pub(super) fn unserved(file: &File, config: &Config, report: &mut Report) {
    let mut policies: HashMap<IpAddr, (Unserved, &raw::Service)> = HashMap::new();
    for (service, resolved) in file.services.iter().zip(&config.services) {
        if resolved.unserved == Unserved::Auto {
            continue;
        }
        for vip in &service.vips {
            let (policy, owner) = policies.entry(vip.value).or_insert((resolved.unserved, service));
            if *policy != resolved.unserved {
                let at = service.common.unserved.right().map_or(vip.at, |unserved| unserved.at);
                let message = format!(
                    "service {} ({}) has another unserved for {}",
                    label(owner),
                    owner.at.position(),
                    vip.value
                );
                report.problem(at, message, "give all services of a VIP the same");
            }
        }
    }
}

/// A backend at a VIP's address would send the balancer its own packets.
pub(super) fn backends(file: &File, report: &mut Report) {
    let vips: HashSet<IpAddr> =
        file.services.iter().flat_map(|service| &service.vips).map(|vip| vip.value).collect();
    let backends = file.services.iter().flat_map(|service| &service.backends);
    for address in backends.filter_map(|backend| backend.address.as_ref()) {
        if vips.contains(&address.value) {
            let message = format!("{} is a VIP of this balancer", address.value);
            report.problem(address.at, message, "give the backend's own address");
        }
    }
}
