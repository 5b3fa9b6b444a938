//! A backend of one service: its health, its share and its traffic.

use serde::{Deserialize, Serialize, Serializer};

use super::{Connections, DrainStats, Traffic, WeightStats};
use crate::health::State;

#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackendStats {
    pub name: String,
    pub address: String,
    /// Who says that it is there: `config`, `backends_file`, or the name asked for.
    pub origin: String,
    pub state: BackendState,
    /// What led to `state`, in words.
    pub reason: String,
    /// When `state` began; `null` for one without a probe's result yet.
    pub since: Option<u64>,
    /// It gets new connections when too few of the others are up.
    pub backup: bool,
    /// What counts now: the file's, or an operator's.
    pub weight: u32,
    /// `null`: as in the file.
    pub weight_set: Option<WeightStats>,
    /// `null`: it is not taken out.
    pub drain: Option<DrainStats>,
    /// Per cent of its weight that it has by now, of a slow start; `null`: all.
    pub slow_start: Option<u8>,
    /// Part of the service's slots whose new flows it gets, 0 to 1.
    #[serde(serialize_with = "finely_rounded")]
    pub share: f64,
    #[serde(flatten)]
    pub traffic: Traffic,
    #[serde(flatten)]
    pub connections: Connections,
    /// `null` for one that is not probed.
    pub probe: Option<ProbeStats>,
    /// What the traffic shows; `null` where it is not looked at.
    pub passive: Option<PassiveStats>,
    /// Packets dropped because its next hop was unknown.
    pub unresolved: u64,
    /// Translated answers: packets, and frame bytes as received.
    pub reply_packets: u64,
    pub reply_bytes: u64,
    /// Translated flows to it, and ports that rest, as the last pass counted.
    pub flows: u64,
    /// Flows that its service's pool has sources for; 0: not translated, or by
    /// the client's own address.
    pub flows_limit: u64,
    /// New flows that found no source in the pool.
    pub refused: u64,
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
    /// Taken out: gets no new flows, and some that it has may live.
    Draining,
    /// Taken out, and no flow is left.
    Drained,
}

impl BackendState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Failing => "failing",
            Self::Dead => "dead",
            Self::Draining => "draining",
            Self::Drained => "drained",
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

/// [`NextHopStats::interface`] of a backend on this host.
pub const LOCAL: &str = "local";

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NextHopStats {
    /// [`LOCAL`]: the backend is on this host, and the kernel takes its packets.
    pub interface: String,
    /// The gateway, or the backend itself when it is on the link.
    pub address: String,
    /// Empty for a backend on this host.
    pub mac: String,
    /// Largest client packet that fits; 0 for a backend on this host.
    pub mtu: u32,
}

/// How a backend is probed, and how that goes.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeStats {
    pub target: String,
    /// `path`: to the VIP, the way that clients' packets take, unless a warning
    /// says that this cannot be; `direct`: to its own address.
    pub via: String,
    /// Seconds that the last successful probe took.
    #[serde(serialize_with = "microseconds")]
    pub latency: Option<f64>,
    /// The same, smoothed over about eight probes.
    #[serde(serialize_with = "microseconds")]
    pub smoothed: Option<f64>,
    /// Why the last probe failed or could not be made.
    pub problem: Option<String>,
    /// It works, and is kept down since it went down too often.
    pub held: Option<HeldStats>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldStats {
    /// Unix seconds, if it goes on working.
    pub until: u64,
    pub reason: String,
}

/// What the traffic says of a backend of one service, and what was made of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PassiveStats {
    /// Connections whose SYN came again, since nobody had answered.
    pub unanswered: u64,
    /// Connections that it refused. Only seen of translated ones, as the next.
    pub refused: u64,
    /// Flows whose first packet did not arrive, as an ICMP error said.
    pub unreachable: u64,
    /// It is taken out until then, in Unix seconds.
    pub out_until: Option<u64>,
    /// How often it was, until half an hour went well.
    pub times_out: u32,
    /// It was, and gets a tenth of its weight until connections have gone well.
    pub on_trial: bool,
}

fn microseconds<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|value| (value * 1e6).round() / 1e6).serialize(serializer)
}

fn finely_rounded<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((value * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
