//! Turns a TCP segment into the RST that answers it (RFC 9293, section
//! 3.10.7.1): with ACK, the reset takes its sequence number from it; without,
//! it acknowledges the segment.

use super::super::parse::{ACK, FIN, RST, SYN, TCP};
use super::super::{ETHERNET, Network, Packet};
use super::turn_around;
use crate::checksum::{address_words, fold, words};

const TCP_HEADER: usize = 20;
const TTL: u8 = 64;

#[inline(always)]
pub fn build<P: Packet>(packet: &mut P, network: &Network, upper: usize) -> Option<()> {
    let segment = packet.read::<TCP_HEADER>(upper)?;
    let header = ((segment[12] >> 4) as usize) << 2;
    let length = (ETHERNET + network.length).checked_sub(upper + header)? as u32;
    if network.v6 {
        let addresses = packet.read::<32>(ETHERNET + 8)?;
        packet.set_length(ETHERNET + 40 + TCP_HEADER)?;
        ipv6(packet, addresses, &segment, length)?;
    } else {
        let addresses = packet.read::<8>(ETHERNET + 12)?;
        packet.set_length(ETHERNET + 20 + TCP_HEADER)?;
        ipv4(packet, addresses, &segment, length)?;
    }
    turn_around(packet)
}

#[inline(always)]
fn ipv4<P: Packet>(
    packet: &mut P,
    [s0, s1, s2, s3, d0, d1, d2, d3]: [u8; 8],
    segment: &[u8; TCP_HEADER],
    length: u32,
) -> Option<()> {
    let addresses = words([s0, s1, s2, s3]) + words([d0, d1, d2, d3]);
    let total = (20 + TCP_HEADER) as u8;
    let sum = 0x4500 + total as u32 + 0x4000 + words([TTL, TCP, 0, 0]) + addresses;
    let sum = (!fold(sum)).to_be_bytes();
    packet.write(ETHERNET, [0x45, 0, 0, total, 0, 0, 0x40, 0])?;
    packet.write(ETHERNET + 8, [TTL, TCP, sum[0], sum[1], d0, d1, d2, d3, s0, s1, s2, s3])?;
    packet.write(ETHERNET + 20, reset(segment, length, addresses))
}

#[inline(always)]
fn ipv6<P: Packet>(
    packet: &mut P,
    addresses: [u8; 32],
    segment: &[u8; TCP_HEADER],
    length: u32,
) -> Option<()> {
    let mut source = [0; 16];
    let mut destination = [0; 16];
    let mut i = 0;
    while i < 16 {
        source[i] = addresses[i];
        destination[i] = addresses[16 + i];
        i += 1;
    }
    packet.write(ETHERNET, [0x60, 0, 0, 0, 0, TCP_HEADER as u8, TCP, TTL])?;
    packet.write(ETHERNET + 8, destination)?;
    packet.write(ETHERNET + 24, source)?;
    let sum = address_words(source) + address_words(destination);
    packet.write(ETHERNET + 40, reset(segment, length, sum))
}

/// The RST for `segment`, which carries `length` bytes of data. `addresses`:
/// the sum over the pseudo header's addresses.
#[inline(always)]
fn reset(segment: &[u8; TCP_HEADER], length: u32, addresses: u32) -> [u8; TCP_HEADER] {
    let s = segment;
    let flags = s[13];
    let (sequence, acknowledgement, flags) = if flags & ACK != 0 {
        ([s[8], s[9], s[10], s[11]], [0; 4], RST)
    } else {
        let controls = (flags & SYN != 0) as u32 + (flags & FIN != 0) as u32;
        let next = u32::from_be_bytes([s[4], s[5], s[6], s[7]])
            .wrapping_add(length)
            .wrapping_add(controls);
        ([0; 4], next.to_be_bytes(), RST | ACK)
    };
    let ports = [s[2], s[3], s[0], s[1]];
    let sum = addresses
        + TCP as u32
        + TCP_HEADER as u32
        + words(ports)
        + words(sequence)
        + words(acknowledgement)
        + words([0x50, flags, 0, 0]);
    let sum = (!fold(sum)).to_be_bytes();
    let [p0, p1, p2, p3] = ports;
    let [q0, q1, q2, q3] = sequence;
    let [a0, a1, a2, a3] = acknowledgement;
    [p0, p1, p2, p3, q0, q1, q2, q3, a0, a1, a2, a3, 0x50, flags, 0, 0, sum[0], sum[1], 0, 0]
}
