//! The validated configuration, every default filled in.
//!
//! Whoever holds a [`Config`] need not check anything again: names are unique,
//! numbers are within their ranges, addresses make sense where they stand, no
//! two services claim the same (VIP, protocol, port), and everything fits the
//! maps. Serialised, it is a configuration file again.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use serde::Serialize;

use super::duration;

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Config {
    pub interfaces: Vec<Interface>,
    pub on_exit: OnExit,
    #[serde(flatten)]
    pub seed: Seed,
    pub control: Control,
    pub limits: Limits,
    pub services: Vec<Service>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Interface {
    pub name: String,
    pub xdp: XdpMode,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver, or not at all.
    Native,
    /// In the kernel's stack: slower, works with every driver.
    Generic,
    /// Native where the driver can, else generic.
    Auto,
}

/// What a normal stop of the daemon does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnExit {
    /// Leave the program attached: packets are forwarded on.
    Keep,
    /// Detach the program and remove its maps.
    Unload,
}

/// Where the secret that keys the flow hash comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Seed {
    /// Made once and kept in the state directory.
    Generated,
    /// Stands in the configuration file.
    Text(String),
    /// Is all of this file, white space at both ends aside.
    File(PathBuf),
}

/// The text is a secret: it must not reach a log.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generated => f.write_str("Generated"),
            Self::Text(_) => f.write_str("Text(hidden)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Control {
    /// Group that may read statistics over the control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

/// Sizes of shared maps, and answers per second and CPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Limits {
    /// Slots of all services together.
    pub slot_space: u32,
    pub flow_entries: u32,
    /// RSTs for flows of dead backends.
    pub reset_rate: u32,
    /// RSTs and unreachables for unserved ports.
    pub unserved_rate: u32,
    /// Frag-needed and packet-too-big.
    pub too_big_rate: u32,
    pub echo_rate: u32,
    /// Lines that the XDP program may send to the daemon's log.
    pub log_rate: u32,
}

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
    pub backends: Vec<Backend>,
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

/// How a packet gets to its backend.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "mode", content = "tunnel", rename_all = "lowercase")]
pub enum Mode {
    /// Direct server return in one L2 network: MAC addresses are rewritten.
    Dsr,
    /// Direct server return through an IP-in-IP tunnel.
    Ipip(Tunnel),
}

impl Mode {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dsr => "dsr",
            Self::Ipip(_) => "ipip",
        }
    }
}

/// Outer headers. The outer family is that of the backend's address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tunnel {
    /// Source toward IPv4 backends.
    pub v4: OuterSource,
    /// Source toward IPv6 backends.
    pub v6: OuterSource,
    pub ttl: u8,
}

impl Tunnel {
    /// The source of packets to `backend`.
    pub const fn source_toward(&self, backend: IpAddr) -> OuterSource {
        match backend {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OuterSource {
    /// The source address of the route to the backend.
    Route,
    Fixed(IpAddr),
    /// An address out of the prefix, chosen by the flow's hash.
    Prefix(Prefix),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// First address; all host bits are zero.
    pub address: IpAddr,
    pub length: u8,
}

impl Prefix {
    /// The bits of the address's last 32 (as a number) that are host bits.
    pub const fn host_mask(&self) -> u32 {
        let host_bits = match self.address {
            IpAddr::V4(_) => 32 - self.length as u32,
            IpAddr::V6(_) => 128 - self.length as u32,
        };
        if host_bits >= 32 { u32::MAX } else { (1 << host_bits) - 1 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduler {
    Maglev,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Health {
    /// No probes: backends keep their initial state.
    None,
    /// A TCP connection is made and closed again.
    Tcp(TcpHealth),
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TcpHealth {
    pub port: u16,
    #[serde(serialize_with = "duration::serialize")]
    pub interval: Duration,
    #[serde(serialize_with = "duration::serialize")]
    pub timeout: Duration,
    /// Successes in a row that bring a backend up.
    pub rise: u32,
    /// Failures in a row that take a backend out.
    pub fall: u32,
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

/// Whether UDP flows are kept on their backend while a slot changes owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UdpFlows {
    /// Always the slot's present owner: for request and response.
    Fast,
    /// Flows stay with their backend until they are idle.
    Keep,
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
}
