//! A frame in words, for messages of failed tests.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::verify;

/// Headers, what is wrong with them, and the bytes.
pub fn describe(frame: &[u8]) -> String {
    let mut text = String::new();
    if let (Some(destination), Some(source)) = (frame.get(..6), frame.get(6..12)) {
        let _ = write!(text, "{} > {}", mac(source), mac(destination));
    }
    match frame.get(12..14) {
        Some([0x08, 0x00]) => ipv4(&frame[14..], &mut text),
        Some([0x86, 0xdd]) => ipv6(&frame[14..], &mut text),
        other => drop(write!(text, " ethertype {other:02x?}")),
    }
    if let Err(problem) = verify(frame) {
        let _ = write!(text, " !! {problem}");
    }
    let _ = write!(text, " ({} bytes)", frame.len());
    for (i, line) in frame.chunks(16).enumerate() {
        let _ = write!(text, "\n      {:04x} ", i * 16);
        for byte in line {
            let _ = write!(text, " {byte:02x}");
        }
    }
    text
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":")
}

fn ipv4(ip: &[u8], text: &mut String) {
    let Some(h) = ip.get(..20) else { return text.push_str(" IPv4 cut short") };
    let source = Ipv4Addr::new(h[12], h[13], h[14], h[15]);
    let destination = Ipv4Addr::new(h[16], h[17], h[18], h[19]);
    let total = u16::from_be_bytes([h[2], h[3]]);
    let (id, fragment) = (u16::from_be_bytes([h[4], h[5]]), u16::from_be_bytes([h[6], h[7]]));
    let _ = write!(
        text,
        " | IPv4 {source} > {destination} tos {:#04x} length {total} id {id:#06x} fragment \
         {fragment:#06x} ttl {}",
        h[1], h[8]
    );
    let at = usize::from(h[0] & 15) * 4;
    upper(h[9], ip.get(at..).unwrap_or_default(), text);
}

fn ipv6(ip: &[u8], text: &mut String) {
    let Some(h) = ip.get(..40) else { return text.push_str(" IPv6 cut short") };
    let address =
        |at: usize| Ipv6Addr::from(<[u8; 16]>::try_from(&h[at..at + 16]).expect("16 bytes"));
    let first = u32::from_be_bytes([h[0], h[1], h[2], h[3]]);
    let length = u16::from_be_bytes([h[4], h[5]]);
    let _ = write!(
        text,
        " | IPv6 {} > {} class {:#04x} label {:#x} length {length} hops {}",
        address(8),
        address(24),
        first >> 20 & 0xff,
        first & 0xf_ffff,
        h[7]
    );
    upper(h[6], &ip[40..], text);
}

fn upper(kind: u8, data: &[u8], text: &mut String) {
    let word = |at: usize| data.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
    let _ = match kind {
        4 => return ipv4(data, text),
        41 => return ipv6(data, text),
        6 => write!(
            text,
            " | TCP {} > {} seq {:#x} ack {:#x} flags {:#04x}",
            word(0),
            word(2),
            long(4),
            long(8),
            word(12) & 0xff
        ),
        17 => write!(text, " | UDP {} > {} length {}", word(0), word(2), word(4)),
        1 | 58 => write!(text, " | ICMP type and code {:04x} rest {:#x}", word(0), long(4)),
        _ => write!(text, " | next header {kind}"),
    };
}
