//! What operators order beside the file: `drain`, `undrain`, `set-weight`. Each
//! order is on disk, with who gave it and why, before it takes effect.

use std::net::IpAddr;

use super::Controller;
use crate::{
    api::{
        protocol::{Command, Error, ErrorCode, Reloaded},
        types::{Change, Decision, Event, EventKind, Who},
    },
    config::{Backend, BackendOrder, Config, Service, nearest},
    dataplane::DataPlane,
    slots::SlotMemory,
    state::{Drain, Weight},
};

const MOST_WEIGHT: u16 = 1000;
/// Longer reasons are refused: all of them are kept.
const LONGEST_REASON: usize = 200;

/// A backend of a service.
type Subject<'a> = (&'a Service, &'a Backend);

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    pub fn order(
        &mut self,
        command: Command,
        change: &Change,
        by: &Who,
    ) -> Result<Reloaded, Error> {
        if change.reason.len() > LONGEST_REASON || change.reason.contains(char::is_control) {
            let message = format!("a reason is one line of at most {LONGEST_REASON} bytes");
            return Err(Error::new(ErrorCode::BadRequest, message));
        }
        let config = self.config.clone();
        let subjects = subjects(&config, change)?;
        let decision =
            Decision { by: Some(by.clone()), at: self.view.time, reason: change.reason.clone() };
        let mut next = self.overrides.clone();
        let mut answer = Reloaded::default();
        let mut events = Vec::new();
        for (service, backend) in subjects {
            let place = (service.name.as_str(), backend.address);
            let name = format!("{}/{} ({})", service.name, backend.name, backend.address);
            let event = |kind: EventKind, to: Option<String>| Event {
                to,
                time: self.view.time as f64,
                ..Event::new(kind, change.reason.clone())
                    .of_backend(&service.name, &backend.name, backend.address)
                    .by(Some(by))
            };
            match command {
                Command::Drain => {
                    let deadline = change.deadline.map(|after| self.view.time + after);
                    let decision = decision.clone();
                    next.edit(place, |one| one.drain = Some(Drain { decision, deadline }));
                    let end = change.deadline.map_or_else(
                        || "stay until they end".to_owned(),
                        |after| format!("stay until they end, for {after} s at most"),
                    );
                    answer.changes.push(format!(
                        "{name} is drained: no new connections, those that exist {end}"
                    ));
                    events.push(event(EventKind::Drain, None));
                }
                Command::Undrain => match self.overrides.drain(place) {
                    Some(_) => {
                        next.edit(place, |one| one.drain = None);
                        answer.changes.push(format!("{name} is not drained any more"));
                        events.push(event(EventKind::Undrain, None));
                    }
                    None if backend.state == BackendOrder::Drain => answer.warnings.push(format!(
                        "{name} is drained by the file: take `state: drain` out of it, then \
                         `lb-daemon reload`"
                    )),
                    None => answer.warnings.push(format!("{name} was not drained")),
                },
                _ => {
                    let weight =
                        change.weight.map(|weight| Weight { decision: decision.clone(), weight });
                    let to = change.weight.map_or("default".to_owned(), |one| one.to_string());
                    next.edit(place, |one| one.weight = weight);
                    let file = backend.weight;
                    answer.changes.push(match change.weight {
                        Some(weight) => format!("{name} has weight {weight} (the file: {file})"),
                        None => format!("{name} has the file's weight of {file} again"),
                    });
                    events.push(event(EventKind::Weight, Some(to)));
                }
            }
        }
        if change.weight.is_some_and(|weight| weight > MOST_WEIGHT) {
            let message = format!("a weight is a whole number from 0 to {MOST_WEIGHT}");
            return Err(Error::new(ErrorCode::BadRequest, message));
        }
        for event in &events {
            next.note(event.clone());
        }
        let failed =
            |error: &dyn std::fmt::Display| Error::new(ErrorCode::Failed, error.to_string());
        self.overrides_file.write(&next).map_err(|error| failed(&error))?;
        self.overrides = next;
        for event in events {
            self.journal.announce(event);
        }
        self.follow_drains();
        self.refresh().map_err(|error| failed(&error))?;
        answer.warnings.extend(self.nobody_left(&config, change));
        Ok(answer)
    }

    /// Services whose last backend was taken away.
    fn nobody_left(&self, config: &Config, change: &Change) -> Vec<String> {
        let touched = config.services.iter().filter(|service| match &change.service {
            Some(name) => service.name == *name,
            None => service.backends.iter().any(|one| is_at(one, change.host.as_deref())),
        });
        let takes = |service: &Service, one: &Backend| {
            self.drain_of(service, one).is_none() && self.weight_of(service, one) > 0
        };
        let empty = touched.filter(|one| !one.backends.iter().any(|backend| takes(one, backend)));
        let words = |one: &Service| {
            format!(
                "service {}: no backend is left for new connections: they are refused",
                one.name
            )
        };
        empty.map(words).collect()
    }
}

fn is_at(backend: &Backend, address: Option<&str>) -> bool {
    address.and_then(|text| text.parse::<IpAddr>().ok()) == Some(backend.address)
}

/// The backends that are meant.
fn subjects<'a>(config: &'a Config, change: &Change) -> Result<Vec<Subject<'a>>, Error> {
    let bad = |message: &str| Err(Error::new(ErrorCode::BadRequest, message));
    match (&change.service, &change.backend, &change.host) {
        (Some(service), Some(backend), None) => Ok(vec![one(config, service, backend)?]),
        (None, None, Some(host)) => at_host(config, host),
        _ => bad("give a service and one of its backends, or the address of a host"),
    }
}

fn one<'a>(config: &'a Config, service: &str, backend: &str) -> Result<Subject<'a>, Error> {
    let names: Vec<&str> = config.services.iter().map(|one| one.name.as_str()).collect();
    let Some(found) = config.services.iter().find(|one| one.name == service) else {
        return Err(unknown("service", service, &names));
    };
    let names: Vec<&str> = found.backends.iter().map(|one| one.name.as_str()).collect();
    let named = found.backends.iter().find(|one| one.name == backend);
    let named = named.or_else(|| found.backends.iter().find(|one| is_at(one, Some(backend))));
    match named {
        Some(backend) => Ok((found, backend)),
        None => Err(unknown(&format!("backend of {service}"), backend, &names)),
    }
}

fn at_host<'a>(config: &'a Config, host: &str) -> Result<Vec<Subject<'a>>, Error> {
    if host.parse::<IpAddr>().is_err() {
        let message = format!("{host:?} is not an address; a host is meant by its address");
        return Err(Error::new(ErrorCode::BadRequest, message));
    }
    let all = config.services.iter().flat_map(|one| one.backends.iter().map(move |b| (one, b)));
    let found: Vec<_> = all.clone().filter(|(_, backend)| is_at(backend, Some(host))).collect();
    if found.is_empty() {
        let mut addresses: Vec<_> = all.map(|(_, backend)| backend.address.to_string()).collect();
        addresses.sort();
        addresses.dedup();
        let known: Vec<&str> = addresses.iter().map(String::as_str).collect();
        return Err(unknown("backend at", host, &known));
    }
    Ok(found)
}

fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    const SHOWN: usize = 20;
    let meant =
        nearest(name, known).map_or(String::new(), |one| format!(", did you mean {one:?}?"));
    let more = known.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let list = known[..known.len().min(SHOWN)].join(", ");
    let message = format!("there is no {what} {name:?}{meant}; there are: {list}{more}");
    Error::new(ErrorCode::NotFound, message)
}
