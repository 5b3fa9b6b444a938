//! Collects problems while the file is read.

use std::fmt::Display;

use super::{
    model::Config,
    problem::{Loaded, Position, Problem, Problems},
    yaml::At,
};

/// More problems than anybody reads; the rest is only counted.
const MAX_PROBLEMS: usize = 1000;

pub(super) struct Report {
    file: String,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    more: usize,
    severity: Severity,
}

/// What becomes of problems.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// The file is refused.
    Refuse,
    Warn,
}

impl Report {
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            problems: Vec::new(),
            warnings: Vec::new(),
            more: 0,
            severity: Severity::Refuse,
        }
    }

    /// How problems at values are taken from now on.
    pub fn treat(&mut self, severity: Severity) {
        self.severity = severity;
    }

    /// A problem with what stands at `at`.
    pub fn problem(&mut self, at: At, message: impl Display, help: impl Display) {
        if self.severity == Severity::Warn {
            self.warning(at, message, help);
        } else if self.has_room() {
            self.problem_at(at.position(), &at.path(), message, help);
        }
    }

    /// A problem somewhere else than at a value, such as with a key.
    pub fn problem_at(
        &mut self,
        position: Position,
        path: &str,
        message: impl Display,
        help: impl Display,
    ) {
        if self.has_room() {
            self.problems.push(self.make(Some(position), path, message, help));
        }
    }

    /// A problem with no place in the file.
    pub fn whole_file(&mut self, message: impl Display, help: impl Display) {
        self.problems.push(self.make(None, "", message, help));
    }

    pub fn warning(&mut self, at: At, message: impl Display, help: impl Display) {
        if self.warnings.len() < MAX_PROBLEMS {
            self.warnings.push(self.make(Some(at.position()), &at.path(), message, help));
        }
    }

    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The outcome, in the order of the file.
    pub fn finish(self, config: Option<Config>) -> Result<Loaded, Problems> {
        let warnings = self.accepted()?;
        // A file without a configuration has a problem.
        config.map(|config| Loaded { config, warnings }).ok_or(Problems { problems: Vec::new() })
    }

    /// Its warnings, unless there are problems.
    fn accepted(mut self) -> Result<Vec<Problem>, Problems> {
        self.problems.sort_by_key(|problem| problem.position);
        // A wrong default is found anew by every service that takes it.
        self.problems.dedup();
        self.warnings.sort_by_key(|warning| warning.position);
        self.warnings.dedup();
        if self.problems.is_empty() {
            return Ok(self.warnings);
        }
        if self.more > 0 {
            self.whole_file(format!("{} more problems", self.more), "mend those above first");
        }
        Err(Problems { problems: self.problems })
    }

    /// `value`, if nothing is wrong with it.
    pub fn outcome<T>(self, value: T) -> Result<T, Problems> {
        self.accepted().map(|_| value)
    }

    fn has_room(&mut self) -> bool {
        let room = self.problems.len() < MAX_PROBLEMS;
        if !room {
            self.more += 1;
        }
        room
    }

    fn make(
        &self,
        position: Option<Position>,
        path: &str,
        message: impl Display,
        help: impl Display,
    ) -> Problem {
        Problem {
            file: self.file.clone(),
            position,
            key_path: path.to_owned(),
            message: message.to_string(),
            help: help.to_string(),
        }
    }
}
