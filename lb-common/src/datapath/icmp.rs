//! ICMP (RFC 792) and ICMPv6 (RFC 4443) to a VIP: echo requests are answered,
//! errors go to the backend whose flow they quote, neighbour discovery goes to
//! the kernel.

use super::parse::{Ipv4, Ipv6, TCP, Transport, UDP, UpperLayer};
use super::{Arrival, ETHERNET, Packet, Tables, Verdict, answer, classify, forward, select};
use crate::abi::{Budget, Unserved, VipEntry};
use crate::checksum;
use crate::reason::DropReason;
use crate::transition::PacketKind;

/// Bytes of an ICMP error before the packet it quotes.
const ERROR_HEADER: usize = 8;
const TTL: u8 = 64;

#[inline(always)]
pub fn v4<P: Packet, T: Tables>(packet: &mut P, tables: &T, arrival: &Arrival) -> Verdict {
    let Some(header) = packet.read::<8>(arrival.upper) else {
        return Verdict::drop(DropReason::Malformed);
    };
    match header[0] {
        8 => echo(packet, tables, arrival, header, 0),
        3 | 11 | 12 => error(packet, tables, arrival),
        _ => not_ours(arrival, DropReason::IcmpOther),
    }
}

#[inline(always)]
pub fn v6<P: Packet, T: Tables>(packet: &mut P, tables: &T, arrival: &Arrival) -> Verdict {
    let Some(header) = packet.read::<8>(arrival.upper) else {
        return Verdict::drop(DropReason::Malformed);
    };
    match header[0] {
        128 => echo(packet, tables, arrival, header, 129),
        1..=4 => error(packet, tables, arrival),
        // Multicast listener and neighbour discovery.
        130..=137 | 143 => Verdict::PASS,
        _ => not_ours(arrival, DropReason::IcmpOther),
    }
}

/// The kernel may know more where the VIP is an address of this host.
#[inline(always)]
fn not_ours(arrival: &Arrival, reason: DropReason) -> Verdict {
    match VipEntry::unserved_of(arrival.vip) {
        Unserved::Pass => Verdict::PASS,
        _ => Verdict::drop(reason),
    }
}

/// Turns an echo request around.
#[inline(never)]
fn echo<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
    header: [u8; 8],
    reply_type: u8,
) -> Verdict {
    if VipEntry::unserved_of(arrival.vip) == Unserved::Pass {
        return Verdict::PASS;
    }
    if !answer::may_answer(packet, tables, arrival) || !tables.take_token(Budget::Echo) {
        return Verdict::drop(DropReason::EchoUnanswered);
    }
    match reply(packet, arrival, header, reply_type) {
        Some(()) => Verdict::ECHO,
        None => Verdict::drop(DropReason::Malformed),
    }
}

#[inline(always)]
fn reply<P: Packet>(
    packet: &mut P,
    arrival: &Arrival,
    header: [u8; 8],
    reply_type: u8,
) -> Option<()> {
    let old = u16::from_be_bytes([header[0], header[1]]);
    let new = u16::from_be_bytes([reply_type, header[1]]);
    let sum = checksum::update(u16::from_be_bytes([header[2], header[3]]), old, new);
    // Both forms of zero verify, except that 0 is wrong over data that is all
    // zero (RFC 1624, section 3).
    let sum = if sum == 0 { 0xffff } else { sum }.to_be_bytes();
    packet.write(arrival.upper, [reply_type, header[1], sum[0], sum[1]])?;
    if arrival.network.v6 {
        let hop_limit = packet.read::<1>(ETHERNET + 7)?;
        let addresses = packet.read::<32>(ETHERNET + 8)?;
        packet.write(ETHERNET + 8, swap_halves(addresses))?;
        packet.write(ETHERNET + 7, if hop_limit[0] < TTL { [TTL] } else { hop_limit })?;
    } else {
        let [ttl, protocol, sum_high, sum_low] = packet.read::<4>(ETHERNET + 8)?;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = packet.read::<8>(ETHERNET + 12)?;
        let old = u16::from_be_bytes([ttl, protocol]);
        let new = u16::from_be_bytes([TTL, protocol]);
        let sum = checksum::update(u16::from_be_bytes([sum_high, sum_low]), old, new).to_be_bytes();
        packet
            .write(ETHERNET + 8, [TTL, protocol, sum[0], sum[1], d0, d1, d2, d3, s0, s1, s2, s3])?;
    }
    answer::turn_around(packet)
}

#[inline(always)]
fn swap_halves(addresses: [u8; 32]) -> [u8; 32] {
    let mut swapped = [0; 32];
    let mut i = 0;
    while i < 16 {
        swapped[i] = addresses[16 + i];
        swapped[16 + i] = addresses[i];
        i += 1;
    }
    swapped
}

/// An error about a packet that a backend sent from the VIP: to that backend.
#[inline(never)]
fn error<P: Packet, T: Tables>(packet: &mut P, tables: &T, arrival: &Arrival) -> Verdict {
    let Some((source, client, ports)) = quoted(packet, arrival) else {
        return not_ours(arrival, DropReason::IcmpUnmatched);
    };
    if source != arrival.network.destination {
        return not_ours(arrival, DropReason::IcmpUnmatched);
    }
    let Some(service) = classify::service(tables, arrival.vip, &ports) else {
        return not_ours(arrival, DropReason::IcmpUnmatched);
    };
    let mut flow = ports.flow(&arrival.network);
    flow.source = client;
    match select::for_message(tables, service, &flow) {
        select::Selected::Backend(id, hash) => {
            forward::to_backend(packet, tables, arrival, id, hash, false)
        }
        select::Selected::Reset => Verdict::drop(DropReason::DeadBackend),
        select::Selected::Refused(reason) => Verdict::drop(reason),
    }
}

/// Source and destination of the quoted packet, and its ports as the client's
/// own packets carry them. The first 8 bytes of the quoted TCP or UDP suffice.
#[inline(always)]
fn quoted<P: Packet>(packet: &P, arrival: &Arrival) -> Option<([u64; 2], [u64; 2], Transport)> {
    let start = arrival.upper + ERROR_HEADER;
    let (source, destination, protocol, upper) = if arrival.network.v6 {
        let header = Ipv6::read(packet, start)?;
        let UpperLayer::At(protocol, upper) = header.upper_layer(packet, start) else {
            return None;
        };
        if !header.has_sound_header() {
            return None;
        }
        (header.source(), header.destination(), protocol, upper)
    } else {
        let header = Ipv4::read(packet, start)?;
        if !header.has_sound_header() || header.is_later_fragment() {
            return None;
        }
        (header.source(), header.destination(), header.protocol(), start + header.header_length())
    };
    if protocol != TCP && protocol != UDP {
        return None;
    }
    let [s0, s1, d0, d1, ..] = packet.read::<8>(upper)?;
    let ports = Transport { protocol, ports: [d0, d1, s0, s1], kind: PacketKind::Data };
    Some((source, destination, ports))
}
