//! ICMP errors about translated flows: the message gets the ends that the other
//! side knows, outside and in the packet it quotes (RFC 5508).

use super::super::forward::link_addresses;
use super::super::parse::{Ipv4, TCP, UDP, UpperLayer, upper_layer};
use super::super::{ETHERNET, Packet, Verdict};
use super::{NatTables, egress, icmp_families, rewrite};
use crate::abi::{Draft, Handoff, backend_flags, mac_of};
use crate::checksum::Sum;
use crate::hash::{FlowWords, is_v4};
use crate::reason::DropReason;

/// Bytes of an ICMP header; the packet it quotes follows.
const HEADER: usize = 8;

/// Translates the error and sends it to whoever sent the packet it quotes.
#[inline(never)]
pub fn translate<P: Packet, T: NatTables>(
    packet: &mut P,
    tables: &T,
    handoff: &Handoff,
) -> Verdict {
    let Draft { forward, reverse, .. } = &handoff.draft;
    let to = &forward.to;
    // Found under the key of a backend's packets.
    let hop = if handoff.is_answer != 0 {
        reverse.hop
    } else {
        let Some(backend) = tables.backend(forward.backend) else {
            return Verdict::drop(DropReason::NoBackend);
        };
        if backend.flags & backend_flags::LOCAL != 0 {
            return match rewrite_message(packet, handoff, to) {
                Some(()) => Verdict::PASS,
                None => Verdict::drop(DropReason::NatUntranslatable),
            };
        }
        if backend.flags & backend_flags::RESOLVED == 0 {
            return Verdict::drop(DropReason::NoNextHop);
        }
        egress::hop_to(backend)
    };
    if rewrite_message(packet, handoff, to).is_none() {
        return Verdict::drop(DropReason::NatUntranslatable);
    }
    if packet.write(0, link_addresses(mac_of(hop.destination), mac_of(hop.source))).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    egress::leave(packet, hop.ifindex as u32)
}

#[inline(never)]
fn rewrite_message<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords) -> Option<()> {
    if is_v4(to.destination) == (handoff.v6 != 0) {
        return icmp_families::rewrite(packet, handoff, to);
    }
    rewrite_within_family(packet, handoff, to)
}

/// Gives the error the ends of `to`, and those it quotes the reverse.
#[inline(always)]
pub fn rewrite_within_family<P: Packet>(
    packet: &mut P,
    handoff: &Handoff,
    to: &FlowWords,
) -> Option<()> {
    let at = handoff.upper as usize & 0xfff;
    let change = if handoff.v6 != 0 {
        let quoted = quoted_v6(packet, at + HEADER, &to.reversed())?;
        let outer = rewrite::replace_v6_addresses(packet, ETHERNET, to)?;
        outer.and(quoted)
    } else {
        let quoted = quoted_v4(packet, at + HEADER, &to.reversed())?;
        rewrite::replace_v4_addresses(packet, ETHERNET, to)?;
        quoted
    };
    let checksum = packet.read::<2>(at + 2)?;
    packet.write(at + 2, change.update(checksum))
}

/// Gives the packet quoted at `at` the ends of `ends`; returns what changed.
#[inline(always)]
fn quoted_v4<P: Packet>(packet: &mut P, at: usize, ends: &FlowWords) -> Option<Sum> {
    let header = Ipv4::read(packet, at)?;
    let old = packet.read::<2>(at + 10)?;
    let addresses = rewrite::replace_v4_addresses(packet, at, ends)?;
    let new = packet.read::<2>(at + 10)?;
    let in_header = addresses.without([old[0], old[1], 0, 0]).bytes([new[0], new[1], 0, 0]);
    let upper =
        quoted_upper(packet, at + header.header_length(), header.protocol(), (ends, addresses))?;
    // `without` of two bytes too many adds 0xffff, which is 0.
    Some(in_header.and(upper))
}

#[inline(always)]
fn quoted_v6<P: Packet>(packet: &mut P, at: usize, ends: &FlowWords) -> Option<Sum> {
    let [next] = packet.read::<1>(at + 6)?;
    let UpperLayer::At(protocol, upper) = upper_layer(packet, next, at) else { return None };
    let addresses = rewrite::replace_v6_addresses(packet, at, ends)?;
    Some(addresses.and(quoted_upper(packet, upper, protocol, (ends, addresses))?))
}

/// Ports, and the checksum where it is quoted. `addresses`: what changed there.
#[inline(always)]
fn quoted_upper<P: Packet>(
    packet: &mut P,
    at: usize,
    protocol: u8,
    (ends, addresses): (&FlowWords, Sum),
) -> Option<Sum> {
    let ports = (ends.ports as u32).to_le_bytes();
    let change = Sum::ZERO.without(packet.read::<4>(at)?).bytes(ports);
    packet.write(at, ports)?;
    let checksum_at = match protocol {
        TCP => at + 16,
        UDP => at + 6,
        _ => return Some(change),
    };
    let Some(old) = packet.read::<2>(checksum_at) else { return Some(change) };
    if protocol == UDP && old == [0, 0] {
        return Some(change);
    }
    let updated = addresses.and(change).update(old);
    let new = if protocol == UDP { rewrite::not_zero(updated) } else { updated };
    packet.write(checksum_at, new)?;
    Some(change.without([old[0], old[1], 0, 0]).bytes([new[0], new[1], 0, 0]))
}
