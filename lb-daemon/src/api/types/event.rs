//! Something that happened: to a backend, an interface, the configuration or
//! the daemon, with its reason, its time, and who did it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The user at the other end of the control socket, as the kernel names it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Who {
    pub uid: u32,
    /// `null`: no user has this number here.
    pub user: Option<String>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "{user} (uid {})", self.uid),
            None => write!(f, "uid {}", self.uid),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A backend is in another state.
    Backend,
    /// The program came onto an interface, or cannot be on it.
    Interface,
    /// A configuration was put into force.
    Reload,
    /// A file was not, and why.
    ReloadRefused,
    /// A name or a file of backends led to another pool.
    Discovery,
    Drain,
    Undrain,
    Weight,
    /// Somebody asked for what only root may, and was refused.
    Denied,
    /// The daemon runs: with new maps, or with those that it found.
    Started,
    Stopping,
    /// Something that an operator should look at has come up, or gone.
    Warning,
    WarningCleared,
    /// A kind of a newer daemon.
    #[default]
    #[serde(other)]
    Unknown,
}

impl EventKind {
    pub const ALL: [Self; 13] = [
        Self::Backend,
        Self::Interface,
        Self::Reload,
        Self::ReloadRefused,
        Self::Discovery,
        Self::Drain,
        Self::Undrain,
        Self::Weight,
        Self::Denied,
        Self::Started,
        Self::Stopping,
        Self::Warning,
        Self::WarningCleared,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Interface => "interface",
            Self::Reload => "reload",
            Self::ReloadRefused => "reload_refused",
            Self::Discovery => "discovery",
            Self::Drain => "drain",
            Self::Undrain => "undrain",
            Self::Weight => "weight",
            Self::Denied => "denied",
            Self::Started => "started",
            Self::Stopping => "stopping",
            Self::Warning => "warning",
            Self::WarningCleared => "warning_cleared",
            Self::Unknown => "unknown",
        }
    }
}

/// `docs/stats.md` explains every field.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Counted from 1 by each daemon.
    pub sequence: u64,
    /// Unix seconds, to the millisecond.
    pub time: f64,
    pub kind: EventKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The state before, and the one now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Seconds that the state before lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasted: Option<u64>,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
}

impl Event {
    pub fn new(kind: EventKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into(), ..Self::default() }
    }

    pub fn of_backend(mut self, service: &str, backend: &str, address: impl ToString) -> Self {
        self.service = Some(service.to_owned());
        self.backend = Some(backend.to_owned());
        self.address = Some(address.to_string());
        self
    }

    pub fn to(mut self, state: impl Into<String>) -> Self {
        self.to = Some(state.into());
        self
    }

    pub fn by(mut self, who: Option<&Who>) -> Self {
        self.by = who.cloned();
        self
    }

    /// What it happened to.
    pub fn subject(&self) -> String {
        match (&self.service, &self.backend, &self.interface) {
            (Some(service), Some(backend), _) => format!("{service}/{backend}"),
            (Some(service), None, _) => service.clone(),
            (None, _, Some(interface)) => interface.clone(),
            _ => String::new(),
        }
    }
}

/// Without time and number.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name().replace('_', " "))?;
        let subject = self.subject();
        if !subject.is_empty() {
            write!(f, " {subject}")?;
        }
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => write!(f, " {from} -> {to}")?,
            (None, Some(to)) => write!(f, " {to}")?,
            _ => {}
        }
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        if !self.reason.is_empty() {
            write!(f, ": {}", self.reason)?;
        }
        Ok(())
    }
}

/// Events after a given one, as far as the daemon still has them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventPage {
    pub events: Vec<Event>,
    /// Events asked for that are not kept any more.
    pub missed: u64,
    /// What to ask for next: the sequence of the last event there is.
    pub last: u64,
    /// Which daemon counts: when it started, in Unix milliseconds. Another one
    /// counts from 1 again.
    pub numbering: u64,
}

/// Which events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventQuery {
    /// Those after this one; 0: all there are.
    pub after: u64,
    /// The numbering that `after` belongs to; 0: whichever.
    pub numbering: u64,
    /// If there are none, wait for one, for half a minute at most.
    pub wait: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_a_sentence() {
        let who = Who { uid: 1000, user: Some("ann".into()) };
        let event = Event { from: Some("up".into()), ..Event::new(EventKind::Backend, "refused") }
            .of_backend("web", "a", "10.0.0.1")
            .to("dead");
        assert_eq!(event.to_string(), "backend web/a up -> dead: refused");
        let event = Event::new(EventKind::Drain, "new disk")
            .of_backend("web", "a", "10.0.0.1")
            .by(Some(&who));
        assert_eq!(event.to_string(), "drain web/a by ann (uid 1000): new disk");
        assert_eq!(Event::new(EventKind::Stopping, "").to_string(), "stopping");
    }

    #[test]
    fn names_are_those_of_the_json() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        let newer: Event = serde_json::from_str(r#"{"kind":"moon_phase"}"#).unwrap();
        assert_eq!(newer.kind, EventKind::Unknown);
    }
}
