//! Frames, built layer by layer with every checksum computed in full.
//!
//! Nothing here uses the checksum code under test.

mod check;
mod describe;
mod upper;

use std::net::IpAddr;

pub use check::verify;
pub use describe::describe;
pub use upper::{Upper, flag, icmp, tcp, udp};

/// Next-header and protocol numbers.
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const FRAGMENT: u8 = 44;
    pub const ICMPV6: u8 = 58;
    pub const DESTINATION_OPTIONS: u8 = 60;
}

pub type Mac = [u8; 6];

/// The router that frames come from, and the balancer they come to.
pub const ROUTER: Mac = [2, 0, 0, 0, 0, 1];
pub const BALANCER: Mac = [2, 0, 0, 0, 0, 2];

/// One IP packet in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Packet {
    pub link_source: Mac,
    pub link_destination: Mac,
    pub source: IpAddr,
    pub destination: IpAddr,
    /// DSCP and ECN.
    pub tos: u8,
    pub ttl: u8,
    /// IPv4 only.
    pub identification: u16,
    /// IPv4 flags and fragment offset, as in the header.
    pub fragment: u16,
    /// IPv4 options; a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 only.
    pub flow_label: u32,
    /// IPv6 extension headers: kind, and the header without its first byte.
    pub extensions: Vec<(u8, Vec<u8>)>,
    pub upper: Upper,
}

pub const DONT_FRAGMENT: u16 = 0x4000;
pub const MORE_FRAGMENTS: u16 = 0x2000;

impl Packet {
    pub fn new(source: IpAddr, destination: IpAddr, upper: Upper) -> Self {
        Self {
            link_source: ROUTER,
            link_destination: BALANCER,
            source,
            destination,
            tos: 0,
            ttl: 64,
            identification: 0,
            fragment: DONT_FRAGMENT,
            options: Vec::new(),
            flow_label: 0,
            extensions: Vec::new(),
            upper,
        }
    }

    /// Changes a copy: `packet.with(|p| p.tos = 3)`.
    pub fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut changed = self.clone();
        change(&mut changed);
        changed
    }

    /// With the frame going back where it came from; the packet is as it was.
    pub fn turned(&self) -> Self {
        self.with(|p| std::mem::swap(&mut p.link_source, &mut p.link_destination))
    }

    pub fn frame(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        frame.extend(self.link_destination);
        frame.extend(self.link_source);
        frame.extend(if self.source.is_ipv4() { [0x08, 0x00] } else { [0x86, 0xdd] });
        frame.extend(self.ip());
        frame
    }

    /// From the IP header on.
    pub fn ip(&self) -> Vec<u8> {
        let payload = self.upper.bytes(self.source, self.destination);
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.ipv4(source.octets(), destination.octets(), &payload)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.ipv6(source.octets(), destination.octets(), &payload)
            }
            _ => panic!("a packet from {} to {}", self.source, self.destination),
        }
    }

    fn protocol(&self) -> u8 {
        self.upper.protocol(self.source.is_ipv6())
    }

    fn ipv4(&self, source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let header = 20 + self.options.len();
        let mut ip = vec![0x40 | (header / 4) as u8, self.tos];
        ip.extend(((header + payload.len()) as u16).to_be_bytes());
        ip.extend(self.identification.to_be_bytes());
        ip.extend(self.fragment.to_be_bytes());
        ip.extend([self.ttl, self.protocol(), 0, 0]);
        ip.extend(source);
        ip.extend(destination);
        ip.extend(&self.options);
        let sum = checksum(&[&ip]);
        ip[10..12].copy_from_slice(&sum);
        ip.extend(payload);
        ip
    }

    fn ipv6(&self, source: [u8; 16], destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
        let first = 6 << 28 | u32::from(self.tos) << 20 | self.flow_label;
        let length = payload.len() + self.extensions.iter().map(|e| 1 + e.1.len()).sum::<usize>();
        let mut ip = first.to_be_bytes().to_vec();
        ip.extend((length as u16).to_be_bytes());
        let kinds = self.extensions.iter().map(|e| e.0).chain([self.protocol()]);
        let mut kinds = kinds.collect::<Vec<_>>().into_iter();
        ip.extend(kinds.next());
        ip.push(self.ttl);
        ip.extend(source);
        ip.extend(destination);
        for (_, rest) in &self.extensions {
            ip.extend(kinds.next());
            ip.extend(rest);
        }
        ip.extend(payload);
        ip
    }

    /// The packet in a tunnel between these addresses; nothing is copied.
    pub fn in_tunnel(&self, source: IpAddr, destination: IpAddr) -> Self {
        let kind = if self.source.is_ipv4() { protocol::IPV4 } else { protocol::IPV6 };
        Self::new(source, destination, Upper::Raw(kind, self.ip()))
    }
}

/// The Internet checksum over all parts, word by word as RFC 1071 describes it.
/// All parts but the last are of even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u64;
    for word in parts.iter().flat_map(|part| part.chunks(2)) {
        sum += u64::from(word[0]) << 8 | word.get(1).copied().map_or(0, u64::from);
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// The pseudo header of RFC 793 or RFC 8200.
fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut header = Vec::new();
    for address in [source, destination] {
        match address {
            IpAddr::V4(a) => header.extend(a.octets()),
            IpAddr::V6(a) => header.extend(a.octets()),
        }
    }
    header.extend((length as u32).to_be_bytes());
    header.extend([0, 0, 0, protocol]);
    header
}
