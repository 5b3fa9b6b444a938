//! The object that `stats --json` prints. `docs/stats.md` explains every field.
//!
//! Fields are only added, never renamed. Times are Unix seconds, durations
//! seconds, rates per second over the daemon's last sampling interval. Missing
//! fields read as their defaults, so that a newer command line understands an
//! older daemon.

use std::collections::BTreeMap;

use lb_common::{abi::Answer, reason::DropReason};
use serde::{Deserialize, Serialize, Serializer};

use crate::health::State;

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

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceStats {
    pub name: String,
    pub mode: InterfaceMode,
    pub state: InterfaceState,
    /// Why it is not attached, or what is noteworthy about how it is; may be empty.
    pub detail: String,
    /// All of the interface's traffic, as its driver counts it.
    pub rx: Traffic,
    pub tx: Traffic,
    /// Lost after the verdict: the driver's counter to packets.
    pub losses: BTreeMap<String, u64>,
}

/// How the XDP program is really attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceMode {
    #[default]
    None,
    Native,
    Generic,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InterfaceState {
    /// There is no such interface (yet); it is waited for.
    #[default]
    Waiting,
    Attached,
    /// It is there, but the program could not be attached; `detail` says why.
    Failed,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceStats {
    pub name: String,
    /// The first of `vips`.
    pub vip: String,
    pub vips: Vec<String>,
    /// The first of `ports`.
    pub port: Port,
    pub ports: Vec<Port>,
    /// The first of `protocols`.
    pub protocol: String,
    pub protocols: Vec<String>,
    pub mode: String,
    pub scheduler: String,
    #[serde(flatten)]
    pub traffic: Traffic,
    #[serde(flatten)]
    pub connections: Connections,
    pub slots: SlotStats,
    /// No backend is up: new connections go to all of them.
    pub fail_open: bool,
    pub backends: Vec<BackendStats>,
}

/// A number, or `"any"`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Port {
    Number(u16),
    Any(AnyPort),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnyPort {
    Any,
}

impl Port {
    pub const ANY: Self = Self::Any(AnyPort::Any);
}

impl Default for Port {
    fn default() -> Self {
        Self::ANY
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Any(_) => f.write_str("any"),
        }
    }
}

/// Slots of a service's table. `arming`, `storing` and `looking` add up to
/// `in_transition`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SlotStats {
    pub total: u32,
    pub in_transition: u32,
    /// Their change of owner is decided; they store flows until it takes effect.
    pub arming: u32,
    /// Have changed owner and store the flows of both owners.
    pub storing: u32,
    /// Only look flows up, until the last stored one has ended.
    pub looking: u32,
}

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendStats {
    pub name: String,
    pub address: String,
    pub state: BackendState,
    /// What led to `state`, in words.
    pub reason: String,
    /// When `state` began.
    pub since: u64,
    pub weight: u32,
    /// Part of the service's slots whose new flows it gets, 0 to 1.
    #[serde(serialize_with = "finely_rounded")]
    pub share: f64,
    #[serde(flatten)]
    pub traffic: Traffic,
    #[serde(flatten)]
    pub connections: Connections,
    /// Packets dropped because its next hop was unknown.
    pub unresolved: u64,
    /// Unknown until it is resolved.
    pub next_hop: Option<NextHopStats>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// Not probed enough yet.
    #[default]
    Unknown,
    Up,
    /// Gets no new flows and keeps the ones it has.
    Failing,
    /// Refuses, is unreachable, or its neighbour failed.
    Dead,
}

impl BackendState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Dead => "dead",
        }
    }
}

impl From<State> for BackendState {
    fn from(state: State) -> Self {
        match state {
            State::Unknown => Self::Unknown,
            State::Up => Self::Up,
            State::Failing => Self::Failing,
            State::Dead => Self::Dead,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NextHopStats {
    pub interface: String,
    /// The gateway, or the backend itself when it is on the link.
    pub address: String,
    pub mac: String,
    /// Largest client packet that fits.
    pub mtu: u32,
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

fn finely_rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn port_is_a_number_or_the_word_any() {
        assert_eq!(
            serde_json::to_value([Port::Number(80), Port::ANY]).unwrap(),
            json!([80, "any"])
        );
        assert_eq!(
            serde_json::from_value::<[Port; 2]>(json!([80, "any"])).unwrap(),
            [Port::Number(80), Port::ANY]
        );
        assert!(serde_json::from_value::<Port>(json!("all")).is_err());
    }

    #[test]
    fn traffic_stands_directly_in_a_backend() {
        let backend = BackendStats {
            state: BackendState::Failing,
            traffic: Traffic { packets: 3, packets_per_second: 1.26, ..Traffic::default() },
            ..BackendStats::default()
        };
        let value = serde_json::to_value(&backend).unwrap();
        assert_eq!(value["packets"], 3);
        assert_eq!(value["packets_per_second"], 1.3);
        assert_eq!(value["state"], "failing");
        let back: BackendStats = serde_json::from_value(value).unwrap();
        assert_eq!(back.traffic.packets, 3);
    }

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
