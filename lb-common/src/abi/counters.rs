//! Counters, one copy per CPU.

use crate::reason::DropReason;

/// Answers the balancer made itself, for information: the packet that caused
/// one is counted as dropped with its reason (an echo request as forwarded,
/// since it is turned into its own reply).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Answer {
    EchoReply = 0,
    Reset = 1,
    Unreachable = 2,
    TooBig = 3,
}

impl Answer {
    pub const ALL: [Self; 4] = [Self::EchoReply, Self::Reset, Self::Unreachable, Self::TooBig];

    /// Name in `stats` and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EchoReply => "echo_reply",
            Self::Reset => "reset",
            Self::Unreachable => "unreachable",
            Self::TooBig => "too_big",
        }
    }
}

/// Where each packet ended. Packets; once quiet, `received` = `forwarded` +
/// `passed` + the sum of `dropped`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C, align(8))]
pub struct Totals {
    /// Counted at entry.
    pub received: u64,
    /// Counted at exit, like all that follow.
    pub forwarded: u64,
    pub passed: u64,
    /// Flow lookups, for the share of packets that needed one.
    pub looked_up: u64,
    /// Flow entries inserted.
    pub stored: u64,
    /// Flow inserts that failed.
    pub store_failed: u64,
    /// Indexed by [`Answer`].
    pub answers: [u64; 8],
    /// Indexed by [`DropReason`].
    pub dropped: [u64; DropReason::CAPACITY],
}

/// Length of [`Totals`] as an array of u64.
pub const TOTALS_LEN: usize = size_of::<Totals>() / 8;

const _: () = assert!(TOTALS_LEN == 14 + DropReason::CAPACITY);

/// Traffic of one backend of one service. 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct BackendCounters {
    pub packets: u64,
    /// Frame bytes as received, Ethernet header included.
    pub bytes: u64,
    /// TCP SYNs sent to it.
    pub new_connections: u64,
    /// Packets dropped because its next hop was unknown.
    pub unresolved: u64,
    /// Translated answers: packets, and frame bytes as received.
    pub reply_packets: u64,
    pub reply_bytes: u64,
    /// New flows to it that found no source in their service's pool.
    pub refused: u64,
    /// Flows that began without a record for the log.
    pub unlogged: u64,
}

/// Length of [`BackendCounters`] as an array of u64.
pub const BACKEND_COUNTERS_LEN: usize = size_of::<BackendCounters>() / 8;

const _: () = assert!(BACKEND_COUNTERS_LEN == 8);

impl BackendCounters {
    pub const fn of_words(words: [u64; BACKEND_COUNTERS_LEN]) -> Self {
        let [
            packets,
            bytes,
            new_connections,
            unresolved,
            reply_packets,
            reply_bytes,
            refused,
            unlogged,
        ] = words;
        Self {
            packets,
            bytes,
            new_connections,
            unresolved,
            reply_packets,
            reply_bytes,
            refused,
            unlogged,
        }
    }
}
