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

    /// What the cell says to a SYN. A mark counts for `life` ticks, and a SYN that
    /// comes again within `repeat_after` is a copy.
    #[inline(always)]
    pub const fn says(self, hash: u64, now: u64, repeat_after: u32, life: u32) -> SynMark {
        let age = self.age(now);
        if self.0 == 0 {
            SynMark::Free
        } else if self.is_of(hash) && age <= life {
            if age < repeat_after { SynMark::Copy } else { SynMark::Again }
        } else if age < repeat_after * KEPT {
            SynMark::Taken
        } else {
            SynMark::Free
        }
    }

    /// Ticks since it was last seen; wraps after a quarter of an hour at least.
    #[inline(always)]
    const fn age(self, now: u64) -> u32 {
        (now.wrapping_sub(self.0) & Self::WHEN) as u32
    }
}

/// A mark is kept for so many times the least time between repeated SYNs: until the
/// first has come (clients repeat after a second, RFC 6298). Only then does it give
/// way, so that a flood is sampled and does not blind us.
const KEPT: u32 = 6;

/// What a cell says to a SYN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SynMark {
    /// The cell may have its mark.
    Free,
    /// It was seen a moment ago: this is a copy.
    Copy,
    /// It was seen, and comes again.
    Again,
    /// The cell is another's for now.
    Taken,
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPEAT_AFTER: u32 = 50;
    const LIFE: u32 = 16_000;
    const MINE: u64 = 0xabcd_ef01_2345_6789;

    fn says(cell: SynCell, hash: u64, now: u64) -> SynMark {
        cell.says(hash, now, REPEAT_AFTER, LIFE)
    }

    #[test]
    fn a_syn_that_comes_again_is_told_from_a_copy_by_its_age() {
        // Also where the time wraps.
        for start in [1, 0xf_ffff, 0x1234_5678_9abc] {
            let cell = SynCell::new(MINE, 0xfedc, start);
            assert_eq!((cell.backend(), cell.has_repeated()), (0xfedc, false));
            for (later, wanted) in [
                (0, SynMark::Copy),
                (49, SynMark::Copy),
                (50, SynMark::Again),
                (16_000, SynMark::Again),
                (16_001, SynMark::Free),
            ] {
                assert_eq!(says(cell, MINE, start + later), wanted, "{start} + {later}");
            }
            let again = cell.repeated(start + 250);
            assert_eq!((again.backend(), again.has_repeated()), (0xfedc, true));
            assert_eq!(says(again, MINE, start + 299), SynMark::Copy);
            assert_eq!(says(again, MINE, start + 750), SynMark::Again);
        }
    }

    #[test]
    fn a_mark_gives_way_only_when_its_syn_should_have_come_again() {
        let other = MINE ^ 1 << 63;
        assert_eq!(SynCell::index(other), SynCell::index(MINE));
        let cell = SynCell::new(MINE, 1, 1000);
        assert_eq!(says(cell, other, 1000), SynMark::Taken);
        assert_eq!(says(cell, other, 1299), SynMark::Taken);
        assert_eq!(says(cell, other, 1300), SynMark::Free);
        assert_eq!(says(SynCell(0), MINE, 1000), SynMark::Free);
    }
}
