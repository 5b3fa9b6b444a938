//! Translated flows of the whole balancer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// As the last pass over the tables found them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NatStats {
    /// Flows, and ports that rest.
    pub flows: u64,
    /// The same by state; every state is present.
    pub states: BTreeMap<String, u64>,
    /// Flows that the tables were made for, both ends confirmed: those that are
    /// IPv4 on both sides, and all others.
    pub capacity: u64,
    pub capacity_wide: u64,
    /// `null`: no `nat_log`.
    pub log: Option<NatLogStats>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NatLogStats {
    pub path: String,
    /// Records written.
    pub written: u64,
    /// Records lost: beyond the rate, faster than they were taken, or not to be
    /// written.
    pub lost: u64,
    /// Why the last write failed, if it did.
    pub error: Option<String>,
}
