//! Backends that the file does not list: found by a name, or in a file of
//! their own that another program keeps.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    super::duration,
    service::{BackendOrder, DrainTime},
};

/// Who is asked for names, and how often.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Dns {
    /// Empty: those in /etc/resolv.conf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<SocketAddr>,
    /// A shorter TTL counts as this.
    #[serde(serialize_with = "duration::serialize")]
    pub min_refresh: Duration,
    /// A longer TTL counts as this.
    #[serde(serialize_with = "duration::serialize")]
    pub max_refresh: Duration,
    /// For one server's answer.
    #[serde(serialize_with = "duration::serialize")]
    pub timeout: Duration,
}

/// Where a service's other backends come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Discovery {
    pub names: Vec<NameSource>,
    pub file: Option<PathBuf>,
    /// Of all of the service's backends, listed ones among them. 0 where all
    /// are listed.
    pub max_backends: u32,
}

impl Discovery {
    /// Whether there are backends that the file does not list.
    pub const fn is_used(&self) -> bool {
        !self.names.is_empty() || self.file.is_some()
    }
}

/// An entry among the backends that stands for those that a name has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameSource {
    /// Begins the names of its backends.
    pub name: String,
    pub question: Question,
    /// Of each backend; records of services give their own.
    pub weight: u16,
    /// As a listed backend's; records of services give their own.
    pub port: Option<u16>,
    /// Of each backend, as a listed one's.
    pub state: BackendOrder,
    pub backup: bool,
    pub drain: Option<DrainTime>,
}

/// What is asked for. Sources with the same question share its answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Question {
    pub kind: QuestionKind,
    /// Without a dot at its end.
    pub name: String,
    pub family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionKind {
    /// A and AAAA records.
    Dns,
    /// SRV records, and the addresses of the hosts that they name.
    Srv,
}

impl QuestionKind {
    /// The key that it has in the file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Srv => "srv",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    V4,
    V6,
    Both,
}

impl Family {
    pub const fn has_v4(self) -> bool {
        !matches!(self, Self::V6)
    }

    pub const fn has_v6(self) -> bool {
        !matches!(self, Self::V4)
    }
}

/// As in the file, so that one finds it there.
impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.key(), self.name)
    }
}

/// Who says that a backend is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// The configuration file.
    #[default]
    Listed,
    /// The answer to a question.
    Name(Question),
    BackendsFile,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listed => f.write_str("config"),
            Self::Name(question) => question.fmt(f),
            Self::BackendsFile => f.write_str("backends_file"),
        }
    }
}
