//! Wraps a packet into the ICMP error about it: destination unreachable (RFC
//! 792, RFC 4443), with the MTU of RFC 1191 where fragmentation was needed,
//! and packet too big (RFC 4443).
//!
//! At most [`QUOTE`] bytes of the packet are quoted: its headers and more, but
//! few enough for a checksum over a bounded loop.

use super::super::parse::{ICMP, ICMPV6};
use super::super::{Arrival, ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet};
use super::headers;
use crate::checksum::Sum;

/// Bytes quoted at most; a multiple of eight.
const QUOTE: usize = 128;
const ICMP_HEADER: usize = 8;

#[inline(always)]
pub fn port<P: Packet>(packet: &mut P, arrival: &Arrival) -> Option<()> {
    let kind = if arrival.network.v6 { [1, 4] } else { [3, 3] };
    build(packet, arrival, kind, 0)
}

#[inline(always)]
pub fn too_big<P: Packet>(packet: &mut P, arrival: &Arrival, mtu: u16) -> Option<()> {
    let kind = if arrival.network.v6 { [2, 0] } else { [3, 4] };
    build(packet, arrival, kind, mtu)
}

/// `kind`: type and code. Not inlined, so that its frame of stack is not the
/// main path's.
#[inline(never)]
fn build<P: Packet>(packet: &mut P, arrival: &Arrival, kind: [u8; 2], mtu: u16) -> Option<()> {
    let v6 = arrival.network.v6;
    let length = arrival.network.length;
    let quote = if length < QUOTE { length & !7 } else { QUOTE };
    let header = headers::length(v6);
    let icmp = ETHERNET + header;
    make_room(packet, v6)?;
    packet.set_length(icmp + ICMP_HEADER + quote)?;
    let payload = (ICMP_HEADER + quote) as u16;
    let protocol = if v6 { ICMPV6 } else { ICMP };
    let addresses = headers::turn_around(packet, v6, protocol, payload)?;
    let pseudo = if v6 { addresses.number(payload).number(protocol as u16) } else { Sum::ZERO };
    let [high, low] = mtu.to_be_bytes();
    let rest = [0, 0, high, low];
    let quoted = sum_of(packet, pseudo, icmp + ICMP_HEADER, quote)?;
    let sum = quoted.bytes([kind[0], kind[1], 0, 0]).bytes(rest).checksum();
    packet.write(icmp, [kind[0], kind[1], sum[0], sum[1]])?;
    packet.write(icmp + 4, rest)
}

/// Moves the start of the frame so that the packet becomes the quote, and puts
/// a copy of its Ethernet header and addresses where the answer's will be.
#[inline(always)]
fn make_room<P: Packet>(packet: &mut P, v6: bool) -> Option<()> {
    let room = headers::length(v6) + ICMP_HEADER;
    packet.grow_front(room)?;
    let link = [packet.read::<4>(room)?, packet.read::<4>(room + 4)?, packet.read::<4>(room + 8)?];
    packet.write(0, link[0])?;
    packet.write(4, link[1])?;
    packet.write(8, link[2])?;
    if v6 {
        packet.write(12, ETHERTYPE_IPV6)?;
        let at = ETHERNET + 8;
        copy_16(packet, room + at, at)?;
        copy_16(packet, room + at + 16, at + 16)
    } else {
        packet.write(12, ETHERTYPE_IPV4)?;
        let addresses = packet.read::<8>(room + ETHERNET + 12)?;
        packet.write(ETHERNET + 12, addresses)
    }
}

#[inline(always)]
fn copy_16<P: Packet>(packet: &mut P, from: usize, to: usize) -> Option<()> {
    let halves = [packet.read::<8>(from)?, packet.read::<8>(from + 8)?];
    packet.write(to, halves[0])?;
    packet.write(to + 8, halves[1])
}

/// Adds `length` bytes (a multiple of eight, at most [`QUOTE`]) to `sum`.
#[inline(always)]
fn sum_of<P: Packet>(packet: &P, mut sum: Sum, offset: usize, length: usize) -> Option<Sum> {
    let mut i = 0;
    while i < QUOTE {
        if i >= length {
            break;
        }
        sum = sum.long(packet.read::<8>(offset + i)?);
        i += 8;
    }
    Some(sum)
}
