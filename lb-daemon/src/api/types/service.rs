//! A service: what clients see of it, its traffic and its slots.

use serde::{Deserialize, Serialize};

use super::{BackendStats, Connections, RemovedStats, Traffic};

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
    /// Backends that are not configured any more, while flows of theirs may live.
    pub removed: Vec<RemovedStats>,
    /// Where backends come from that the configuration does not list.
    pub sources: Vec<SourceStats>,
}

/// A name or a file that backends are found by.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceStats {
    /// `dns`, `srv` or `file`.
    pub kind: String,
    /// The name asked for, or the file's path.
    pub name: String,
    /// Backends that it has brought.
    pub backends: u64,
    /// When its last full answer came; `null` for none yet.
    pub answered: Option<u64>,
    /// Why what is known may be out of date.
    pub problem: Option<String>,
    pub problem_since: Option<u64>,
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
    /// Slots that were given to another backend since the daemon began.
    pub moved: u64,
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
}
