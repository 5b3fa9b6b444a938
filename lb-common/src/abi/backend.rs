//! One entry per (service, backend): everything needed to send a packet there,
//! in one cache line.

/// Bits of [`Backend::flags`].
pub mod backend_flags {
    /// The entry is in use.
    pub const USED: u32 = 1 << 0;
    /// Refuses, is unreachable, or its neighbour failed: its flows are reset.
    pub const DEAD: u32 = 1 << 1;
    /// Unselected, but keeps its flows. For display and for a new daemon; the
    /// data path does not ask.
    pub const FAILING: u32 = 1 << 2;
    /// `ifindex`, `destination_mac`, `source_mac` and `mtu` are known.
    pub const RESOLVED: u32 = 1 << 3;
    /// Encapsulate (IP in IP) instead of rewriting the MAC addresses only.
    pub const TUNNEL: u32 = 1 << 4;
    /// The outer header, or the backend's address, is IPv6 (else IPv4).
    pub const OUTER_V6: u32 = 1 << 5;
    /// Has passed or failed enough probes to have a state of its own.
    pub const PROBED: u32 = 1 << 6;
    /// Its address is this host's own: packets are left to the kernel. Never
    /// together with [`RESOLVED`].
    pub const LOCAL: u32 = 1 << 7;
}

/// How to reach one backend of one service. 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Backend {
    /// See [`backend_flags`]; changed in one store.
    pub flags: u32,
    /// The interface the next hop is on.
    pub ifindex: u32,
    pub destination_mac: [u8; 6],
    pub source_mac: [u8; 6],
    /// Largest client packet (IP header included) that fits, in bytes: the
    /// interface's or route's MTU, less the outer header of a tunnel.
    pub mtu: u16,
    /// Ones' complement sum (not inverted) of an outer IPv4 header's constant
    /// words: version/IHL with TOS 0, TTL with protocol 0, both addresses. The
    /// TOS, total length, identification, DF, protocol and source entropy are
    /// added per packet.
    pub outer_sum: u16,
    /// Outer source, or that of translated flows without a pool: IPv4 in the
    /// first four bytes, or IPv6.
    pub outer_source: [u8; 16],
    /// Outer destination, or the backend's address for translated flows: IPv4
    /// in the first four bytes, or IPv6.
    pub outer_destination: [u8; 16],
    /// Bits of the outer source's last 32 bits (network order value) that the
    /// flow's hash fills in; 0 for a fixed source.
    pub entropy_mask: u32,
    pub outer_ttl: u8,
    pub reserved: u8,
    /// Where translated flows go to, in host order; 0: the port that the client
    /// named.
    pub port: u16,
}

const _: () = assert!(size_of::<Backend>() == 64);
