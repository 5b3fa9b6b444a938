//! What network address translation needs to know: where translated sources
//! come from, and where its log goes.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use serde::Serialize;

use super::super::duration;

/// Source addresses and ports that a service's translated flows get. In mode
/// `dnat` only flows whose client is itself a backend get one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Snat {
    /// Empty: the address of this host that its route to each backend has.
    /// Otherwise at least one for each family among the service's backends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    pub ports: PortRange,
    /// How long a (source, backend) pair of ports is not used again after its
    /// flow was closed by the backend first.
    #[serde(serialize_with = "duration::serialize")]
    pub rest: Duration,
}

impl Snat {
    /// The given addresses of `backend`'s family.
    pub fn toward(&self, backend: IpAddr) -> impl Iterator<Item = IpAddr> {
        let family = backend.is_ipv4();
        self.addresses.iter().copied().filter(move |address| address.is_ipv4() == family)
    }
}

/// Ports from `first` to `last`, both among them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PortRange {
    pub first: u16,
    pub last: u16,
}

impl PortRange {
    /// How many ports.
    pub const fn count(self) -> u32 {
        self.last as u32 - self.first as u32 + 1
    }

    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    pub const fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// A record in JSON for each translated flow that begins or ends.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NatLog {
    pub path: PathBuf,
    /// Records per second at most.
    pub rate: u32,
}
