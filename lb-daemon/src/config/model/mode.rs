//! How packets get to backends, with what each way needs to know.

use std::{fmt, net::IpAddr};

use super::Snat;

/// How a packet gets to its backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Direct server return in one L2 network: MAC addresses are rewritten.
    Dsr,
    /// Direct server return through an IP-in-IP tunnel.
    Ipip(Tunnel),
    /// Both addresses and ports are translated; replies come back here.
    Nat(Snat),
    /// The destination is translated, the client's address kept; backends
    /// route their replies back through here.
    Dnat(Snat),
}

impl Mode {
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Dsr => "dsr",
            Self::Ipip(_) => "ipip",
            Self::Nat(_) => "nat",
            Self::Dnat(_) => "dnat",
        }
    }

    /// Translated sources, in the modes that translate.
    pub const fn snat(&self) -> Option<&Snat> {
        match self {
            Self::Nat(snat) | Self::Dnat(snat) => Some(snat),
            Self::Dsr | Self::Ipip(_) => None,
        }
    }
}

/// Outer headers. The outer family is that of the backend's address.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Tunnel {
    /// Source toward IPv4 backends.
    pub v4: OuterSource,
    /// Source toward IPv6 backends.
    pub v6: OuterSource,
    pub ttl: u8,
}

impl Tunnel {
    /// The source of packets to `backend`.
    pub const fn source_toward(&self, backend: IpAddr) -> OuterSource {
        match backend {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum OuterSource {
    /// The source address of the route to the backend.
    Route,
    Fixed(IpAddr),
    /// An address out of the prefix, chosen by the flow's hash.
    Prefix(Prefix),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Prefix {
    /// First address; all host bits are zero.
    pub address: IpAddr,
    pub length: u8,
}

impl Prefix {
    /// The bits of the address's last 32 (as a number) that are host bits.
    pub const fn host_mask(&self) -> u32 {
        let host_bits = match self.address {
            IpAddr::V4(_) => 32 - self.length as u32,
            IpAddr::V6(_) => 128 - self.length as u32,
        };
        if host_bits >= 32 { u32::MAX } else { (1 << host_bits) - 1 }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}
