//! What a line says of its flow, in one piece.

use crate::hash::FlowWords;

/// What a line says of its flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NatEntry {
    /// The packet's ends after translation.
    pub to: FlowWords,
    /// Of a forward line: when the flow began, in ticks.
    pub began: u64,
    /// Of a reverse line: where the client's packets come from.
    pub hop: NatHop,
    pub backend: u16,
    pub service: u16,
    /// Of a line that was found: packets that it had counted, and the
    /// [`NatState`](super::NatState) that it was in.
    pub packets: u16,
    pub state: u8,
    pub reserved: u8,
}

/// The way back to a client, learned from its packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NatHop {
    /// MAC addresses of the frame, see [`mac_word`].
    pub destination: u64,
    pub source: u64,
    pub ifindex: u64,
}

pub(super) const MAC_BITS: u64 = (1 << 48) - 1;

/// A MAC address in the low 48 bits.
#[inline(always)]
pub const fn mac_word(address: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = address;
    u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
}

/// The MAC address in the low 48 bits.
#[inline(always)]
pub const fn mac_of(word: u64) -> [u8; 6] {
    let [a, b, c, d, e, f, ..] = word.to_le_bytes();
    [a, b, c, d, e, f]
}
