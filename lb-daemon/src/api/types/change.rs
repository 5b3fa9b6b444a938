//! What an operator decides about backends beside the file, and what is kept
//! of it.

use serde::{Deserialize, Serialize};

use super::{BackendState, Who};

/// What a `drain`, `undrain` or `set-weight` is about.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its name or its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Instead of both: the backends of all services at this address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Of `drain`: seconds from now until flows that are left are cut off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Of `set-weight`; missing: as in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Who decided something, when, and why.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Decision {
    /// `null`: the configuration file says so.
    pub by: Option<Who>,
    /// Unix seconds.
    pub at: u64,
    pub reason: String,
}

/// A backend that is taken out while its flows end.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DrainStats {
    #[serde(flatten)]
    pub decision: Decision,
    /// When flows that are left are cut off, in Unix seconds; `null`: never.
    pub deadline: Option<u64>,
    /// Flows of it seen since the drain began that have not ended.
    pub flows: u64,
    /// Nobody knows of flows that have been silent since the drain began before
    /// they have been so for the idle time: in Unix seconds, when that is over.
    pub silent_until: u64,
}

/// A backend that is not configured any more.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovedStats {
    /// What it was called last.
    pub name: String,
    pub address: String,
    /// `draining`, or `drained`.
    pub state: BackendState,
    pub reason: String,
    pub drain: DrainStats,
}

/// A weight other than the file's.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WeightStats {
    #[serde(flatten)]
    pub decision: Decision,
    pub weight: u16,
    pub in_file: u16,
}
