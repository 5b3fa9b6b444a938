//! Probes on the way of client packets, and their answers back to the prober.
//!
//! ```text
//! prober ─► alias becomes VIP ─► forward ─► tunnel ─► backend
//! prober ◄─ VIP becomes alias ◄─ classify ◄───────────┘
//! ```
//!
//! Nothing of this is counted as traffic of clients. The addresses are changed
//! by what translation uses.

use super::forward::{self, link_addresses};
use super::icmp::{self, Quoted};
use super::nat::{self, rewrite};
use super::parse::{ICMP, ICMPV6, Ipv4, Ipv6, TCP, Transport, UDP, UpperLayer, upper_layer};
use super::{
    Arrival, ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Egress, Network, Next, Packet, Tables,
    Verdict, classify,
};
use crate::abi::probe::{
    FIRST_PROBE_PORT, PROBE_HOST_MAC, PROBE_NAMESPACE_MAC, alias, alias_number, probe_address,
};
use crate::abi::{Handoff, ProbePort, ProbeWay, VipEntry};
use crate::hash::{FlowHash, FlowWords};
use crate::reason::DropReason;

/// The maps of probes. Ports are counted from [`FIRST_PROBE_PORT`].
pub trait ProbeTables: Tables {
    fn probe_way(&self, number: u16) -> Option<&ProbeWay>;
    fn probe_port(&self, index: u16) -> ProbePort;
    fn set_probe_port(&self, index: u16, port: ProbePort);
}

/// Whether a packet to an address that probes leave from may answer one.
#[inline(always)]
pub(super) fn may_be_answer<P: Packet>(packet: &P, arrival: &Arrival) -> bool {
    VipEntry::is_probe_source(arrival.vip) && has_port(packet, arrival)
}

/// What speaks of other packets may name the port of one.
#[inline(always)]
fn has_port<P: Packet>(packet: &P, arrival: &Arrival) -> bool {
    match arrival.network.protocol {
        TCP | UDP => {}
        ICMP => return !arrival.network.v6,
        ICMPV6 => return arrival.network.v6,
        _ => return false,
    }
    match packet.read::<2>(arrival.upper + 2) {
        Some(port) => u16::from_be_bytes(port) >= FIRST_PROBE_PORT,
        None => false,
    }
}

/// A packet from the prober's namespace. Whatever is not a probe goes nowhere.
#[inline(always)]
pub fn send<P: Packet, T: ProbeTables>(
    packet: &mut P,
    tables: &T,
    handoff: &mut Handoff,
) -> Verdict {
    let Some(arrival) = arrival(packet) else { return Verdict::drop(DropReason::Malformed) };
    let Arrival { network, .. } = &arrival;
    if network.protocol != TCP && network.protocol != UDP {
        return Verdict::drop(DropReason::UnservedProtocol);
    }
    let Some(transport) = Transport::read(packet, &arrival) else {
        return Verdict::drop(DropReason::Malformed);
    };
    let number = alias_number(network.destination);
    let port = transport.source_port();
    if network.destination != alias(number, network.v6) || port < FIRST_PROBE_PORT {
        return Verdict::drop(DropReason::UnservedPort);
    }
    let Some(way) = tables.probe_way(number) else {
        return Verdict::drop(DropReason::NoBackend);
    };
    if !way.used() {
        return Verdict::drop(DropReason::NoBackend);
    }
    let entry = ProbePort::new(number, transport.protocol, transport.destination_port());
    tables.set_probe_port(port - FIRST_PROBE_PORT, entry);
    let to = FlowWords {
        source: way.source,
        destination: way.vip,
        ports: FlowWords::pack_ports(transport.ports, transport.protocol),
    };
    note(handoff, &arrival);
    if rewrite::within_family(packet, handoff, &to).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    let network = Network { source: to.source, destination: to.destination, ..*network };
    let arrival = Arrival { network, ..arrival };
    // Only an outer header takes from it: no client must not guess it.
    let hash = FlowHash::of(&to, [0; 2]);
    forward::to_backend(packet, tables, &arrival, way.backend(), hash, false)
}

/// What translation needs to know of a packet.
#[inline(always)]
fn note(handoff: &mut Handoff, arrival: &Arrival) {
    let network = &arrival.network;
    handoff.source = network.source;
    handoff.destination = network.destination;
    handoff.length = network.length as u32;
    handoff.upper = arrival.upper as u32;
    handoff.service = nat::NO_SERVICE;
    handoff.protocol = network.protocol;
    handoff.v6 = network.v6 as u8;
    handoff.is_fragment = 0;
}

/// In one piece.
#[inline(always)]
fn arrival<P: Packet>(packet: &P) -> Option<Arrival> {
    match packet.read::<2>(12)? {
        ETHERTYPE_IPV4 => ipv4(packet),
        ETHERTYPE_IPV6 => ipv6(packet),
        _ => None,
    }
}

#[inline(always)]
fn ipv4<P: Packet>(packet: &P) -> Option<Arrival> {
    let header = Ipv4::read(packet, ETHERNET)?;
    if !header.is_sound(packet.length() - ETHERNET) || header.is_fragment() {
        return None;
    }
    Some(Arrival { network: header.network(), upper: ETHERNET + header.header_length(), vip: 0 })
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P) -> Option<Arrival> {
    let header = Ipv6::read(packet, ETHERNET)?;
    if !header.is_sound(packet.length() - ETHERNET) {
        return None;
    }
    let UpperLayer::At(protocol, upper) = upper_layer(packet, header.next(), ETHERNET) else {
        return None;
    };
    Some(Arrival { network: header.network(protocol), upper, vip: 0 })
}

/// A packet that may answer a probe, or speak of one: to the prober if it does,
/// else where it would have gone.
#[inline(always)]
pub fn answer<P: Packet, T: ProbeTables>(
    packet: &mut P,
    tables: &T,
    handoff: &mut Handoff,
) -> Verdict {
    let is_read = read(packet, handoff);
    // After the other, not below it: together they would not fit the stack.
    if !is_read || (handoff.packet_kind().is_none() && !read_error(packet, handoff)) {
        return Verdict::PASS;
    }
    let number = way_of(tables, &handoff.flow);
    if number == NO_WAY {
        return elsewhere(tables, handoff);
    }
    let Some(way) = tables.probe_way(number as u16) else { return Verdict::PASS };
    let ifindex = way.ifindex();
    if to_prober(packet, handoff, number as u16).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    Verdict::forward(Egress::Other(ifindex))
}

/// Reads the packet. False: no concern of probes'.
#[inline(never)]
fn read<P: Packet>(packet: &P, handoff: &mut Handoff) -> bool {
    let Some(arrival) = arrival(packet) else { return false };
    note(handoff, &arrival);
    let Arrival { network, .. } = &arrival;
    if network.protocol != TCP && network.protocol != UDP {
        handoff.kind = nat::number_of(None);
        return true;
    }
    let Some(transport) = Transport::read(packet, &arrival) else { return false };
    handoff.flow = transport.flow(network);
    handoff.kind = nat::number_of(Some(transport.kind));
    true
}

/// The reverse of what an ICMP error quotes: from the server to the probe.
#[inline(never)]
fn read_error<P: Packet>(packet: &P, handoff: &mut Handoff) -> bool {
    let arrival = &handoff.arrival();
    let Some(kind) = icmp::kind(packet, arrival) else { return false };
    let mut quoted = Quoted::default();
    if !icmp::is_error(arrival.network.v6, kind)
        || !icmp::read_quoted(packet, arrival, &mut quoted)
        || quoted.source != arrival.network.destination
    {
        return false;
    }
    handoff.flow = FlowWords {
        source: quoted.destination,
        destination: quoted.source,
        ports: FlowWords::pack_ports(quoted.ports, quoted.protocol),
    };
    true
}

/// Stands for a way where there is none.
const NO_WAY: u32 = u32::MAX;

/// The number of the way that a probe took whose answer this is.
#[inline(always)]
fn way_of<T: ProbeTables>(tables: &T, flow: &FlowWords) -> u32 {
    // From the server's port to the probe's.
    let server = (flow.ports as u16).swap_bytes();
    let port = ((flow.ports >> 16) as u16).swap_bytes();
    if port < FIRST_PROBE_PORT {
        return NO_WAY;
    }
    let entry = tables.probe_port(port - FIRST_PROBE_PORT);
    let number = entry.way();
    let Some(way) = tables.probe_way(number) else { return NO_WAY };
    let is_its = entry == ProbePort::new(number, (flow.ports >> 32) as u8, server)
        && way.used()
        && way.vip == flow.source
        && way.source == flow.destination;
    if is_its { number as u32 } else { NO_WAY }
}

/// Gives the packet the ends that the prober knows.
#[inline(never)]
fn to_prober<P: Packet>(packet: &mut P, handoff: &Handoff, number: u16) -> Option<()> {
    let v6 = handoff.v6 != 0;
    let to = FlowWords {
        source: alias(number, v6),
        destination: probe_address(v6),
        ports: handoff.flow.ports,
    };
    if handoff.protocol == TCP || handoff.protocol == UDP {
        rewrite::within_family(packet, handoff, &to)?;
    } else {
        nat::icmp::rewrite_within_family(packet, handoff, &to)?;
    }
    packet.write(0, link_addresses(PROBE_NAMESPACE_MAC, PROBE_HOST_MAC))
}

/// As if there were no probes: what else comes to this address, which is no
/// VIP, may belong to translated flows, or is the kernel's.
#[inline(never)]
fn elsewhere<T: Tables>(tables: &T, handoff: &mut Handoff) -> Verdict {
    let Some(vip) = classify::vip(tables, handoff.destination) else { return Verdict::PASS };
    if !nat::may_be_answer(vip) {
        return Verdict::PASS;
    }
    handoff.vip = vip;
    Verdict::next(Next::Nat)
}
