//! What is right by itself and wrong together.

mod capacity;
mod discovery;
mod policies;
pub(super) mod pools;
mod sources;
mod translation;
mod vips;

pub(super) use policies::may_have_backups;
pub(super) use translation::{family, has_flows};

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt::Display,
    hash::Hash,
};

use super::{
    model::Config,
    raw::{self, File, Given, Typed, TypedPorts},
    report::Report,
    yaml::At,
};

/// Reports everything in `file`, resolved as `config`, that contradicts something else.
pub(super) fn find(file: &File, config: &Config, report: &mut Report) {
    let interfaces = file.interfaces.iter().map(|interface| (&interface.value.name, interface.at));
    once(interfaces, "interface", report);
    once(file.services.iter().filter_map(|service| part(&service.name)), "service", report);
    for service in &file.services {
        within(service, report);
    }
    if capacity::fits(file, config, report) {
        vips::claims(file, config, report);
    }
    vips::unserved(file, config, report);
    vips::backends(file, report);
    discovery::find(file, config, report);
    policies::find(file, config, report);
    translation::find(file, config, report);
    sources::find(file, config, report);
    let pools = pools::pools(file, config, pools::unnamed);
    pools::overlaps(&pools, report);
    pools::vips(&pools, file, config, report);
}

/// What must not stand twice in one service.
fn within(service: &raw::Service, report: &mut Report) {
    once(list(&service.vips), "address", report);
    if let Some(Typed { value: TypedPorts::List(ports), .. }) = service.ports.right() {
        once(list(ports), "port", report);
    }
    if let Given::Right(protocols) = &service.common.protocols {
        once(list(&protocols.value), "protocol", report);
    }
    let listed = service.backends.iter().filter_map(|backend| part(&backend.name));
    let found = service.names.iter().filter_map(|entry| part(&entry.name));
    once(listed.chain(found), "backend", report);
    once(service.backends.iter().filter_map(|backend| part(&backend.address)), "address", report);
}

fn part<'a, 't, T>(typed: &'a Option<Typed<'t, T>>) -> Option<(&'a T, At<'t>)> {
    typed.as_ref().map(|typed| (&typed.value, typed.at))
}

fn list<'a, 't, T>(typed: &'a [Typed<'t, T>]) -> impl Iterator<Item = (&'a T, At<'t>)> {
    typed.iter().map(|typed| (&typed.value, typed.at))
}

/// Reports whatever comes a second time.
fn once<'t, T: Eq + Hash + Display>(
    items: impl Iterator<Item = (T, At<'t>)>,
    what: &str,
    report: &mut Report,
) {
    let mut seen = HashMap::new();
    for (item, at) in items {
        match seen.entry(item) {
            Entry::Vacant(place) => {
                place.insert(at);
            }
            Entry::Occupied(first) => {
                let place = first.get().position();
                let message = format!("{what} {} is already at {place}", first.key());
                report.problem(at, message, "remove or change one of the two");
            }
        }
    }
}

/// The service's name, or its place in the list where it has none.
fn label(service: &raw::Service) -> String {
    match &service.name {
        Some(name) => name.value.clone(),
        None => service.at.path(),
    }
}
