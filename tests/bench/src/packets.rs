//! The packets of a case: the pattern the harness makes them from, and what
//! must come out for one of them, computed anew from the RFCs' layouts.

use lb_common::abi::Backend;
use lb_common::hash::{FlowHash, FlowWords};

use crate::pattern::{HEADER, Offsets, Pattern, V4, V6};
use crate::world::{Family, Mode, PORT, address};

const ETHERNET: usize = 14;
const FIRST_SOURCE: u32 = 0x0a64_0000;
const TCP: u8 = 6;
const ACK: u8 = 0x10;

/// A TCP segment without payload, in the smallest Ethernet frame that holds it.
pub fn frame(family: Family) -> Vec<u8> {
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
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, ACK, 0x10, 0, 0, 0, 0, 0]);
    frame.resize(frame.len().max(64), 0);
    frame
}

/// `flows` flows (a power of two) to `destinations` consecutive addresses.
pub fn pattern(family: Family, flows: u32, first: u32, destinations: u16, target: u32) -> Pattern {
    let frame = frame(family);
    let word = |i: usize| u64::from_ne_bytes(frame[8 * i..8 * i + 8].try_into().expect("8 bytes"));
    Pattern {
        header: std::array::from_fn::<_, { HEADER / 8 }, _>(word),
        next: 0,
        flow_mask: flows - 1,
        destinations: destinations.into(),
        first_source: FIRST_SOURCE,
        first_destination: first,
        length: frame.len() as u32,
        v6: (family == Family::V6).into(),
        target,
        reserved: 0,
    }
}

fn offsets(family: Family) -> &'static Offsets {
    match family {
        Family::V4 => &V4,
        Family::V6 => &V6,
    }
}

/// Packet `number` as the harness hands it to the program.
pub fn handed(family: Family, pattern: &Pattern, number: u64) -> Vec<u8> {
    let mut frame = frame(family);
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
