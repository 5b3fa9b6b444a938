//! Somebody who is told of events.

use serde::{Deserialize, Serialize};

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NotifyStats {
    /// The program, or scheme, host and port; the path may be a secret.
    pub to: String,
    /// Events that were told.
    pub told: u64,
    /// Events that wait for their turn, or are tried.
    pub waiting: u64,
    /// Events that could not be told in time, or for which there was no room.
    pub lost: u64,
    /// Why the last attempt failed, if it did.
    pub problem: Option<String>,
    /// Since when all have.
    pub problem_since: Option<u64>,
}
