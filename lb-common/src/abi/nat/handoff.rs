//! What one program tells another, and the daemon, of a packet's flow.

use super::NatEntry;
use crate::hash::FlowWords;

/// A flow that began, for the log. 96 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct NatBegin {
    /// The client's packet as it came, and as it leaves.
    pub outside: FlowWords,
    pub inside: FlowWords,
    /// In ticks.
    pub at: u64,
    pub service: u16,
    pub backend: u16,
    pub reserved: u32,
}

const _: () = assert!(size_of::<NatBegin>() == 96);

/// Size of the ring buffer that they go through.
pub const NAT_EVENT_BYTES: u32 = 1 << 20;

/// A flow that is being opened or moved. In a map: it would not fit the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Draft {
    pub forward: NatEntry,
    pub reverse: NatEntry,
    pub reverse_key: FlowWords,
}

/// A packet on its way between programs: what the first found out. One per CPU.
/// 296 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Handoff {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// The VIP table's entry.
    pub vip: u64,
    /// The flow that the packet belongs to or speaks of.
    pub flow: FlowWords,
    /// Of the packet, from its IP header on, in bytes.
    pub length: u32,
    /// Frame offset of the upper layer.
    pub upper: u32,
    /// `u16::MAX`: none has the port.
    pub service: u16,
    pub protocol: u8,
    pub v6: u8,
    /// Of the packet, as a number; 5: a message about the flow.
    pub kind: u8,
    /// 1: the first fragment of a packet.
    pub is_fragment: u8,
    /// 1: the flow was found under the key of its backend's packets.
    pub is_answer: u8,
    /// 1: a flow that is being opened keeps the client's address.
    pub keeps_client: u8,
    pub draft: Draft,
}

const _: () = assert!(size_of::<Handoff>() == 296);
