//! A translated flow in words.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use lb_common::{
    abi::NatState,
    hash::FlowWords,
    nat::{lives::life, sweep::Seen},
};
use serde::{Deserialize, Serialize};

use super::Directory;
use crate::{config::Protocol, dataplane::address_of};

/// A flow, as `lb-daemon flows --json` prints it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FlowReport {
    #[serde(flatten)]
    pub ends: Ends,
    pub state: String,
    /// Seconds since its first packet; `null` for a tuple that only rests.
    pub age: Option<f64>,
    /// Seconds since its last packet, within an eighth of the state's time.
    pub idle: f64,
    /// Seconds until it ends without a packet.
    pub expires: f64,
    /// Frame bytes from the client; `null` for a tuple that only rests.
    pub bytes: Option<u64>,
    /// From the backend.
    pub reply_bytes: u64,
}

/// client ─► VIP ⇒ source ─► backend.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Ends {
    pub service: String,
    pub protocol: String,
    pub client: String,
    pub client_port: u16,
    pub vip: String,
    pub vip_port: u16,
    /// Where the backend sees it come from.
    pub snat: String,
    pub snat_port: u16,
    pub backend: String,
    pub backend_address: String,
    pub backend_port: u16,
}

/// Both ends of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sockets {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

impl Sockets {
    pub fn of(flow: &FlowWords) -> Self {
        let [a, b, c, d, ..] = flow.ports.to_le_bytes();
        Self {
            source: SocketAddr::new(address_of(flow.source), u16::from_be_bytes([a, b])),
            destination: SocketAddr::new(address_of(flow.destination), u16::from_be_bytes([c, d])),
        }
    }
}

pub fn protocol_of(flow: &FlowWords) -> &'static str {
    match (flow.ports >> 32) as u8 {
        number if number == Protocol::Tcp.number() => Protocol::Tcp.name(),
        _ => Protocol::Udp.name(),
    }
}

/// `outside`: the client's packets as they arrive; `inside`: as they leave.
pub fn ends(
    directory: &Directory,
    (service, backend): (u16, u16),
    outside: &FlowWords,
    inside: &FlowWords,
) -> Ends {
    let (out, into) = (Sockets::of(outside), Sockets::of(inside));
    let known = directory.backends.get(&backend);
    let service = directory.services.get(&service).map(|one| &one.name);
    let name = |name: Option<&String>| name.cloned().unwrap_or_default();
    let text = |address: IpAddr| address.to_string();
    Ends {
        service: name(service.or(known.map(|one| &one.service))),
        protocol: protocol_of(outside).to_owned(),
        client: text(out.source.ip()),
        client_port: out.source.port(),
        vip: text(out.destination.ip()),
        vip_port: out.destination.port(),
        snat: text(into.source.ip()),
        snat_port: into.source.port(),
        backend: name(known.map(|one| &one.name)),
        backend_address: text(into.destination.ip()),
        backend_port: into.destination.port(),
    }
}

/// Of a flow, from its reverse line.
pub fn ends_of(directory: &Directory, reverse: &Seen) -> Ends {
    let numbers = (reverse.entry.service, reverse.entry.backend);
    ends(directory, numbers, &reverse.entry.to.reversed(), &reverse.key.reversed())
}

/// Time of the state a line is in, if its service is known.
pub fn life_of(directory: &Directory, seen: &Seen) -> Option<u64> {
    let service = directory.services.get(&seen.entry.service)?;
    Some(life(seen.meta.state(), &service.entry, &directory.settings).into())
}

impl FlowReport {
    pub fn of(directory: &Directory, reverse: &Seen, forward: Option<&Seen>, now: u64) -> Self {
        let seconds = |ticks: u64| directory.ticks.duration(ticks);
        let rounded = |duration: Duration| (duration.as_secs_f64() * 10.0).round() / 10.0;
        let left = reverse.meta.expires().saturating_sub(now);
        let life = life_of(directory, reverse).unwrap_or(left);
        // A tuple that rests may have lost its other line to a new flow.
        let forward = forward.filter(|seen| seen.meta.in_use());
        let age = forward.map(|seen| seconds(now.saturating_sub(seen.entry.began)));
        // Times that have changed since the last packet count from the next one on.
        let idle = seconds(life.saturating_sub(left)).min(age.unwrap_or(Duration::MAX));
        Self {
            ends: ends_of(directory, reverse),
            state: reverse.meta.state().name().to_owned(),
            age: age.map(rounded),
            idle: rounded(idle),
            expires: rounded(seconds(left)),
            bytes: forward.map(|seen| seen.bytes),
            reply_bytes: reverse.bytes,
        }
    }
}

/// Why a flow in this state is over.
pub const fn reason(state: NatState, gone: bool) -> &'static str {
    match state {
        _ if gone => "service_removed",
        NatState::Closed => "closed",
        NatState::BackendClosed => "backend_closed",
        NatState::Reset => "reset",
        NatState::UdpDone => "answered",
        NatState::Opening | NatState::Answered => "half_open",
        NatState::ClientClosing | NatState::BackendClosing => "half_closed",
        _ => "idle",
    }
}
