//! What the bench asks of the harness, shared by both: which packet to make,
//! and which flow it belongs to.

/// Bytes from the frame's start that the harness puts back.
pub const HEADER: usize = 64;

/// IPv6 frames have so many more: up to the checksum of TCP.
pub const HEADER_V6: usize = 80;

/// Most flows of a case.
pub const MOST_FLOWS: u32 = 1 << 20;

/// Programs the harness can call.
pub const TARGETS: u32 = 4;

/// The packet to make. The bench writes it and reads `next`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Pattern {
    /// The frame's first bytes; of IPv4 frames only the first [`HEADER`].
    pub header: [u64; HEADER_V6 / 8],
    /// Number of the next packet.
    pub next: u64,
    /// Flows less one; a power of two less one.
    pub flow_mask: u32,
    /// Destination addresses, in turn.
    pub destinations: u32,
    /// Host order; for IPv6 the last 32 bits.
    pub first_source: u32,
    pub first_destination: u32,
    /// Length of the frame.
    pub length: u32,
    /// 1: the frame holds IPv6.
    pub v6: u32,
    /// Index of the program to call.
    pub target: u32,
    /// 1: the packet's ends are those that the map `ENDS` has for it.
    pub given_ends: u32,
}

const _: () = assert!(size_of::<Pattern>() == HEADER_V6 + 40);

/// Both ends of a packet, in network order; of IPv6 addresses the last 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Ends {
    pub source: u32,
    pub destination: u32,
    /// Source port, then the destination's.
    pub ports: u32,
    pub reserved: u32,
}

/// Frame offsets of what differs between packets: the last 32 bits of the
/// addresses, and the source port.
pub struct Offsets {
    pub source: usize,
    pub destination: usize,
    pub port: usize,
}

pub const V4: Offsets = Offsets { source: 26, destination: 30, port: 34 };
pub const V6: Offsets = Offsets { source: 34, destination: 50, port: 54 };

/// Spreads the numbers of packets over the flows.
const JUMP: u32 = 0x9e37_79b1;
const PORTS_PER_SOURCE: u32 = 64;
const FIRST_PORT: u16 = 1024;

impl Pattern {
    /// Source address and port of packet `number`. Flows take their turns in
    /// an order that jumps about, so that neighbours in time are none in
    /// memory.
    #[inline(always)]
    pub fn source(&self, number: u64) -> (u32, u16) {
        let flow = (number as u32).wrapping_mul(JUMP) & self.flow_mask;
        let port = FIRST_PORT + (flow % PORTS_PER_SOURCE) as u16;
        (self.first_source.wrapping_add(flow / PORTS_PER_SOURCE), port)
    }

    /// The number of the first packet with this source.
    #[cfg(not(target_arch = "bpf"))]
    pub fn number_of(&self, source: u32, port: u16) -> u32 {
        let flow = source.wrapping_sub(self.first_source) * PORTS_PER_SOURCE
            + u32::from(port - FIRST_PORT);
        // The inverse of `JUMP`, by Newton's method: 3 bits are right at first.
        let inverse = (0..4).fold(JUMP, |inverse, _| {
            inverse.wrapping_mul(2u32.wrapping_sub(JUMP.wrapping_mul(inverse)))
        });
        flow.wrapping_mul(inverse) & self.flow_mask
    }

    /// Index of the packet's ends among those of all flows.
    #[inline(always)]
    pub fn index(&self, number: u64) -> u32 {
        number as u32 & self.flow_mask & (MOST_FLOWS - 1)
    }

    /// Destination address of packet `number`.
    #[inline(always)]
    pub fn destination(&self, number: u64) -> u32 {
        let turn = (number as u32).wrapping_mul(0x85eb_ca6b) as u64;
        self.first_destination.wrapping_add(((turn * self.destinations as u64) >> 32) as u32)
    }
}
