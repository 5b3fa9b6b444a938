//! What the traffic says of backends: connections that got no answer.
//!
//! Written only when something is wrong, so that it costs nothing while all is well.
//! SYNs are remembered for a moment in a sketch of fixed size, which forgets.

use crate::nat::Shared;

/// A kind of evidence against a backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Trouble {
    /// The first repeated SYN of a connection.
    Unanswered = 0,
    /// A further one.
    RepeatedAgain = 1,
    /// The backend answered a SYN with RST.
    Refused = 2,
    /// An ICMP error came back for the first packet of a flow.
    Unreachable = 3,
}

/// Evidence against one backend of one service. 64 bytes. Counts only grow.
#[derive(Default)]
#[repr(C, align(64))]
pub struct Evidence {
    /// Connections whose SYN came again.
    pub unanswered: Shared,
    /// SYNs that came again; a connection may have several.
    pub repeats: Shared,
    pub refused: Shared,
    pub unreachable: Shared,
    /// One bit for each client network that evidence came from, hashed. The
    /// daemon takes them away whenever it looks.
    pub networks: Shared,
    pub reserved: [u64; 3],
}

/// Length of [`Evidence`] as an array of u64.
pub const EVIDENCE_LEN: usize = size_of::<Evidence>() / 8;

const _: () = assert!(EVIDENCE_LEN == 8);

impl Evidence {
    /// `network`: one bit of [`Self::networks`].
    #[inline(always)]
    pub fn note(&self, trouble: Trouble, network: u64) {
        match trouble {
            Trouble::Unanswered => {
                self.repeats.add(1);
                self.unanswered.add(1);
            }
            Trouble::RepeatedAgain => self.repeats.add(1),
            Trouble::Refused => self.refused.add(1),
            Trouble::Unreachable => self.unreachable.add(1),
        }
        self.networks.set(network);
    }
}

/// Cells of the sketch; a power of two.
pub const SYN_CELLS: u32 = 1 << 16;

/// A SYN in the sketch: when it was seen, in ticks (bits 0..20) | its backend
/// (20..36) | it has come again (36) | a part of the hash of its flow and sequence
/// number (37..64). 0: none yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct SynCell(pub u64);

impl SynCell {
    const WHEN: u64 = (1 << 20) - 1;
    const REPEATED: u64 = 1 << 36;
    const TAG: u32 = 37;

    /// `hash`: of its flow and sequence number.
    #[inline(always)]
    pub const fn new(hash: u64, backend: u16, now: u64) -> Self {
        Self(now & Self::WHEN | (backend as u64) << 20 | hash >> Self::TAG << Self::TAG)
    }

    /// Which cell a SYN has: bits that no part of the cell repeats.
    #[inline(always)]
    pub const fn index(hash: u64) -> u32 {
        hash as u32 & (SYN_CELLS - 1)
    }

    #[inline(always)]
    pub const fn is_of(self, hash: u64) -> bool {
        (self.0 ^ hash) >> Self::TAG == 0
    }

    #[inline(always)]
    pub const fn backend(self) -> u16 {
        (self.0 >> 20) as u16
    }

    #[inline(always)]
    pub const fn has_repeated(self) -> bool {
        self.0 & Self::REPEATED != 0
    }

    /// Seen again.
    #[inline(always)]
    pub const fn repeated(self, now: u64) -> Self {
        Self(self.0 & !Self::WHEN | now & Self::WHEN | Self::REPEATED)
    }

    /// Ticks since it was last seen; wraps after a quarter of an hour at least.
    #[inline(always)]
    pub const fn age(self, now: u64) -> u32 {
        (now.wrapping_sub(self.0) & Self::WHEN) as u32
    }
}
