//! A service: its addresses, its times, its backends.

use std::{fmt, net::IpAddr, time::Duration};

use serde::Serialize;

use super::{
    super::duration,
    discovery::{Discovery, Origin},
    health::{Health, Probes},
    mode::Mode,
};

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Service {
    pub name: String,
    #[serde(rename = "vip")]
    pub vips: Vec<IpAddr>,
    #[serde(rename = "port")]
    pub ports: Ports,
    #[serde(rename = "protocol")]
    pub protocols: Vec<Protocol>,
    #[serde(flatten)]
    pub mode: Mode,
    pub scheduler: Scheduler,
    /// Slots of the lookup table; a prime.
    pub table_size: u32,
    pub health: Health,
    /// Whether trouble is looked for in the traffic, too.
    pub passive: Passive,
    pub initial_state: InitialState,
    pub idle: Idle,
    /// Life of an entry of a flow that has sent a SYN and nothing since.
    #[serde(serialize_with = "duration::serialize")]
    pub half_open: Duration,
    /// Life of an entry of a flow that has sent FIN or RST.
    #[serde(serialize_with = "duration::serialize")]
    pub closing: Duration,
    /// Delay before a planned change takes effect.
    #[serde(serialize_with = "duration::serialize")]
    pub arming: Duration,
    pub udp: UdpFlows,
    /// What this service says; ask [`Config::vips`] for a VIP's policy.
    pub unserved: Unserved,
    pub on_backend_dead: OnBackendDead,
    /// How long flows of a backend that is removed may live on; a backend may
    /// say otherwise.
    pub drain: DrainTime,
    /// How long a new or returning backend takes to its full weight; 0: none.
    #[serde(serialize_with = "duration::serialize")]
    pub slow_start: Duration,
    /// Those that the file lists and, once expanded, those that were found.
    pub backends: Vec<Backend>,
    #[serde(flatten)]
    pub discovery: Discovery,
}

impl Service {
    /// The port at which probes find `backend`, if the file says so for any.
    pub fn probe_port(&self, probe: &Probes, backend: &Backend) -> Option<u16> {
        let first = match &self.ports {
            Ports::Any => None,
            Ports::List(ports) => ports.first().copied(),
        };
        probe.port.or(backend.port).or(first)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ports {
    /// Every port that no other service of the VIP and protocol names.
    Any,
    List(Vec<u16>),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    /// Number in an IP header.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    Maglev,
}

/// How long a flow may be silent and is still the same flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Idle {
    #[serde(serialize_with = "duration::serialize")]
    pub tcp: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub udp: Duration,
}

/// What a backend counts as before its first probe result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialState {
    Up,
    Down,
}

/// What is made of trouble that the traffic shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Passive {
    /// A backend that does clearly worse than its peers is taken out.
    On,
    Off,
    /// It is only told.
    Advisory,
}

/// How long UDP flows are kept on their backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UdpFlows {
    /// Always the slot's present owner: for request and response. A
    /// translated flow stays with its backend until it is idle all the same.
    Fast,
    /// Flows stay with their backend until they are idle.
    Keep,
    /// Translated flows end with so many replies.
    Responses(u16),
}

/// What happens to packets for a VIP's ports that no service has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unserved {
    /// As `reject`, but as `pass` where the VIP is an address of this host.
    Auto,
    /// RST or ICMP unreachable, within a budget.
    Reject,
    Drop,
    /// To the kernel.
    Pass,
}

/// What happens to flows whose backend is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBackendDead {
    /// Their next packet is answered with RST.
    Reset,
    /// They go to another backend, which will most likely reset them.
    Reselect,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Backend {
    pub name: String,
    pub address: IpAddr,
    /// Share of new connections; 0 takes none.
    pub weight: u16,
    /// `None`: the port that the client used. Only in the modes that translate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    pub state: BackendOrder,
    /// `None`: as the service says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainTime>,
    #[serde(skip)]
    pub origin: Origin,
}

/// What the file wants of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendOrder {
    Active,
    /// No new flows.
    Drain,
}

/// How long flows of a backend that is removed may live on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrainTime {
    At(Duration),
    /// Until they end.
    Unlimited,
}
