//! Where the fragments of a translated packet go: noted with the first of them,
//! which alone has the ports.

use super::NatHop;
use crate::hash::FlowWords;

/// Packets in fragments that are remembered; the oldest give way.
pub const FRAGMENTED_PACKETS: u32 = 4096;

/// What the fragments of one packet have in common (RFC 791, section 3.2; RFC
/// 8200, section 4.5). 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(C, align(8))]
pub struct FragmentKey {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// As in the packet, in native order.
    pub identification: u32,
    pub protocol: u32,
}

const _: () = assert!(size_of::<FragmentKey>() == 40);

/// How the first fragment left. 88 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct FragmentWay {
    pub to: FlowWords,
    /// Interface 0: to the kernel.
    pub hop: NatHop,
    /// In ticks.
    pub expires: u64,
    /// As it is to be in the packet, in native order.
    pub identification: u32,
    pub backend: u16,
    /// 1: from the backend.
    pub is_reply: u16,
    pub reserved: u64,
}

const _: () = assert!(size_of::<FragmentWay>() == 88);
