//! ICMP (RFC 792) and ICMPv6 (RFC 4443) to a VIP: echo requests are answered,
//! errors go to the backend whose flow they quote, neighbour discovery goes to
//! the kernel.

use super::parse::{self, Ipv4, Ipv6, TCP, Transport, UDP, UpperLayer};
use super::{Arrival, ETHERNET, Packet, Subject, Tables, Verdict, answer, classify, nat, unusable};
use crate::abi::{Budget, Unserved, VipEntry};
use crate::checksum;
use crate::hash::{split, v4_mapped};
use crate::reason::DropReason;
use crate::transition::PacketKind;

/// Bytes of an ICMP header; in an error, the packet it quotes follows.
const HEADER: usize = 8;
const TTL: u8 = 64;

#[inline(always)]
pub fn message<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
) -> Result<Subject, Verdict> {
    let Some(kind) = kind(packet, arrival) else {
        return Err(unusable(arrival.vip, DropReason::Malformed));
    };
    match (arrival.network.v6, kind) {
        (false, 8) => Err(echo(packet, tables, arrival, 0)),
        (true, 128) => Err(echo(packet, tables, arrival, 129)),
        (v6, kind) if is_error(v6, kind) => error(packet, tables, arrival),
        // Multicast listener and neighbour discovery.
        (true, 130..=137 | 143) => Err(Verdict::PASS),
        _ => Err(not_ours(arrival, DropReason::IcmpOther)),
    }
}

/// Whether this type of message is an error.
#[inline(always)]
pub const fn is_error(v6: bool, kind: u8) -> bool {
    matches!((v6, kind), (false, 3 | 11 | 12) | (true, 1..=4))
}

/// The type of the message, if its header is whole.
#[inline(always)]
pub fn kind<P: Packet>(packet: &P, arrival: &Arrival) -> Option<u8> {
    if !arrival.holds(HEADER) {
        return None;
    }
    packet.read::<HEADER>(arrival.upper).map(|header| header[0])
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
    reply_type: u8,
) -> Verdict {
    if VipEntry::unserved_of(arrival.vip) == Unserved::Pass {
        return Verdict::PASS;
    }
    if !answer::may_answer(packet, tables, arrival) || !tables.take_token(Budget::Echo) {
        return Verdict::drop(DropReason::EchoUnanswered);
    }
    match reply(packet, arrival, reply_type) {
        Some(()) => Verdict::ECHO,
        None => Verdict::drop(DropReason::Malformed),
    }
}

#[inline(always)]
fn reply<P: Packet>(packet: &mut P, arrival: &Arrival, reply_type: u8) -> Option<()> {
    let header = packet.read::<4>(arrival.upper)?;
    let old = u16::from_be_bytes([header[0], header[1]]);
    let new = u16::from_be_bytes([reply_type, header[1]]);
    let sum = checksum::update(u16::from_be_bytes([header[2], header[3]]), old, new);
    // Both forms of zero verify, except that 0 is wrong over data that is all
    // zero (RFC 1624, section 3).
    let sum = if sum == 0 { 0xffff } else { sum }.to_be_bytes();
    packet.write(arrival.upper, [reply_type, header[1], sum[0], sum[1]])?;
    if arrival.network.v6 {
        packet.write(ETHERNET + 7, [TTL])?;
        answer::swap_v6_addresses(packet)?;
    } else {
        let [ttl, protocol, sum_high, sum_low] = packet.read::<4>(ETHERNET + 8)?;
        let source = packet.read::<4>(ETHERNET + 12)?;
        let destination = packet.read::<4>(ETHERNET + 16)?;
        let old = u16::from_be_bytes([ttl, protocol]);
        let new = u16::from_be_bytes([TTL, protocol]);
        let sum = checksum::update(u16::from_be_bytes([sum_high, sum_low]), old, new).to_be_bytes();
        packet.write(ETHERNET + 8, [TTL, protocol, sum[0], sum[1]])?;
        packet.write(ETHERNET + 12, destination)?;
        packet.write(ETHERNET + 16, source)?;
    }
    answer::turn_around(packet)
}

/// Whether this is an error about a packet that went to a backend under its
/// client's address. It is addressed to the client, and may come from any router.
#[inline(never)]
pub fn is_about_dnat<P: Packet, T: Tables>(packet: &P, tables: &T, v6: bool) -> bool {
    if !tables.has_dnat() {
        return false;
    }
    let quoted = if v6 { quoted_by_v6(packet) } else { quoted_by_v4(packet) };
    quoted.is_some_and(|destination| classify::is_dnat_backend(tables, destination))
}

/// Where the packet went that an ICMP error quotes.
#[inline(always)]
fn quoted_by_v4<P: Packet>(packet: &P) -> Option<[u64; 2]> {
    let [first] = packet.read::<1>(ETHERNET)?;
    let at = ETHERNET + (((first & 0x0f) as usize) << 2);
    match packet.read::<1>(at)? {
        [3 | 11 | 12] => packet.read::<4>(at + HEADER + 16).map(v4_mapped),
        _ => None,
    }
}

/// The same over IPv6, without extension headers.
#[inline(always)]
fn quoted_by_v6<P: Packet>(packet: &P) -> Option<[u64; 2]> {
    let at = ETHERNET + Ipv6::LENGTH;
    match packet.read::<1>(at)? {
        [1..=4] => packet.read::<16>(at + HEADER + 24).map(split),
        _ => None,
    }
}

/// An error about a packet that a backend sent from the VIP: to that backend.
#[inline(always)]
fn error<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    arrival: &Arrival,
) -> Result<Subject, Verdict> {
    let mut quoted = Quoted::default();
    if !read_quoted(packet, arrival, &mut quoted) || quoted.source != arrival.network.destination {
        return Err(not_ours(arrival, DropReason::IcmpUnmatched));
    }
    let transport =
        Transport { protocol: quoted.protocol, ports: quoted.ports, kind: PacketKind::Data };
    let service = classify::service(tables, arrival.vip, &transport);
    let mut flow = transport.flow(&arrival.network);
    flow.source = quoted.destination;
    let subject = Subject { service: service.unwrap_or(nat::NO_SERVICE), flow, kind: None };
    if service.is_some() {
        return Ok(subject);
    }
    if nat::may_be_answer(arrival.vip) {
        return Err(nat::hand_over(tables, arrival, &subject, false));
    }
    Err(not_ours(arrival, DropReason::IcmpUnmatched))
}

/// What an ICMP error says of the packet it is about.
#[derive(Default)]
pub struct Quoted {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    pub protocol: u8,
    /// In the order of the client's own packets: the reverse of the quoted.
    pub ports: [u8; 4],
}

/// The first 8 bytes of the quoted TCP or UDP suffice. `false`: cut short, a
/// later fragment, or of another protocol.
#[inline(never)]
pub fn read_quoted<P: Packet>(packet: &P, arrival: &Arrival, quoted: &mut Quoted) -> bool {
    let start = arrival.upper + HEADER;
    let upper = if arrival.network.v6 {
        quoted_v6(packet, start, quoted)
    } else {
        quoted_v4(packet, start, quoted)
    };
    let Some(upper) = upper else { return false };
    if quoted.protocol != TCP && quoted.protocol != UDP {
        return false;
    }
    let Some([s0, s1, d0, d1, ..]) = packet.read::<8>(upper) else { return false };
    quoted.ports = [d0, d1, s0, s1];
    true
}

/// Returns the frame offset of the quoted transport header.
#[inline(always)]
fn quoted_v4<P: Packet>(packet: &P, start: usize, quoted: &mut Quoted) -> Option<usize> {
    let header = Ipv4::read(packet, start)?;
    if !header.has_sound_header() || header.is_later_fragment() {
        return None;
    }
    quoted.source = header.source();
    quoted.destination = header.destination();
    quoted.protocol = header.protocol();
    Some(start + header.header_length())
}

#[inline(always)]
fn quoted_v6<P: Packet>(packet: &P, start: usize, quoted: &mut Quoted) -> Option<usize> {
    // Field by field: a copy of the header would not fit the stack that the
    // verifier allows three functions deep.
    let [version] = packet.read::<1>(start)?;
    if version >> 4 != 6 {
        return None;
    }
    let [next] = packet.read::<1>(start + 6)?;
    quoted.source = split(packet.read::<16>(start + 8)?);
    quoted.destination = split(packet.read::<16>(start + 24)?);
    let UpperLayer::At(protocol, upper) = parse::upper_layer(packet, next, start) else {
        return None;
    };
    quoted.protocol = protocol;
    Some(upper)
}
