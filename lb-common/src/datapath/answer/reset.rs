//! Turns a TCP segment into the RST that answers it (RFC 9293, section
//! 3.10.7.1): with ACK, the reset takes its sequence number from it; without,
//! it acknowledges the segment.

use super::super::parse::{ACK, FIN, RST, SYN, TCP};
use super::super::{Arrival, ETHERNET, Packet};
use super::headers;

const TCP_HEADER: usize = 20;

/// What the answer takes from the segment.
struct Segment {
    /// Both ports, already swapped.
    ports: [u8; 4],
    sequence: [u8; 4],
    acknowledgement: [u8; 4],
    flags: u8,
}

/// Not inlined, so that its frame of stack is not the main path's.
#[inline(never)]
pub fn build<P: Packet>(packet: &mut P, arrival: &Arrival) -> Option<()> {
    let reset = answer_to(packet, arrival)?;
    let header = headers::length(arrival.network.v6);
    packet.set_length(ETHERNET + header + TCP_HEADER)?;
    let addresses = headers::turn_around(packet, arrival.network.v6, TCP, TCP_HEADER as u16)?;
    let [a, b, c, d] = [0x50, reset.flags, 0, 0];
    let sum = addresses
        .number(TCP as u16)
        .number(TCP_HEADER as u16)
        .bytes(reset.ports)
        .bytes(reset.sequence)
        .bytes(reset.acknowledgement)
        .bytes([a, b, c, d])
        .checksum();
    let at = ETHERNET + header;
    packet.write(at, reset.ports)?;
    packet.write(at + 4, reset.sequence)?;
    packet.write(at + 8, reset.acknowledgement)?;
    packet.write(at + 12, [a, b, c, d])?;
    packet.write(at + 16, [sum[0], sum[1], 0, 0])
}

#[inline(always)]
fn answer_to<P: Packet>(packet: &P, arrival: &Arrival) -> Option<Segment> {
    let at = arrival.upper;
    let [s0, s1, d0, d1] = packet.read::<4>(at)?;
    let ports = [d0, d1, s0, s1];
    let [offset, flags] = packet.read::<2>(at + 12)?;
    if flags & ACK != 0 {
        let sequence = packet.read::<4>(at + 8)?;
        return Some(Segment { ports, sequence, acknowledgement: [0; 4], flags: RST });
    }
    let header = ((offset >> 4) as usize) << 2;
    // May be less than nothing in a segment that lies about its length; then
    // the answer is as useless as the question.
    let data = (ETHERNET + arrival.network.length).wrapping_sub(at + header) as u32;
    let controls = (flags & SYN != 0) as u32 + (flags & FIN != 0) as u32;
    let next =
        u32::from_be_bytes(packet.read::<4>(at + 4)?).wrapping_add(data).wrapping_add(controls);
    Some(Segment { ports, sequence: [0; 4], acknowledgement: next.to_be_bytes(), flags: RST | ACK })
}
