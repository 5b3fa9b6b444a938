//! What an IP packet carries: TCP, UDP, ICMP or bytes.

use std::net::IpAddr;

use super::{checksum, protocol, pseudo_header};

/// TCP flags.
pub mod flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const ACK: u8 = 0x10;
}

#[derive(Clone, Debug)]
pub enum Upper {
    Tcp {
        ports: [u16; 2],
        sequence: u32,
        acknowledgement: u32,
        flags: u8,
        window: u16,
        payload: Vec<u8>,
    },
    Udp {
        ports: [u16; 2],
        payload: Vec<u8>,
    },
    /// ICMP or ICMPv6, as the addresses are.
    Icmp {
        kind: u8,
        code: u8,
        rest: [u8; 4],
        body: Vec<u8>,
    },
    /// Protocol and bytes.
    Raw(u8, Vec<u8>),
}

/// From port 40000 with some payload.
pub fn tcp(port: u16, flags: u8) -> Upper {
    Upper::Tcp {
        ports: [40_000, port],
        sequence: 0x0102_0304,
        acknowledgement: if flags & flag::ACK == 0 { 0 } else { 0xa1b2_c3d4 },
        flags,
        window: 0x7210,
        payload: if flags & flag::SYN == 0 { b"some data".to_vec() } else { Vec::new() },
    }
}

/// From port 40000.
pub fn udp(port: u16, payload: usize) -> Upper {
    Upper::Udp { ports: [40_000, port], payload: (0..payload).map(|i| i as u8).collect() }
}

pub fn icmp(kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Upper {
    Upper::Icmp { kind, code, rest, body: body.to_vec() }
}

impl Upper {
    pub fn protocol(&self, v6: bool) -> u8 {
        match self {
            Self::Tcp { .. } => protocol::TCP,
            Self::Udp { .. } => protocol::UDP,
            Self::Icmp { .. } if v6 => protocol::ICMPV6,
            Self::Icmp { .. } => protocol::ICMP,
            Self::Raw(protocol, _) => *protocol,
        }
    }

    /// Changes the source port of TCP or UDP.
    pub fn from_port(mut self, port: u16) -> Self {
        match &mut self {
            Self::Tcp { ports, .. } | Self::Udp { ports, .. } => ports[0] = port,
            _ => panic!("{self:?} has no ports"),
        }
        self
    }

    /// Changes both ports of TCP or UDP: source and destination.
    pub fn between(mut self, of: [u16; 2]) -> Self {
        match &mut self {
            Self::Tcp { ports, .. } | Self::Udp { ports, .. } => *ports = of,
            _ => panic!("{self:?} has no ports"),
        }
        self
    }

    pub fn bytes(&self, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        let v6 = source.is_ipv6();
        let (mut bytes, sum_at) = self.without_checksum();
        let pseudo = match self {
            Self::Raw(..) => return bytes,
            Self::Icmp { .. } if !v6 => Vec::new(),
            _ => pseudo_header(source, destination, self.protocol(v6), bytes.len()),
        };
        let mut sum = checksum(&[&pseudo, &bytes]);
        if matches!(self, Self::Udp { .. }) && sum == [0, 0] {
            sum = [0xff, 0xff];
        }
        bytes[sum_at..sum_at + 2].copy_from_slice(&sum);
        bytes
    }

    /// With a checksum of zero, and where it goes.
    fn without_checksum(&self) -> (Vec<u8>, usize) {
        let mut b = Vec::new();
        match self {
            Self::Tcp { ports, sequence, acknowledgement, flags, window, payload } => {
                b.extend(ports.iter().flat_map(|p| p.to_be_bytes()));
                b.extend(sequence.to_be_bytes());
                b.extend(acknowledgement.to_be_bytes());
                b.extend([0x50, *flags]);
                b.extend(window.to_be_bytes());
                b.extend([0; 4]);
                b.extend(payload);
                (b, 16)
            }
            Self::Udp { ports, payload } => {
                b.extend(ports.iter().flat_map(|p| p.to_be_bytes()));
                b.extend(((8 + payload.len()) as u16).to_be_bytes());
                b.extend([0; 2]);
                b.extend(payload);
                (b, 6)
            }
            Self::Icmp { kind, code, rest, body } => {
                b.extend([*kind, *code, 0, 0]);
                b.extend(rest);
                b.extend(body);
                (b, 2)
            }
            Self::Raw(_, bytes) => (bytes.clone(), 0),
        }
    }
}
