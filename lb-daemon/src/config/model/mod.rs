//! The validated configuration, every default filled in.
//!
//! Whoever holds a [`Config`] need not check anything again: names are unique,
//! numbers are within their ranges, addresses make sense where they stand, no
//! two services claim the same (VIP, protocol, port), and everything fits the
//! maps. Serialised, it is a configuration file again.

mod discovery;
mod health;
mod mode;
mod nat;
mod pattern;
mod service;

use std::{fmt, path::PathBuf};

use serde::Serialize;

pub use discovery::{Discovery, Dns, Family, NameSource, Origin, Question, QuestionKind};
pub use health::{
    Check, DnsCheck, ExecCheck, Health, HttpCheck, HttpsCheck, Method, Probes, Rcode, Record,
    StatusRange, UdpCheck, Verify,
};
pub use mode::{Mode, OuterSource, Prefix, Tunnel};
pub use nat::{NatLog, PortRange, Snat};
pub use pattern::{Pattern, Payload};
pub use service::{
    Backend, BackendOrder, DrainTime, Idle, InitialState, OnBackendDead, Passive, Ports, Protocol,
    Scheduler, Service, UdpFlows, Unserved,
};

#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Config {
    pub interfaces: Vec<Interface>,
    pub on_exit: OnExit,
    /// Whether probes may run programs.
    pub allow_exec: bool,
    #[serde(flatten)]
    pub seed: Seed,
    pub control: Control,
    pub limits: Limits,
    /// This host's own connections to VIPs are balanced, too.
    pub local_clients: bool,
    pub dns: Dns,
    /// `None`: translated flows are not logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_log: Option<NatLog>,
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
    /// Translated flows that are IPv4 on both sides. 0: no table.
    pub nat_flows: u32,
    /// All other translated flows. 0: no table.
    pub nat_flows_wide: u32,
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
