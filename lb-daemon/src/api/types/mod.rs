//! The object that `stats --json` prints. `docs/stats.md` explains every field.
//!
//! Fields are only added, never renamed. Times are Unix seconds, durations
//! seconds, rates per second over the daemon's last sampling interval. Missing
//! fields read as their defaults, so that a newer command line understands an
//! older daemon.

use std::collections::BTreeMap;

use lb_common::{abi::Answer, reason::DropReason};
use serde::{Deserialize, Serialize, Serializer};

mod backend;
mod change;
mod event;
mod interface;
mod nat;
mod service;

pub use backend::{BackendState, BackendStats, LOCAL, NextHopStats, PassiveStats, ProbeStats};
pub use change::{Change, Decision, DrainStats, WeightStats};
pub use event::{Event, EventKind, EventPage, EventQuery, Who};
pub use interface::{InterfaceMode, InterfaceState, InterfaceStats};
pub use nat::{NatLogStats, NatStats};
pub use service::{AnyPort, Port, ServiceStats, SlotStats, SourceStats};

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    pub instance: String,
    /// Of the daemon that answers.
    pub version: String,
    pub pid: u32,
    /// When this object was made.
    pub time: u64,
    /// Seconds since the daemon started; packets may have flowed for longer.
    pub uptime: u64,
    pub config: ConfigStats,
    pub interfaces: Vec<InterfaceStats>,
    pub services: Vec<ServiceStats>,
    pub totals: Totals,
    /// Reason to packets; every reason is present.
    pub drops: BTreeMap<String, u64>,
    /// Kind of answer the balancer made itself to packets; every kind is present.
    pub answers: BTreeMap<String, u64>,
    pub flows: FlowStats,
    /// This host's own connections to VIPs are balanced.
    pub local_clients: bool,
    /// Translated flows.
    pub nat: NatStats,
    /// Changes that are decided and take effect later, one sentence each.
    pub pending: Vec<String>,
    /// What an operator should look at, one sentence each.
    pub warnings: Vec<String>,
}

impl Stats {
    /// Names `counts`, which are indexed by [`DropReason`].
    pub fn drops_from(counts: &[u64]) -> BTreeMap<String, u64> {
        DropReason::ALL
            .iter()
            .map(|r| (r.name().to_owned(), count_at(counts, *r as usize)))
            .collect()
    }

    /// Names `counts`, which are indexed by [`Answer`].
    pub fn answers_from(counts: &[u64]) -> BTreeMap<String, u64> {
        Answer::ALL.iter().map(|a| (a.name().to_owned(), count_at(counts, *a as usize))).collect()
    }
}

fn count_at(counts: &[u64], index: usize) -> u64 {
    counts.get(index).copied().unwrap_or(0)
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigStats {
    pub path: String,
    /// When the configuration in force was read.
    pub loaded_at: u64,
    /// Why the last reload changed nothing, if it did not.
    pub last_error: Option<String>,
}

/// Packets and bytes since the maps were made, and their rates.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Traffic {
    pub packets: u64,
    /// Frame bytes, Ethernet header included.
    pub bytes: u64,
    #[serde(serialize_with = "rounded")]
    pub packets_per_second: f64,
    #[serde(serialize_with = "rounded")]
    pub bytes_per_second: f64,
}

/// TCP connection attempts (SYNs forwarded).
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Connections {
    pub new_connections: u64,
    #[serde(serialize_with = "rounded")]
    pub new_connections_per_second: f64,
}

/// Packets. Once quiet, `residual` is 0; under load it is the packets in flight
/// while the counters were read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    pub received: u64,
    pub forwarded: u64,
    pub passed: u64,
    /// The sum of `drops`.
    pub dropped: u64,
    /// `received` - `forwarded` - `passed` - `dropped`.
    pub residual: i64,
}

impl Totals {
    pub const fn new(received: u64, forwarded: u64, passed: u64, dropped: u64) -> Self {
        let ended = forwarded.wrapping_add(passed).wrapping_add(dropped);
        Self { received, forwarded, passed, dropped, residual: received.wrapping_sub(ended) as i64 }
    }
}

/// The flow table, which is used only for slots in transition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowStats {
    /// As the last scan counted them.
    pub entries: u64,
    pub capacity: u64,
    /// Packets that needed a lookup.
    pub looked_up: u64,
    /// Flows stored.
    pub stored: u64,
    /// Flows that found no room.
    pub store_failed: u64,
}

fn rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 10.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_and_answer_is_present_even_at_zero() {
        let drops = Stats::drops_from(&[7]);
        assert_eq!(drops.len(), DropReason::ALL.len());
        assert_eq!((drops["malformed"], drops["fragment"]), (7, 0));
        assert_eq!(Stats::answers_from(&[]).len(), Answer::ALL.len());
    }

    #[test]
    fn residual_is_what_has_not_ended_and_may_be_negative() {
        assert_eq!(Totals::new(10, 5, 3, 1).residual, 1);
        assert_eq!(Totals::new(10, 5, 3, 3).residual, -1);
    }

    #[test]
    fn an_older_daemons_object_is_understood() {
        let stats: Stats = serde_json::from_str(r#"{"instance":"main"}"#).unwrap();
        assert_eq!(stats, Stats { instance: "main".into(), ..Stats::default() });
    }
}
