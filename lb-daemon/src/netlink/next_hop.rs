//! Where the frames for an address go, or why they cannot.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{MacAddress, link::Operation};

/// What the resolver knows of each watched address.
pub type NextHops = BTreeMap<IpAddr, Result<NextHop, NextHopError>>;

/// Everything needed to send a frame toward an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    pub ifindex: u32,
    pub interface: String,
    /// The interface's own.
    pub source_mac: MacAddress,
    /// The gateway's, or the address's own where it is on the link.
    pub destination_mac: MacAddress,
    /// Largest IP packet: the interface's MTU, or the route's (also a
    /// discovered path MTU) where that is lower.
    pub mtu: u32,
    /// The source address the kernel would choose.
    pub source: Option<IpAddr>,
    /// None where the address is on the link.
    pub gateway: Option<IpAddr>,
}

/// Why there is no next hop, in words that name the next step.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NextHopError {
    #[error("no route to {target}{}", .down.as_deref().map(used_to).unwrap_or_default())]
    NoRoute {
        target: IpAddr,
        /// The interface it was reached through, if that is down now.
        down: Option<String>,
    },
    #[error("a route of type {kind} refuses packets to {target}; see `ip route get {target}`")]
    Refused { target: IpAddr, kind: &'static str },
    /// There is a way all the same: see [`Self::is_own_host`].
    #[error("{target} is an address of this host: its packets are left to the kernel")]
    OwnAddress { target: IpAddr },
    #[error("{target} is a {kind} address, a backend needs a unicast one")]
    NotUnicast { target: IpAddr, kind: &'static str },
    #[error(
        "the route to {target} adds an encapsulation, which XDP cannot: \
         give it a plain route (`ip route get {target}` shows the present one)"
    )]
    Encapsulated { target: IpAddr },
    #[error("the route to {target} leads to interface {ifindex}, which is not there (any more)")]
    InterfaceMissing { target: IpAddr, ifindex: u32 },
    #[error("interface {interface} toward {target} is {operation}")]
    InterfaceDown { target: IpAddr, interface: String, operation: Operation },
    #[error("interface {interface} toward {target} has no MAC addresses: XDP cannot send there")]
    NotEthernet { target: IpAddr, interface: String },
    #[error("{0} has not answered yet")]
    Resolving(Neighbour),
    #[error("{0} does not answer: is the host up, and in this network?")]
    NeighbourSilent(Neighbour),
    #[error("{0} stopped answering")]
    NeighbourFailed(Neighbour),
    #[error("cannot look up the route to {target}: {cause}")]
    Lookup { target: IpAddr, cause: String },
}

fn used_to(interface: &str) -> String {
    format!(": {interface}, through which it was reached, is down")
}

impl NextHopError {
    /// Whether the address itself, not a gateway before it, was reachable
    /// and then stopped answering: the host is gone. A gateway that fails
    /// says nothing about the hosts behind it.
    pub fn is_dead(&self) -> bool {
        matches!(self, Self::NeighbourFailed(neighbour) if !neighbour.is_gateway())
    }

    /// Whether the address is this host's own: nothing to send a frame to, and
    /// nothing amiss.
    pub const fn is_own_host(&self) -> bool {
        matches!(self, Self::OwnAddress { .. })
    }

    /// For how long it has been so, where that is known.
    pub fn age(&self, now: Instant) -> Option<Duration> {
        match self {
            Self::Resolving(neighbour)
            | Self::NeighbourSilent(neighbour)
            | Self::NeighbourFailed(neighbour) => {
                Some(now.saturating_duration_since(neighbour.since))
            }
            _ => None,
        }
    }
}

/// A neighbour that is not resolved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Neighbour {
    pub target: IpAddr,
    pub address: IpAddr,
    pub interface: String,
    pub since: Instant,
}

impl Neighbour {
    pub fn is_gateway(&self) -> bool {
        self.address != self.target
    }
}

impl std::fmt::Display for Neighbour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_gateway() {
            let Self { target, address, interface, .. } = self;
            write!(f, "gateway {address} on {interface}, toward {target},")
        } else {
            write!(f, "neighbour {} on {}", self.address, self.interface)
        }
    }
}
