//! What operators decided beside the configuration file: who is drained and who
//! has another weight, by whom, since when and why; and a trail of all such
//! decisions. Written to disk before it takes effect, since it is to hold after
//! a restart.

use std::{
    collections::{BTreeMap, VecDeque},
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{StateError, store::replace};
use crate::api::types::{Decision, Event, EventKind};

/// Decisions of the past that are kept, and attempts to decide: apart, so that
/// nobody makes what others did be forgotten.
const TRAIL: usize = 256;
const DENIALS: usize = 64;

/// A service and the address of one of its backends, whatever that is named.
pub type Place<'a> = (&'a str, IpAddr);

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Overrides {
    /// By service and address.
    services: BTreeMap<String, BTreeMap<IpAddr, Override>>,
    trail: VecDeque<Event>,
    /// Of those who may not.
    denials: VecDeque<Event>,
}

/// What is decided of one backend.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Override {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<Drain>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// It is not in the file any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drain {
    #[serde(flatten)]
    pub decision: Decision,
    /// Unix seconds; `None`: until the last flow ends.
    pub deadline: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Weight {
    #[serde(flatten)]
    pub decision: Decision,
    pub weight: u16,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Removed {
    /// What the file called it.
    pub name: String,
    /// Since when, in Unix seconds.
    #[serde(default)]
    pub at: u64,
    /// Unix seconds; `None`: until the last flow ends.
    pub deadline: Option<u64>,
}

impl Override {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Overrides {
    pub fn get(&self, (service, address): Place<'_>) -> Option<&Override> {
        self.services.get(service)?.get(&address)
    }

    pub fn drain(&self, place: Place<'_>) -> Option<&Drain> {
        self.get(place)?.drain.as_ref()
    }

    pub fn weight(&self, place: Place<'_>) -> Option<&Weight> {
        self.get(place)?.weight.as_ref()
    }

    pub fn removed(&self, place: Place<'_>) -> Option<&Removed> {
        self.get(place)?.removed.as_ref()
    }

    /// Decides something of a backend.
    pub fn edit(&mut self, (service, address): Place<'_>, what: impl FnOnce(&mut Override)) {
        let of_service = self.services.entry(service.to_owned()).or_default();
        let one = of_service.entry(address).or_default();
        what(one);
        if one.is_empty() {
            of_service.remove(&address);
        }
        if of_service.is_empty() {
            self.services.remove(service);
        }
    }

    /// Forgets those that are no backends any more; returns whether there were any.
    pub fn retain(&mut self, mut is_backend: impl FnMut(Place<'_>) -> bool) -> bool {
        let mut dropped = false;
        self.services.retain(|service, backends| {
            let before = backends.len();
            backends.retain(|address, _| is_backend((service, *address)));
            dropped |= backends.len() < before;
            !backends.is_empty()
        });
        dropped
    }

    /// Adds to the trail.
    pub fn note(&mut self, event: Event) {
        let (trail, most) = match event.kind {
            EventKind::Denied => (&mut self.denials, DENIALS),
            _ => (&mut self.trail, TRAIL),
        };
        trail.push_back(event);
        if trail.len() > most {
            trail.pop_front();
        }
    }

    /// Decisions and denials of the past, oldest first.
    pub fn trail(&self) -> Vec<&Event> {
        let mut all: Vec<_> = self.trail.iter().chain(&self.denials).collect();
        all.sort_by(|one, other| one.time.total_cmp(&other.time));
        all
    }
}

/// The file beside an instance's [`StateFile`](super::StateFile).
#[derive(Clone, Debug)]
pub struct OverridesFile(PathBuf);

impl OverridesFile {
    pub fn beside(state_file: &Path) -> Self {
        Self(state_file.with_file_name("overrides.json"))
    }

    /// A file that cannot be understood is no reason to send clients to a server
    /// that somebody took out.
    pub fn read(&self) -> Result<Overrides, StateError> {
        let text = match fs::read(&self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Overrides::default());
            }
            Err(source) => return Err(StateError::Io { path: self.0.clone(), source }),
        };
        serde_json::from_slice(&text).map_err(|error| StateError::OverridesNotUnderstood {
            path: self.0.clone(),
            what: error.to_string(),
        })
    }

    pub fn write(&self, overrides: &Overrides) -> Result<(), StateError> {
        let written = serde_json::to_vec_pretty(overrides)
            .map_err(io::Error::other)
            .and_then(|text| replace(&self.0, &text));
        written.map_err(|source| StateError::Io { path: self.0.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::types::Who;

    fn drain() -> Drain {
        let by = Some(Who { uid: 0, user: Some("root".into()) });
        let decision = Decision { by, at: 1_700_000_000, reason: "new disk".into() };
        Drain { decision, deadline: Some(1_700_000_600) }
    }

    #[test]
    fn what_was_decided_is_read_again_and_undone_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = OverridesFile::beside(&dir.path().join("state.json"));
        let mut overrides = file.read().unwrap();
        let place = ("web", "10.0.0.1".parse().unwrap());
        overrides.edit(place, |one| one.drain = Some(drain()));
        overrides.note(Event::new(EventKind::Drain, "new disk"));
        file.write(&overrides).unwrap();
        let mut read = file.read().unwrap();
        assert_eq!(read, overrides);
        assert_eq!(read.drain(place), Some(&drain()));
        read.edit(place, |one| one.drain = None);
        assert!(read.services.is_empty());
    }

    #[test]
    fn a_damaged_file_is_refused_with_the_next_step() {
        let dir = tempfile::tempdir().unwrap();
        let file = OverridesFile::beside(&dir.path().join("state.json"));
        fs::write(dir.path().join("overrides.json"), "{").unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("remove the file"), "{error}");
    }

    #[test]
    fn the_trail_is_bounded_and_those_who_are_gone_forgotten() {
        let mut overrides = Overrides::default();
        for index in 0..TRAIL + 5 {
            overrides.note(Event::new(EventKind::Drain, index.to_string()));
        }
        assert_eq!(overrides.trail().len(), TRAIL);
        assert_eq!(overrides.trail()[0].reason, "5");
        // Who may not cannot make the others' decisions be forgotten.
        for _ in 0..TRAIL {
            overrides.note(Event { time: 1.0, ..Event::new(EventKind::Denied, "drain") });
        }
        assert_eq!(overrides.trail().len(), TRAIL + DENIALS);
        assert_eq!(overrides.trail()[0].reason, "5");
        assert_eq!(overrides.trail().last().unwrap().kind, EventKind::Denied);
        overrides.edit(("web", "10.0.0.1".parse().unwrap()), |one| one.drain = Some(drain()));
        assert!(!overrides.retain(|_| true));
        assert!(overrides.retain(|_| false));
        assert!(overrides.services.is_empty());
    }
}
