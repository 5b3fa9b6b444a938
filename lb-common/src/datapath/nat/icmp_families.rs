//! ICMP errors about flows that change their family on the way: another kind of
//! message, with other headers outside and in the packet it quotes (RFC 7915,
//! sections 4.2, 4.3, 5.2 and 5.3).
//!
//! The message is made anew. Of the quoted packet it keeps the first eight
//! bytes after the headers: ports and what follows them, by which the sender
//! knows its flow.

use super::super::parse::{Ipv4, UDP, UpperLayer, upper_layer};
use super::super::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet};
use super::rewrite;
use crate::abi::Handoff;
use crate::checksum::Sum;
use crate::hash::{FlowWords, join};

const ICMP_HEADER: usize = 8;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const DIFFERENCE: u16 = (IPV6_HEADER - IPV4_HEADER) as u16;
/// Bytes kept of what the quoted packet carries.
const KEPT: usize = 8;
const V6_MESSAGE: usize = ICMP_HEADER + IPV6_HEADER + KEPT;
const V4_MESSAGE: usize = IPV4_HEADER + ICMP_HEADER + IPV4_HEADER + KEPT;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const HOP_LIMIT: u8 = 64;
/// Every IPv6 link takes that much (RFC 8200, section 5).
const LEAST_V6_MTU: u16 = 1280;
const LEAST_V4_MTU: u16 = 68;

/// Type and code of a message, and its last four bytes: a pointer or an MTU.
type Meaning = ([u8; 2], [u8; 4]);

/// Turns the error into one of the other family, between the ends `to`. `None`:
/// the other family has no such message, or this one is cut short.
#[inline(never)]
pub fn rewrite<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords) -> Option<()> {
    let at = handoff.upper as usize & 0xfff;
    let [kind, code] = packet.read::<2>(at)?;
    let [_, _, high, low] = packet.read::<4>(at + 4)?;
    let mtu = u16::from_be_bytes([high, low]);
    if handoff.v6 != 0 {
        let meaning = in_v4(kind, code, mtu)?;
        to_v4(packet, at + ICMP_HEADER, to, meaning)
    } else {
        let meaning = in_v6(kind, code, mtu)?;
        to_v6(packet, at + ICMP_HEADER, to, meaning)
    }
}

#[inline(always)]
fn in_v6(kind: u8, code: u8, mtu: u16) -> Option<Meaning> {
    match (kind, code) {
        (3, 2) => Some(([4, 1], [0, 0, 0, 6])),
        (3, 3) => Some(([1, 4], [0; 4])),
        (3, 4) => {
            let mtu = mtu.saturating_add(DIFFERENCE);
            let [high, low] = if mtu < LEAST_V6_MTU { LEAST_V6_MTU } else { mtu }.to_be_bytes();
            Some(([2, 0], [0, 0, high, low]))
        }
        (3, 9 | 10 | 13 | 15) => Some(([1, 1], [0; 4])),
        (3, 0 | 1 | 5..=8 | 11 | 12) => Some(([1, 0], [0; 4])),
        (11, code) => Some(([3, code], [0; 4])),
        _ => None,
    }
}

#[inline(always)]
fn in_v4(kind: u8, code: u8, mtu: u16) -> Option<Meaning> {
    match (kind, code) {
        (1, 1) => Some(([3, 10], [0; 4])),
        (1, 4) => Some(([3, 3], [0; 4])),
        (1, 0 | 2 | 3) => Some(([3, 1], [0; 4])),
        (2, _) => {
            let mtu = mtu.saturating_sub(DIFFERENCE);
            let [high, low] = if mtu < LEAST_V4_MTU { LEAST_V4_MTU } else { mtu }.to_be_bytes();
            Some(([3, 4], [0, 0, high, low]))
        }
        (3, code) => Some(([11, code], [0; 4])),
        (4, 1) => Some(([3, 2], [0; 4])),
        _ => None,
    }
}

/// The packet quoted at `quoted` is IPv4.
#[inline(always)]
fn to_v6<P: Packet>(
    packet: &mut P,
    quoted: usize,
    to: &FlowWords,
    (what, rest): Meaning,
) -> Option<()> {
    let header = Ipv4::read(packet, quoted)?;
    let carried = header.total_length().wrapping_sub(header.header_length()) as u16;
    let change = addresses(Sum::ZERO.without_long(packet.read::<8>(quoted + 12)?), to);
    let upper = (header.protocol(), quoted + header.header_length());
    let kept = kept(packet, upper, to, change)?;
    let head = ETHERNET + IPV6_HEADER;
    packet.set_length(head + V6_MESSAGE)?;
    packet.write(12, ETHERTYPE_IPV6)?;
    write_v6(packet, ETHERNET, ICMPV6, V6_MESSAGE as u16, to)?;
    packet.write(head, [what[0], what[1], 0, 0, rest[0], rest[1], rest[2], rest[3]])?;
    let inner = head + ICMP_HEADER;
    let sum = write_v6(packet, inner, header.protocol(), carried, &to.reversed())?;
    packet.write(inner + IPV6_HEADER, kept)?;
    // The addresses outside are those inside, the other way round.
    let sum = addresses(sum, to).number(V6_MESSAGE as u16).number(ICMPV6 as u16);
    let sum = sum.bytes([what[0], what[1], 0, 0]).bytes(rest).long(kept).checksum();
    packet.write(head + 2, sum)
}

/// The packet quoted at `quoted` is IPv6.
#[inline(always)]
fn to_v4<P: Packet>(
    packet: &mut P,
    quoted: usize,
    to: &FlowWords,
    (what, rest): Meaning,
) -> Option<()> {
    let [_, _, high, low, next, ..] = packet.read::<8>(quoted + 2)?;
    let UpperLayer::At(protocol, upper) = upper_layer(packet, next, quoted) else { return None };
    let in_headers = upper.wrapping_sub(quoted + IPV6_HEADER) as u16;
    let carried = u16::from_be_bytes([high, low]).wrapping_sub(in_headers);
    let change = rewrite::without_v6_addresses(packet, quoted)?.long(rewrite::v4_addresses(to));
    let kept = kept(packet, (protocol, upper), to, change)?;
    packet.set_length(ETHERNET + V4_MESSAGE)?;
    packet.write(12, ETHERTYPE_IPV4)?;
    write_v4(packet, ETHERNET, ICMP, V4_MESSAGE as u16, to)?;
    let head = ETHERNET + IPV4_HEADER;
    let inner = head + ICMP_HEADER;
    write_v4(packet, inner, protocol, carried.wrapping_add(DIFFERENCE), &to.reversed())?;
    packet.write(inner + IPV4_HEADER, kept)?;
    // A header with its checksum sums up to nothing.
    let sum = Sum::ZERO.bytes([what[0], what[1], 0, 0]).bytes(rest).long(kept).checksum();
    packet.write(head, [what[0], what[1], sum[0], sum[1], rest[0], rest[1], rest[2], rest[3]])
}

/// What is kept of the quoted packet, with the ports that its sender gave it.
/// `change`: of the addresses.
#[inline(always)]
fn kept<P: Packet>(
    packet: &P,
    (protocol, upper): (u8, usize),
    to: &FlowWords,
    change: Sum,
) -> Option<[u8; KEPT]> {
    let [s0, s1, d0, d1, a, b, c, d] = packet.read::<KEPT>(upper)?;
    let old = [s0, s1, d0, d1];
    let new @ [s0, s1, d0, d1] = (to.reversed().ports as u32).to_le_bytes();
    if protocol != UDP || [c, d] == [0, 0] {
        return Some([s0, s1, d0, d1, a, b, c, d]);
    }
    let [c, d] = rewrite::not_zero(change.without(old).bytes(new).update([c, d]));
    Some([s0, s1, d0, d1, a, b, c, d])
}

#[inline(always)]
fn addresses(sum: Sum, ends: &FlowWords) -> Sum {
    sum.long(ends.source[0].to_le_bytes())
        .long(ends.source[1].to_le_bytes())
        .long(ends.destination[0].to_le_bytes())
        .long(ends.destination[1].to_le_bytes())
}

/// Writes an IPv6 header; returns its sum.
#[inline(always)]
fn write_v6<P: Packet>(
    packet: &mut P,
    at: usize,
    next: u8,
    length: u16,
    ends: &FlowWords,
) -> Option<Sum> {
    let [high, low] = length.to_be_bytes();
    let first = [0x60, 0, 0, 0, high, low, next, HOP_LIMIT];
    packet.write(at, first)?;
    packet.write(at + 8, join(ends.source))?;
    packet.write(at + 24, join(ends.destination))?;
    Some(addresses(Sum::ZERO.long(first), ends))
}

/// Writes an IPv4 header that says "do not fragment".
#[inline(always)]
fn write_v4<P: Packet>(
    packet: &mut P,
    at: usize,
    protocol: u8,
    length: u16,
    ends: &FlowWords,
) -> Option<()> {
    let [high, low] = length.to_be_bytes();
    let first = [0x45, 0, high, low, 0, 0, 0x40, 0];
    let addresses = rewrite::v4_addresses(ends);
    let sum = Sum::ZERO.long(first).bytes([HOP_LIMIT, protocol, 0, 0]).long(addresses).checksum();
    packet.write(at, first)?;
    packet.write(at + 8, [HOP_LIMIT, protocol, sum[0], sum[1]])?;
    packet.write(at + 12, addresses)
}
