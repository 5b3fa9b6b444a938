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
    state::{Drain, Overrides, Weight},
};

const MOST_WEIGHT: u16 = 1000;
/// Longer reasons are refused: all of them are kept.
const LONGEST_REASON: usize = 200;
/// 30 days, in seconds.
const LONGEST_DEADLINE: u64 = 30 * 86_400;

/// A backend of a service.
type Subject<'a> = (&'a Service, &'a Backend);

/// What is being decided: nothing of it holds before it is on disk.
struct Draft<'a> {
    change: &'a Change,
    decision: Decision,
    before: &'a Overrides,
    overrides: Overrides,
    answer: Reloaded,
    events: Vec<Event>,
}

impl Draft<'_> {
    fn order(&mut self, command: Command, subject: Subject<'_>) {
        match command {
            Command::Drain => self.drain(subject),
            Command::Undrain => self.undrain(subject),
            _ => self.weigh(subject),
        }
    }

    fn drain(&mut self, (service, backend): Subject<'_>) {
        let decision = self.decision.clone();
        let deadline = self.change.deadline.map(|after| decision.at + after);
        self.overrides.edit((&service.name, backend.address), |one| {
            one.drain = Some(Drain { decision, deadline });
        });
        let most = self.change.deadline.map(|after| format!(", for {after} s at most"));
        let most = most.unwrap_or_default();
        self.done(
            (service, backend),
            EventKind::Drain,
            None,
            &format!("is drained: no new connections, those that exist stay until they end{most}"),
        );
    }

    fn undrain(&mut self, (service, backend): Subject<'_>) {
        let place = (service.name.as_str(), backend.address);
        if self.before.drain(place).is_some() {
            self.overrides.edit(place, |one| one.drain = None);
            let what = "is not drained any more";
            self.done((service, backend), EventKind::Undrain, None, what);
            return;
        }
        let name = name((service, backend));
        self.answer.warnings.push(match backend.state {
            BackendOrder::Drain => format!(
                "{name} is drained by the file: take `state: drain` out of it, then `lb-daemon \
                 reload`"
            ),
            BackendOrder::Active => format!("{name} was not drained"),
        });
    }

    fn weigh(&mut self, (service, backend): Subject<'_>) {
        let decision = self.decision.clone();
        let weight = self.change.weight.map(|weight| Weight { decision, weight });
        self.overrides.edit((&service.name, backend.address), |one| one.weight = weight);
        let file = backend.weight;
        let (to, what) = match self.change.weight {
            Some(weight) => (weight.to_string(), format!("has weight {weight} (the file: {file})")),
            None => ("default".to_owned(), format!("has the file's weight of {file} again")),
        };
        self.done((service, backend), EventKind::Weight, Some(to), &what);
    }

    fn done(&mut self, subject: Subject<'_>, kind: EventKind, to: Option<String>, what: &str) {
        let (service, backend) = subject;
        self.answer.changes.push(format!("{} {what}", name(subject)));
        let event = Event::new(kind, self.change.reason.clone())
            .of_backend(&service.name, &backend.name, backend.address)
            .by(self.decision.by.as_ref());
        self.events.push(Event { to, time: self.decision.at as f64, ..event });
    }
}

fn name((service, backend): Subject<'_>) -> String {
    format!("{}/{} ({})", service.name, backend.name, backend.address)
}

/// What no command line of ours would send.
fn check(change: &Change) -> Result<(), Error> {
    let bad = |message: String| Err(Error::new(ErrorCode::BadRequest, message));
    if change.reason.len() > LONGEST_REASON || change.reason.contains(char::is_control) {
        return bad(format!("a reason is one line of at most {LONGEST_REASON} bytes"));
    }
    if change.weight.is_some_and(|weight| weight > MOST_WEIGHT) {
        return bad(format!("a weight is a whole number from 0 to {MOST_WEIGHT}"));
    }
    if change.deadline.is_some_and(|after| after > LONGEST_DEADLINE) {
        return bad(format!("a deadline is at most {LONGEST_DEADLINE} seconds away"));
    }
    Ok(())
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    pub fn order(
        &mut self,
        command: Command,
        change: &Change,
        by: &Who,
    ) -> Result<Reloaded, Error> {
        check(change)?;
        let config = self.config.clone();
        let decision =
            Decision { by: Some(by.clone()), at: self.view.time, reason: change.reason.clone() };
        let mut draft = Draft {
            change,
            decision,
            before: &self.overrides,
            overrides: self.overrides.clone(),
            answer: Reloaded::default(),
            events: Vec::new(),
        };
        for subject in subjects(&config, change)? {
            draft.order(command, subject);
        }
        let Draft { mut overrides, mut answer, events, .. } = draft;
        events.iter().for_each(|event| overrides.note(event.clone()));
        let failed =
            |error: &dyn std::fmt::Display| Error::new(ErrorCode::Failed, error.to_string());
        self.overrides_file.write(&overrides).map_err(|error| failed(&error))?;
        self.overrides = overrides;
        events.into_iter().for_each(|event| self.journal.announce(event));
        self.follow_drains();
        self.refresh().map_err(|error| failed(&error))?;
        answer.warnings.extend(self.nobody_left(&config, change));
        Ok(answer)
    }

    /// Somebody asked for what only root may.
    pub fn note_denial(&mut self, event: Event) {
        self.overrides.note(Event { time: self.view.time as f64, ..event.clone() });
        let written = self.overrides_file.write(&self.overrides);
        self.trouble("overrides", written.err().map(|error| error.to_string()));
        self.journal.announce(event);
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
