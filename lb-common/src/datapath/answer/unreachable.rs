//! Wraps a packet into the ICMP error about it: destination unreachable (RFC
//! 792, RFC 4443), with the MTU of RFC 1191 where fragmentation was needed,
//! and packet too big (RFC 4443).
//!
//! At most [`QUOTE`] bytes of the packet are quoted: the headers and more, so
//! that the checksum stays cheap.

use super::super::parse::{ICMP, ICMPV6};
use super::super::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Network, Packet};
use crate::checksum::{address_words, fold, words};

/// Bytes quoted at most; a multiple of four.
const QUOTE: usize = 128;
const ICMP_HEADER: usize = 8;
const TTL: u8 = 64;

#[inline(always)]
pub fn port<P: Packet>(packet: &mut P, network: &Network) -> Option<()> {
    let start = if network.v6 { [1, 4, 0, 0] } else { [3, 3, 0, 0] };
    build(packet, network, start, [0; 4])
}

#[inline(always)]
pub fn too_big<P: Packet>(packet: &mut P, network: &Network, mtu: u16) -> Option<()> {
    let start = if network.v6 { [2, 0, 0, 0] } else { [3, 4, 0, 0] };
    let [high, low] = mtu.to_be_bytes();
    build(packet, network, start, [0, 0, high, low])
}

/// `start`: type, code and a checksum of zero; `rest`: the four bytes after.
#[inline(always)]
fn build<P: Packet>(
    packet: &mut P,
    network: &Network,
    start: [u8; 4],
    rest: [u8; 4],
) -> Option<()> {
    let quote = if network.length < QUOTE { network.length & !3 } else { QUOTE };
    let [a, b, c, d, e, f, g, h, i, j, k, l] = packet.read::<12>(0)?;
    let header = if network.v6 { 40 } else { 20 };
    let icmp = ETHERNET + header;
    if network.v6 {
        let addresses = packet.read::<32>(ETHERNET + 8)?;
        packet.grow_front(40 + ICMP_HEADER)?;
        packet.set_length(icmp + ICMP_HEADER + quote)?;
        ipv6(packet, addresses, (ICMP_HEADER + quote) as u16)?;
    } else {
        let addresses = packet.read::<8>(ETHERNET + 12)?;
        packet.grow_front(20 + ICMP_HEADER)?;
        packet.set_length(icmp + ICMP_HEADER + quote)?;
        ipv4(packet, addresses, (20 + ICMP_HEADER + quote) as u16)?;
    }
    let pseudo = if network.v6 {
        let addresses = packet.read::<32>(ETHERNET + 8)?;
        let [source, destination] = halves(addresses);
        address_words(source)
            + address_words(destination)
            + (ICMP_HEADER + quote) as u32
            + ICMPV6 as u32
    } else {
        0
    };
    let quoted = sum_of(packet, icmp + ICMP_HEADER, quote)?;
    let sum = (!fold(fold(quoted) as u32 + pseudo + words(start) + words(rest))).to_be_bytes();
    packet.write(icmp, [start[0], start[1], sum[0], sum[1], rest[0], rest[1], rest[2], rest[3]])?;
    let [t0, t1] = if network.v6 { ETHERTYPE_IPV6 } else { ETHERTYPE_IPV4 };
    packet.write(0, [g, h, i, j, k, l, a, b, c, d, e, f, t0, t1])
}

/// Sum over `length` bytes (a multiple of four, at most [`QUOTE`]).
#[inline(always)]
fn sum_of<P: Packet>(packet: &P, offset: usize, length: usize) -> Option<u32> {
    let mut sum = 0;
    let mut i = 0;
    while i < QUOTE {
        if i >= length {
            break;
        }
        sum += words(packet.read::<4>(offset + i)?);
        i += 4;
    }
    Some(sum)
}

#[inline(always)]
fn ipv4<P: Packet>(
    packet: &mut P,
    [s0, s1, s2, s3, d0, d1, d2, d3]: [u8; 8],
    total: u16,
) -> Option<()> {
    let addresses = words([s0, s1, s2, s3]) + words([d0, d1, d2, d3]);
    let sum = 0x4500 + total as u32 + 0x4000 + words([TTL, ICMP, 0, 0]) + addresses;
    let sum = (!fold(sum)).to_be_bytes();
    let total = total.to_be_bytes();
    packet.write(ETHERNET, [0x45, 0, total[0], total[1], 0, 0, 0x40, 0])?;
    packet.write(ETHERNET + 8, [TTL, ICMP, sum[0], sum[1], d0, d1, d2, d3, s0, s1, s2, s3])
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &mut P, addresses: [u8; 32], payload: u16) -> Option<()> {
    let [source, destination] = halves(addresses);
    let [high, low] = payload.to_be_bytes();
    packet.write(ETHERNET, [0x60, 0, 0, 0, high, low, ICMPV6, TTL])?;
    packet.write(ETHERNET + 8, destination)?;
    packet.write(ETHERNET + 24, source)
}

#[inline(always)]
fn halves(addresses: [u8; 32]) -> [[u8; 16]; 2] {
    let mut halves = [[0; 16]; 2];
    let mut i = 0;
    while i < 16 {
        halves[0][i] = addresses[i];
        halves[1][i] = addresses[16 + i];
        i += 1;
    }
    halves
}
