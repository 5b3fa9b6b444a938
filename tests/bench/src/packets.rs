//! The packets of a case: the pattern the harness makes them from, and what
//! must come out for one of them, computed anew from the RFCs' layouts.

use std::ops::Range;

use lb_common::abi::Backend;
use lb_common::hash::{FlowHash, FlowWords, join};

use crate::kernel::Target;
use crate::pattern::{Ends, HEADER, HEADER_V6, Offsets, Pattern, V4, V6};
use crate::world::{Family, Mode, PORT, address};

const ETHERNET: usize = 14;
const FIRST_SOURCE: u32 = 0x0a64_0000;
const TCP: u8 = 6;

/// Flags of a TCP segment.
pub mod flag {
    pub const SYN: u8 = 0x02;
    pub const ACK: u8 = 0x10;
}

/// A TCP segment without payload, in the smallest Ethernet frame that holds it.
pub fn frame(family: Family) -> Vec<u8> {
    frame_with(family, flag::ACK)
}

/// With other flags than ACK.
pub fn frame_with(family: Family, flags: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 2, 0, 1, 2, 0, 0, 3, 0, 1];
    match family {
        Family::V4 => {
            frame.extend([8, 0, 0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0]);
            frame.extend([0; 8]);
        }
        Family::V6 => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, TCP, 64]);
            frame.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(2));
        }
    }
    frame.extend([0, 0]);
    frame.extend(PORT.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0x10, 0, 0, 0, 0, 0]);
    let least = if family == Family::V4 { HEADER } else { HEADER_V6 };
    frame.resize(frame.len().max(least), 0);
    frame
}

/// `flows` flows (a power of two) to `destinations` consecutive addresses.
pub fn pattern(
    family: Family,
    flows: u32,
    first: u32,
    destinations: u16,
    target: Target,
) -> Pattern {
    pattern_of(&frame(family), family, flows, first, destinations, target)
}

/// The same for packets like `frame`.
pub fn pattern_of(
    frame: &[u8],
    family: Family,
    flows: u32,
    first: u32,
    destinations: u16,
    target: Target,
) -> Pattern {
    let word = |i: usize| match frame.get(8 * i..8 * i + 8) {
        Some(bytes) => u64::from_ne_bytes(bytes.try_into().expect("8 bytes")),
        None => 0,
    };
    Pattern {
        header: std::array::from_fn::<_, { HEADER_V6 / 8 }, _>(word),
        next: 0,
        flow_mask: flows - 1,
        destinations: destinations.into(),
        first_source: FIRST_SOURCE,
        first_destination: first,
        length: frame.len() as u32,
        v6: (family == Family::V6).into(),
        target: target as u32,
        given_ends: 0,
    }
}

fn offsets(family: Family) -> &'static Offsets {
    match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    }
}

/// The number of the packet of the client's flow `flow`.
pub fn number_of(pattern: &Pattern, flow: &FlowWords) -> u32 {
    let source = u32::from_be((flow.source[1] >> 32) as u32);
    let port = u16::from_be(flow.ports as u16);
    pattern.number_of(source, port)
}

/// A packet with these ends as the harness hands it to the program.
pub fn handed_between(family: Family, pattern: &Pattern, ends: &Ends) -> Vec<u8> {
    let mut frame = template(pattern);
    let at = offsets(family);
    frame[at.source..at.source + 4].copy_from_slice(&ends.source.to_ne_bytes());
    frame[at.destination..at.destination + 4].copy_from_slice(&ends.destination.to_ne_bytes());
    frame[at.port..at.port + 4].copy_from_slice(&ends.ports.to_ne_bytes());
    frame
}

fn template(pattern: &Pattern) -> Vec<u8> {
    let mut frame: Vec<u8> = pattern.header.iter().flat_map(|word| word.to_ne_bytes()).collect();
    frame.truncate(pattern.length as usize);
    frame
}

/// Packet `number` as the harness hands it to the program.
pub fn handed(family: Family, pattern: &Pattern, number: u64) -> Vec<u8> {
    let mut frame = template(pattern);
    let at = offsets(family);
    let (source, port) = pattern.source(number);
    frame[at.source..at.source + 4].copy_from_slice(&source.to_be_bytes());
    let destination = pattern.destination(number).to_be_bytes();
    frame[at.destination..at.destination + 4].copy_from_slice(&destination);
    frame[at.port..at.port + 2].copy_from_slice(&port.to_be_bytes());
    frame
}

/// The flow of packet `number`.
pub fn flow(family: Family, pattern: &Pattern, number: u64) -> FlowWords {
    let (source, port) = pattern.source(number);
    let ([s0, s1], [d0, d1]) = (port.to_be_bytes(), PORT.to_be_bytes());
    FlowWords {
        source: address(family, source),
        destination: address(family, pattern.destination(number)),
        ports: FlowWords::pack_ports([s0, s1, d0, d1], TCP),
    }
}

/// The ends of a frame, read from it.
pub fn flow_of(family: Family, frame: &[u8]) -> FlowWords {
    let at = offsets(family);
    let last = |i: usize| u32::from_be_bytes(frame[i..i + 4].try_into().expect("4 bytes"));
    let ports = frame[at.port..at.port + 4].try_into().expect("4 bytes");
    FlowWords {
        source: address(family, last(at.source)),
        destination: address(family, last(at.destination)),
        ports: FlowWords::pack_ports(ports, TCP),
    }
}

/// The MAC addresses of an answer to a client whose packets came as the harness
/// makes them.
pub fn back_to_client(frame: &[u8]) -> [[u8; 6]; 2] {
    [&frame[6..12], &frame[..6]].map(|address| address.try_into().expect("6 bytes"))
}

/// What must leave for the frame `handed`: these ends, between these MAC
/// addresses, and checksums that differ by what changed (RFC 1624).
pub fn translated(family: Family, handed: &[u8], to: &FlowWords, link: [[u8; 6]; 2]) -> Vec<u8> {
    let mut out = [&link[0][..], &link[1][..], &handed[12..]].concat();
    let (addresses, length, tcp) = match family {
        Family::V4 => (26, 4, 34),
        Family::V6 => (22, 16, 54),
    };
    let (source, destination) = (join(to.source), join(to.destination));
    out[addresses..addresses + length].copy_from_slice(&source[16 - length..]);
    out[addresses + length..addresses + 2 * length].copy_from_slice(&destination[16 - length..]);
    out[tcp..tcp + 4].copy_from_slice(&(to.ports as u32).to_ne_bytes());
    let ends = addresses..addresses + 2 * length;
    if family == Family::V4 {
        update(&mut out, handed, 24, std::slice::from_ref(&ends));
    }
    update(&mut out, handed, tcp + 16, &[ends, tcp..tcp + 4]);
    out
}

/// The checksum at `at`, by what differs in `ranges`.
fn update(out: &mut [u8], before: &[u8], at: usize, ranges: &[Range<usize>]) {
    let word = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let mut sum = 0xffff - word(&before[at..]);
    for i in ranges.iter().cloned().flat_map(|range| range.step_by(2)) {
        sum += 0xffff - word(&before[i..]) + word(&out[i..]);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    out[at..at + 2].copy_from_slice(&(!sum as u16).to_be_bytes());
}

/// What `backend` must get for the frame `handed`.
pub fn forwarded(
    mode: Mode,
    family: Family,
    handed: &[u8],
    backend: &Backend,
    hash: FlowHash,
) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(backend.destination_mac);
    out.extend(backend.source_mac);
    out.extend(&handed[12..14]);
    if mode == Mode::Ipip {
        match family {
            Family::V4 => out.extend(outer_v4(backend)),
            Family::V6 => out.extend(outer_v6(backend, hash)),
        }
    }
    out.extend(&handed[ETHERNET..]);
    out
}

/// The client's packet has 40 bytes, DF, and neither DSCP nor ECN.
fn outer_v4(backend: &Backend) -> Vec<u8> {
    let mut header = vec![0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 4, 0, 0];
    header.extend(&backend.outer_source[..4]);
    header.extend(&backend.outer_destination[..4]);
    let mut sum: u32 =
        header.chunks(2).map(|word| u16::from_be_bytes([word[0], word[1]]) as u32).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    header[10..12].copy_from_slice(&(!sum as u16).to_be_bytes());
    header
}

/// The client's packet has 60 bytes.
fn outer_v6(backend: &Backend, hash: FlowHash) -> Vec<u8> {
    let mut header = (0x6000_0000 | hash.bits() & 0xf_ffff).to_be_bytes().to_vec();
    header.extend([0, 60, 41, 64]);
    header.extend(backend.outer_source);
    header.extend(backend.outer_destination);
    header
}
