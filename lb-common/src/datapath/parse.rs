//! Headers, read at fixed offsets into small values. Layouts: RFC 791 (IPv4),
//! RFC 8200 (IPv6), RFC 9293 (TCP), RFC 768 (UDP).

use super::{Arrival, Network, Packet};
use crate::hash::{FlowWords, split, v4_mapped};
use crate::reason::DropReason;
use crate::transition::PacketKind;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMPV6: u8 = 58;

/// Extension headers followed before a packet is given up (RFC 8200 names six
/// kinds, each of which should occur at most once).
const MAX_EXTENSION_HEADERS: u32 = 6;

/// An IPv4 header without its options.
#[derive(Clone, Copy)]
pub struct Ipv4([u8; 20]);

impl Ipv4 {
    #[inline(always)]
    pub fn read<P: Packet>(packet: &P, offset: usize) -> Option<Self> {
        packet.read::<20>(offset).map(Self)
    }

    #[inline(always)]
    pub fn source(&self) -> [u64; 2] {
        let b = &self.0;
        v4_mapped([b[12], b[13], b[14], b[15]])
    }

    #[inline(always)]
    pub fn destination(&self) -> [u64; 2] {
        let b = &self.0;
        v4_mapped([b[16], b[17], b[18], b[19]])
    }

    #[inline(always)]
    pub fn header_length(&self) -> usize {
        ((self.0[0] & 0x0f) as usize) << 2
    }

    #[inline(always)]
    pub fn total_length(&self) -> usize {
        u16::from_be_bytes([self.0[2], self.0[3]]) as usize
    }

    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.0[9]
    }

    /// Version 4, and the lengths agree with each other and with the
    /// `available` bytes of the frame.
    #[inline(always)]
    pub fn is_sound(&self, available: usize) -> bool {
        self.has_sound_header()
            && self.total_length() >= self.header_length()
            && self.total_length() <= available
    }

    /// Version 4 and a header length that can be: all that can be asked of a
    /// packet quoted in part.
    #[inline(always)]
    pub fn has_sound_header(&self) -> bool {
        self.0[0] >> 4 == 4 && self.header_length() >= 20
    }

    /// Any fragment: more to come, or an offset.
    #[inline(always)]
    pub fn is_fragment(&self) -> bool {
        u16::from_be_bytes([self.0[6], self.0[7]]) & 0x3fff != 0
    }

    /// A fragment that is not the first, so that no ports follow.
    #[inline(always)]
    pub fn is_later_fragment(&self) -> bool {
        u16::from_be_bytes([self.0[6], self.0[7]]) & 0x1fff != 0
    }

    #[inline(always)]
    pub fn network(&self) -> Network {
        Network {
            v6: false,
            length: self.total_length(),
            source: self.source(),
            destination: self.destination(),
            protocol: self.protocol(),
        }
    }
}

/// An IPv6 header.
#[derive(Clone, Copy)]
pub struct Ipv6([u8; 40]);

/// Where the walk over extension headers ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpperLayer {
    /// Protocol and frame offset.
    At(u8, usize),
    Refused(DropReason),
}

impl Ipv6 {
    pub const LENGTH: usize = 40;

    #[inline(always)]
    pub fn read<P: Packet>(packet: &P, offset: usize) -> Option<Self> {
        packet.read::<40>(offset).map(Self)
    }

    #[inline(always)]
    fn address(&self, at: usize) -> [u64; 2] {
        let mut bytes = [0; 16];
        let mut i = 0;
        while i < 16 {
            bytes[i] = self.0[at + i];
            i += 1;
        }
        split(bytes)
    }

    #[inline(always)]
    pub fn source(&self) -> [u64; 2] {
        self.address(8)
    }

    #[inline(always)]
    pub fn destination(&self) -> [u64; 2] {
        self.address(24)
    }

    #[inline(always)]
    fn payload_length(&self) -> usize {
        u16::from_be_bytes([self.0[4], self.0[5]]) as usize
    }

    #[inline(always)]
    pub fn has_sound_header(&self) -> bool {
        self.0[0] >> 4 == 6
    }

    /// Version 6, and the payload fits the `available` bytes of the frame.
    #[inline(always)]
    pub fn is_sound(&self, available: usize) -> bool {
        self.has_sound_header() && Self::LENGTH + self.payload_length() <= available
    }

    #[inline(always)]
    pub fn network(&self, protocol: u8) -> Network {
        Network {
            v6: true,
            length: Self::LENGTH + self.payload_length(),
            source: self.source(),
            destination: self.destination(),
            protocol,
        }
    }

    /// Next header.
    #[inline(always)]
    pub fn next(&self) -> u8 {
        self.0[6]
    }
}

/// Follows the extension headers of the IPv6 header at frame offset `start`,
/// the first of which is a `next`.
#[inline(always)]
pub fn upper_layer<P: Packet>(packet: &P, next: u8, start: usize) -> UpperLayer {
    if next == TCP || next == UDP || next == ICMPV6 {
        return UpperLayer::At(next, start + Ipv6::LENGTH);
    }
    walk_extensions(packet, next, start + Ipv6::LENGTH)
}

/// Hop-by-hop options, routing, destination options, AH (RFC 4302) and atomic
/// fragments (RFC 6946) are stepped over; real fragments are refused.
#[inline(never)]
fn walk_extensions<P: Packet>(packet: &P, mut next: u8, mut offset: usize) -> UpperLayer {
    let mut i = 0;
    while i < MAX_EXTENSION_HEADERS {
        match next {
            0 | 43 | 60 | 51 | 44 => {}
            _ => return UpperLayer::At(next, offset),
        }
        let Some([following, length, high, low]) = packet.read::<4>(offset) else {
            return UpperLayer::Refused(DropReason::Malformed);
        };
        offset += match next {
            44 => {
                // Fragment offset and "more" flag.
                if u16::from_be_bytes([high, low]) & 0xfff9 != 0 {
                    return UpperLayer::Refused(DropReason::Fragment);
                }
                8
            }
            51 => (length as usize + 2) << 2,
            _ => (length as usize + 1) << 3,
        };
        next = following;
        i += 1;
    }
    match next {
        0 | 43 | 60 | 51 | 44 => UpperLayer::Refused(DropReason::TooManyHeaders),
        _ => UpperLayer::At(next, offset),
    }
}

/// What selection needs of the transport header.
#[derive(Clone, Copy)]
pub struct Transport {
    pub protocol: u8,
    /// Source and destination port, as in the packet.
    pub ports: [u8; 4],
    pub kind: PacketKind,
}

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

impl Transport {
    /// The header of a TCP or UDP packet.
    #[inline(always)]
    pub fn read<P: Packet>(packet: &P, arrival: &Arrival) -> Option<Self> {
        if arrival.network.protocol == TCP {
            Self::read_tcp(packet, arrival)
        } else {
            Self::read_udp(packet, arrival)
        }
    }

    #[inline(always)]
    fn read_tcp<P: Packet>(packet: &P, arrival: &Arrival) -> Option<Self> {
        if !arrival.holds(20) {
            return None;
        }
        let b = packet.read::<20>(arrival.upper)?;
        let flags = b[13];
        let kind = if flags & RST != 0 {
            PacketKind::Rst
        } else if flags & (SYN | ACK) == SYN {
            PacketKind::Syn
        } else if flags & FIN != 0 {
            PacketKind::Fin
        } else {
            PacketKind::Data
        };
        Some(Self { protocol: TCP, ports: [b[0], b[1], b[2], b[3]], kind })
    }

    #[inline(always)]
    fn read_udp<P: Packet>(packet: &P, arrival: &Arrival) -> Option<Self> {
        if !arrival.holds(8) {
            return None;
        }
        let b = packet.read::<8>(arrival.upper)?;
        Some(Self { protocol: UDP, ports: [b[0], b[1], b[2], b[3]], kind: PacketKind::Udp })
    }

    /// Host order.
    #[inline(always)]
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.ports[2], self.ports[3]])
    }

    /// Host order.
    #[inline(always)]
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.ports[0], self.ports[1]])
    }

    #[inline(always)]
    pub fn flow(&self, network: &Network) -> FlowWords {
        FlowWords {
            source: network.source,
            destination: network.destination,
            ports: FlowWords::pack_ports(self.ports, self.protocol),
        }
    }
}
