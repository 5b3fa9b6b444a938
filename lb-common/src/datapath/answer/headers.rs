//! Ethernet and IP headers of an answer, made from those of the packet that
//! lie in the same place: addresses swapped, everything else new.

use super::super::{ETHERNET, Packet};
use super::turn_around as turn_link_around;
use crate::checksum::Sum;

const TTL: u8 = 64;

/// Length of the IP header of an answer.
#[inline(always)]
pub const fn length(v6: bool) -> usize {
    if v6 { 40 } else { 20 }
}

/// Returns the sum over the addresses, for a pseudo header. `payload`: bytes
/// behind the IP header.
#[inline(always)]
pub fn turn_around<P: Packet>(packet: &mut P, v6: bool, protocol: u8, payload: u16) -> Option<Sum> {
    turn_link_around(packet)?;
    if v6 { ipv6(packet, protocol, payload) } else { ipv4(packet, protocol, payload) }
}

#[inline(always)]
fn ipv4<P: Packet>(packet: &mut P, protocol: u8, payload: u16) -> Option<Sum> {
    let source = packet.read::<4>(ETHERNET + 12)?;
    let destination = packet.read::<4>(ETHERNET + 16)?;
    let addresses = Sum::ZERO.bytes(source).bytes(destination);
    let [high, low] = (payload + 20).to_be_bytes();
    let first = [0x45, 0, high, low];
    let dont_fragment = [0, 0, 0x40, 0];
    let sum = addresses.bytes(first).bytes(dont_fragment).bytes([TTL, protocol, 0, 0]).checksum();
    packet.write(ETHERNET, first)?;
    packet.write(ETHERNET + 4, dont_fragment)?;
    packet.write(ETHERNET + 8, [TTL, protocol, sum[0], sum[1]])?;
    packet.write(ETHERNET + 12, destination)?;
    packet.write(ETHERNET + 16, source)?;
    Some(addresses)
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &mut P, protocol: u8, payload: u16) -> Option<Sum> {
    let [high, low] = payload.to_be_bytes();
    packet.write(ETHERNET, [0x60, 0, 0, 0])?;
    packet.write(ETHERNET + 4, [high, low, protocol, TTL])?;
    swap_v6_addresses(packet)
}

/// Swaps the addresses of the IPv6 header and returns their sum.
#[inline(always)]
pub fn swap_v6_addresses<P: Packet>(packet: &mut P) -> Option<Sum> {
    let source = [packet.read::<8>(ETHERNET + 8)?, packet.read::<8>(ETHERNET + 16)?];
    let destination = [packet.read::<8>(ETHERNET + 24)?, packet.read::<8>(ETHERNET + 32)?];
    packet.write(ETHERNET + 8, destination[0])?;
    packet.write(ETHERNET + 16, destination[1])?;
    packet.write(ETHERNET + 24, source[0])?;
    packet.write(ETHERNET + 32, source[1])?;
    Some(Sum::ZERO.long(source[0]).long(source[1]).long(destination[0]).long(destination[1]))
}
