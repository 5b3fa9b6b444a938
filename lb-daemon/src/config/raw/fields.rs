//! The keys of one map: which are known, which are there, which are wrong.

use super::{
    super::{
        problem::shown,
        report::Report,
        yaml::{At, Kind, push_key},
    },
    Given, Typed, nearest,
};

/// A map whose keys are all known.
pub(super) struct Fields<'t> {
    at: At<'t>,
    found: Vec<(&'static str, At<'t>)>,
}

impl<'t> Fields<'t> {
    /// Reports keys that are not among `known`. Nothing at all is an empty map.
    pub fn of(at: At<'t>, known: &[&'static str], report: &mut Report) -> Option<Self> {
        if !matches!(at.kind(), Kind::Map | Kind::Null) {
            let keys = known.join(", ");
            report.problem(
                at,
                "a map of keys and values belongs here",
                format!("the keys are: {keys}"),
            );
            return None;
        }
        let mut found = Vec::new();
        for entry in at.entries() {
            if let Some(key) = known.iter().find(|key| **key == entry.key) {
                found.push((*key, entry.value));
                continue;
            }
            let mut path = at.path();
            push_key(&mut path, entry.key);
            let help = match nearest::nearest(entry.key, known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("the keys here are: {}", known.join(", ")),
            };
            report.problem_at(
                entry.key_position,
                &path,
                format!("{} is not a key", shown(entry.key)),
                help,
            );
        }
        Some(Self { at, found })
    }

    pub fn get(&self, key: &str) -> Option<At<'t>> {
        self.found.iter().find(|(found, _)| *found == key).map(|(_, at)| *at)
    }

    /// As [`get`](Self::get), for a key that must be there. `expected`
    /// completes "give …".
    pub fn require(&self, key: &str, expected: &str, report: &mut Report) -> Option<At<'t>> {
        let at = self.get(key);
        if at.is_none() {
            report.problem(self.at, format!("{key} is missing"), format!("give {expected}"));
        }
        at
    }

    /// The key's value as `read` reads it.
    pub fn read<T>(
        &self,
        key: &str,
        report: &mut Report,
        read: impl FnOnce(At<'t>, &mut Report) -> Option<T>,
    ) -> Given<'t, T> {
        match self.get(key) {
            None => Given::Absent,
            Some(at) => match read(at, report) {
                Some(value) => Given::Right(Typed { value, at }),
                None => Given::Wrong,
            },
        }
    }
}
