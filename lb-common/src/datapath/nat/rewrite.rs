//! Other addresses and ports in a packet's headers, and other headers where the
//! family changes (RFC 7915, sections 4.1 and 5.1, for TCP and UDP).
//!
//! Checksums are updated by what changed (RFC 1624): the payload is not read.

use super::super::parse::TCP;
use super::super::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Packet};
use crate::abi::Handoff;
use crate::checksum::Sum;
use crate::hash::{FlowWords, is_v4, join, v4_of};
use crate::reason::DropReason;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;

/// Gives the packet the ends that its draft says.
#[inline(always)]
pub fn packet<P: Packet>(packet: &mut P, handoff: &Handoff) -> Result<(), DropReason> {
    let to = &handoff.draft.forward.to;
    let changed = match (handoff.v6 != 0, is_v4(to.destination)) {
        (false, true) => within_v4(packet, handoff, to),
        (true, false) => within_v6(packet, handoff, to),
        (false, false) => v4_to_v6(packet, handoff, to),
        (true, true) => v6_to_v4(packet, handoff, to),
    };
    changed.ok_or(DropReason::NatUntranslatable)
}

/// Gives the packet other ends of its own family.
#[inline(always)]
pub fn within_family<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords) -> Option<()> {
    if handoff.v6 != 0 { within_v6(packet, handoff, to) } else { within_v4(packet, handoff, to) }
}

/// Both addresses of an IPv4 header.
#[inline(always)]
pub fn v4_addresses(to: &FlowWords) -> [u8; 8] {
    let [a, b, c, d] = v4_of(to.source);
    let [e, f, g, h] = v4_of(to.destination);
    [a, b, c, d, e, f, g, h]
}

#[inline(always)]
fn within_v4<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords) -> Option<()> {
    let change = replace_v4_addresses(packet, ETHERNET, to)?;
    upper(packet, handoff, to, change)
}

/// Replaces the addresses of the IPv4 header at `at` and its checksum; returns
/// what changed in the addresses.
#[inline(always)]
pub fn replace_v4_addresses<P: Packet>(packet: &mut P, at: usize, to: &FlowWords) -> Option<Sum> {
    let new = v4_addresses(to);
    let change = Sum::ZERO.without_long(packet.read::<8>(at + 12)?).long(new);
    let checksum = packet.read::<2>(at + 10)?;
    packet.write(at + 10, change.update(checksum))?;
    packet.write(at + 12, new)?;
    Some(change)
}

#[inline(always)]
fn within_v6<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords) -> Option<()> {
    let change = replace_v6_addresses(packet, ETHERNET, to)?;
    upper(packet, handoff, to, change)
}

/// Replaces the addresses of the IPv6 header at `at`; returns what changed.
#[inline(always)]
pub fn replace_v6_addresses<P: Packet>(packet: &mut P, at: usize, to: &FlowWords) -> Option<Sum> {
    let change = without_v6_addresses(packet, at)?;
    let change = with_v6_addresses(change, to);
    write_v6_addresses(packet, at, to)?;
    Some(change)
}

#[inline(always)]
pub fn without_v6_addresses<P: Packet>(packet: &P, at: usize) -> Option<Sum> {
    Some(
        Sum::ZERO
            .without_long(packet.read::<8>(at + 8)?)
            .without_long(packet.read::<8>(at + 16)?)
            .without_long(packet.read::<8>(at + 24)?)
            .without_long(packet.read::<8>(at + 32)?),
    )
}

#[inline(always)]
fn with_v6_addresses(change: Sum, to: &FlowWords) -> Sum {
    change
        .long(to.source[0].to_le_bytes())
        .long(to.source[1].to_le_bytes())
        .long(to.destination[0].to_le_bytes())
        .long(to.destination[1].to_le_bytes())
}

#[inline(always)]
fn write_v6_addresses<P: Packet>(packet: &mut P, at: usize, to: &FlowWords) -> Option<()> {
    packet.write(at + 8, join(to.source))?;
    packet.write(at + 24, join(to.destination))
}

/// Ports and checksum of TCP or UDP; `change`: in the pseudo header.
#[inline(always)]
fn upper<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords, change: Sum) -> Option<()> {
    let at = handoff.upper as usize & 0xfff;
    let ports = (to.ports as u32).to_le_bytes();
    let change = change.without(packet.read::<4>(at)?).bytes(ports);
    packet.write(at, ports)?;
    if handoff.protocol == TCP {
        let checksum = packet.read::<2>(at + 16)?;
        return packet.write(at + 16, change.update(checksum));
    }
    let checksum = packet.read::<2>(at + 6)?;
    if checksum == [0, 0] {
        // None was computed, which only IPv4 allows.
        return Some(());
    }
    packet.write(at + 6, not_zero(change.update(checksum)))
}

/// Over UDP, 0 means that there is no checksum.
#[inline(always)]
pub fn not_zero(checksum: [u8; 2]) -> [u8; 2] {
    if checksum == [0, 0] { [0xff, 0xff] } else { checksum }
}

/// Without options; a UDP checksum that is not there is not made.
#[inline(always)]
fn v4_to_v6<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords) -> Option<()> {
    let at = handoff.upper as usize & 0xfff;
    if at != ETHERNET + IPV4_HEADER || handoff.is_fragment != 0 {
        return None;
    }
    if handoff.protocol != TCP && packet.read::<2>(at + 6)? == [0, 0] {
        return None;
    }
    let [_, tos, ..] = packet.read::<4>(ETHERNET)?;
    let [hop_limit] = packet.read::<1>(ETHERNET + 8)?;
    let change = Sum::ZERO.without_long(packet.read::<8>(ETHERNET + 12)?);
    upper(packet, handoff, to, with_v6_addresses(change, to))?;
    packet.grow_front(IPV6_HEADER - IPV4_HEADER)?;
    let [high, low] = (handoff.length as u16).wrapping_sub(IPV4_HEADER as u16).to_be_bytes();
    packet.write(12, ETHERTYPE_IPV6)?;
    let first = [0x60 | tos >> 4, tos << 4, 0, 0, high, low, handoff.protocol, hop_limit];
    packet.write(ETHERNET, first)?;
    write_v6_addresses(packet, ETHERNET, to)
}

/// Without extension headers.
#[inline(always)]
fn v6_to_v4<P: Packet>(packet: &mut P, handoff: &Handoff, to: &FlowWords) -> Option<()> {
    if handoff.upper as usize != ETHERNET + IPV6_HEADER {
        return None;
    }
    let [a, b, ..] = packet.read::<4>(ETHERNET)?;
    let [hop_limit] = packet.read::<1>(ETHERNET + 7)?;
    let addresses = v4_addresses(to);
    let change = without_v6_addresses(packet, ETHERNET)?.long(addresses);
    upper(packet, handoff, to, change)?;
    packet.shrink_front(IPV6_HEADER - IPV4_HEADER)?;
    let length = (handoff.length as u16).wrapping_sub((IPV6_HEADER - IPV4_HEADER) as u16);
    let [high, low] = length.to_be_bytes();
    let first = [0x45, a << 4 | b >> 4, high, low];
    // Never fragmented on the way, as the sender meant it.
    let second = [0, 0, 0x40, 0];
    let third = [hop_limit, handoff.protocol, 0, 0];
    let sum = Sum::ZERO.bytes(first).bytes(second).bytes(third).long(addresses).checksum();
    packet.write(12, ETHERTYPE_IPV4)?;
    packet.write(ETHERNET, first)?;
    packet.write(ETHERNET + 4, second)?;
    packet.write(ETHERNET + 8, [hop_limit, handoff.protocol, sum[0], sum[1]])?;
    packet.write(ETHERNET + 12, addresses)
}
