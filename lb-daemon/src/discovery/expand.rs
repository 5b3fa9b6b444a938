//! From what the file says and what was found to the configuration that the
//! control loop is given: pure, and the same on every host that has the same
//! answers, whatever their order.

use std::{collections::HashSet, net::IpAddr};

use super::{
    answers::Answers,
    round::{Endpoint, Target},
};
use crate::config::{
    Backend, Config, DEFAULT_WEIGHT, Fit, NameSource, Origin, Ports, Service, WEIGHT_MAX,
};

#[derive(Clone, PartialEq, Debug)]
pub struct Expanded {
    pub config: Config,
    /// Backends that were found and cannot be taken, one sentence each.
    pub left_out: Vec<String>,
}

/// `config` is as in the file: without backends that were found.
pub fn expand(config: &Config, answers: &Answers) -> Expanded {
    let fit = Fit::new(config);
    let mut left_out = Vec::new();
    let mut expanded = config.clone();
    for (service, target) in config.services.iter().zip(&mut expanded.services) {
        if service.discovery.is_used() {
            let found = found(service, answers);
            let mut pool = Pool::new(service);
            for backend in found {
                pool.add(backend, &fit);
            }
            target.backends = pool.backends;
            left_out.extend(pool.refused.into_iter().map(|why| left(service, &why)));
            if pool.too_many > 0 {
                let most = service.discovery.max_backends;
                let why = format!("{} backends beyond max_backends: {most}", pool.too_many);
                left_out.push(left(service, &why));
            }
        }
    }
    Expanded { config: expanded, left_out }
}

fn left(service: &Service, why: &str) -> String {
    format!("service {}: left out: {why}", service.name)
}

/// Everything that was found, in the order in which it is preferred.
fn found(service: &Service, answers: &Answers) -> Vec<Backend> {
    let file = answers.files.get(&service.name).filter(|_| service.discovery.file.is_some());
    let mut backends = file.map(|answer| answer.backends.clone()).unwrap_or_default();
    for source in &service.discovery.names {
        if let Some(answer) = answers.names.get(&source.question) {
            backends.extend(of_name(service, source, &answer.endpoints));
        }
    }
    backends
}

fn of_name(service: &Service, source: &NameSource, endpoints: &[Endpoint]) -> Vec<Backend> {
    let largest = |backup: bool| {
        let alike = endpoints.iter().filter(|one| one.target.backup == backup);
        alike.filter_map(|one| one.target.weight).max().unwrap_or(0)
    };
    let largest = [largest(false), largest(true)];
    let mut backends: Vec<Backend> = endpoints
        .iter()
        .map(|Endpoint { address, target }| Backend {
            name: format!("{}@{address}", source.name),
            address: *address,
            weight: target.weight.map_or(source.weight, |weight| {
                scaled(weight, largest[usize::from(target.backup)])
            }),
            port: port(service, source, target),
            backup: source.backup || target.backup,
            state: source.state,
            drain: source.drain,
            origin: Origin::Name(source.question.clone()),
        })
        .collect();
    // Whoever is of both kinds is no backup.
    backends.sort_by_key(|backend| (backend.backup, backend.address, backend.port));
    backends
}

/// Ports of records say nothing where ports cannot change, if they name one of
/// the service's.
fn port(service: &Service, source: &NameSource, target: &Target) -> Option<u16> {
    let said = target.port?;
    let kept = match &service.ports {
        Ports::Any => true,
        Ports::List(ports) => service.mode.snat().is_none() && ports.contains(&said),
    };
    (!kept).then_some(said).or(source.port)
}

/// RFC 2782: all at 0 means no preference; one at 0 among others gets little.
fn scaled(weight: u16, largest: u16) -> u16 {
    if largest == 0 {
        return u16::try_from(DEFAULT_WEIGHT).unwrap_or(1);
    }
    let largest = u32::from(largest).max(WEIGHT_MAX);
    let scaled = u32::from(weight) * WEIGHT_MAX / largest;
    u16::try_from(scaled.max(1)).unwrap_or(u16::MAX)
}

struct Pool<'s> {
    service: &'s Service,
    backends: Vec<Backend>,
    names: HashSet<String>,
    addresses: HashSet<IpAddr>,
    refused: Vec<String>,
    too_many: usize,
}

impl<'s> Pool<'s> {
    fn new(service: &'s Service) -> Self {
        let backends = service.backends.clone();
        Self {
            service,
            names: backends.iter().map(|one| one.name.clone()).collect(),
            addresses: backends.iter().map(|one| one.address).collect(),
            backends,
            refused: Vec::new(),
            too_many: 0,
        }
    }

    fn add(&mut self, backend: Backend, fit: &Fit) {
        let Backend { name, address, origin, .. } = &backend;
        if let Some(why) = fit.refusal(self.service, &backend) {
            self.refused.push(format!("{name} ({origin}): {why}"));
        } else if self.addresses.contains(address) {
            // A backend is its address: listed ones win, then the first found.
            if self.other(&backend) {
                self.refused.push(format!("{name} ({origin}): another backend has its address"));
            }
        } else if self.names.contains(name) {
            self.refused.push(format!("{name} ({origin}): another backend has its name"));
        } else if self.backends.len() >= self.service.discovery.max_backends as usize {
            self.too_many += 1;
        } else {
            self.names.insert(name.clone());
            self.addresses.insert(*address);
            self.backends.push(backend);
        }
    }

    /// Whether the one that is there with this address differs in its port.
    fn other(&self, backend: &Backend) -> bool {
        let same = self.backends.iter().find(|one| one.address == backend.address);
        same.is_some_and(|one| one.port != backend.port)
    }
}

#[cfg(test)]
#[path = "expand_tests.rs"]
mod tests;
