//! Problems: what is wrong in a file, where, and what would be right.
//!
//! All problems of a file are collected, so that one run of `check` shows
//! everything there is to mend. Warnings have the same form and refuse nothing.

use std::fmt;

use super::model::Config;

/// Line and column, both counted from 1; a column is a character.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub file: String,
    /// `None`: the file could not be read at all.
    pub position: Option<Position>,
    /// Such as `services[0].backends[1].weight`; empty for the whole file.
    pub key_path: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// `lb.yaml:12:15: services[0].backends[1].weight: -3 is not a weight; give …`
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.key_path.is_empty() {
            write!(f, " {}:", self.key_path)?;
        }
        write!(f, " {}; {}", self.message, self.help)
    }
}

/// A file that was refused: at least one problem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problems {
    pub problems: Vec<Problem>,
}

/// One problem a line.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A file that was accepted.
#[derive(Clone, PartialEq, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Problem>,
}

/// Text from the file, fit to be shown: cut short, on one line, in quotes where
/// it would not read as one word.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    let one_word = !short.is_empty() && short.chars().all(|c| c == '…' || c.is_ascii_graphic());
    if one_word { short } else { format!("\"{}\"", short.escape_debug()) }
}
