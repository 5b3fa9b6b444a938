//! The word of a line: whose it is, in which state, until when.

/// What a line is, or is about to be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum NatState {
    Free = 0,
    /// Claimed: somebody is writing it.
    Busy = 1,
    /// The client's SYN went to the backend.
    Opening = 2,
    /// The backend answered it.
    Answered = 3,
    /// The client answered that: both ends speak from where they say.
    Established = 4,
    /// FIN from the client first.
    ClientClosing = 5,
    /// FIN from the backend first.
    BackendClosing = 6,
    /// FIN from both, the client's first: the tuple rests.
    Closed = 7,
    /// FIN from both, the backend's first: it keeps the tuple in TIME-WAIT.
    BackendClosed = 8,
    /// RST; data after it opens the flow again.
    Reset = 9,
    /// A UDP flow that had no answer yet.
    UdpNew = 10,
    Udp = 11,
    /// As many answers as asked for: the tuple rests.
    UdpDone = 12,
}

impl NatState {
    #[inline(always)]
    pub const fn of(number: u8) -> Self {
        match number {
            0 => Self::Free,
            1 => Self::Busy,
            2 => Self::Opening,
            3 => Self::Answered,
            4 => Self::Established,
            5 => Self::ClientClosing,
            6 => Self::BackendClosing,
            7 => Self::Closed,
            8 => Self::BackendClosed,
            9 => Self::Reset,
            10 => Self::UdpNew,
            11 => Self::Udp,
            _ => Self::UdpDone,
        }
    }

    /// Word in `flows` and in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Busy => "busy",
            Self::Opening => "opening",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::ClientClosing => "client_closing",
            Self::BackendClosing => "backend_closing",
            Self::Closed => "closed",
            Self::BackendClosed => "backend_closed",
            Self::Reset => "reset",
            Self::UdpNew => "udp_new",
            Self::Udp => "udp",
            Self::UdpDone => "udp_done",
        }
    }

    /// Half-open TCP and unanswered UDP: gives way to a newer flow when there
    /// is no other room.
    #[inline(always)]
    pub const fn is_evictable(self) -> bool {
        matches!(self, Self::Opening | Self::Answered | Self::UdpNew)
    }

    /// Over: only its tuple still rests.
    #[inline(always)]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::BackendClosed | Self::Reset | Self::UdpDone)
    }
}

/// When the line expires, in ticks (bits 0..40) | [`NatState`] (40..44) |
/// generation (44..48), raised whenever the line is claimed | tag (48..64), a
/// part of the key's hash. 0: free since ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct NatMeta(pub u64);

impl NatMeta {
    const TICKS: u64 = (1 << 40) - 1;
    const GENERATION: u64 = 0xf << 44;

    #[inline(always)]
    pub const fn state(self) -> NatState {
        NatState::of((self.0 >> 40) as u8 & 0xf)
    }

    #[inline(always)]
    pub const fn expires(self) -> u64 {
        self.0 & Self::TICKS
    }

    #[inline(always)]
    pub const fn tag(self) -> u16 {
        (self.0 >> 48) as u16
    }

    /// Holds a flow's line, expired or not.
    #[inline(always)]
    pub const fn in_use(self) -> bool {
        (self.0 >> 40) & 0xf >= NatState::Opening as u64
    }

    #[inline(always)]
    pub const fn is_busy(self) -> bool {
        (self.0 >> 40) & 0xf == NatState::Busy as u64
    }

    #[inline(always)]
    pub const fn is_free(self) -> bool {
        (self.0 >> 40) & 0xf == NatState::Free as u64
    }

    /// Whether a line that was as `other` says still holds the same flow.
    #[inline(always)]
    pub const fn is_same_use(self, other: Self) -> bool {
        self.in_use() && (self.0 ^ other.0) >> 44 == 0
    }

    /// Claimed for a key with this tag.
    #[inline(always)]
    pub const fn claimed(self, tag: u16) -> Self {
        let generation = (self.0 & Self::GENERATION).wrapping_add(1 << 44) & Self::GENERATION;
        Self((NatState::Busy as u64) << 40 | generation | (tag as u64) << 48)
    }

    /// Given up. Keeps its generation.
    #[inline(always)]
    pub const fn freed(self) -> Self {
        Self(self.0 & Self::GENERATION)
    }

    /// The same line in another state or with another time.
    #[inline(always)]
    pub const fn with(self, state: NatState, expires: u64) -> Self {
        let kept = self.0 & !Self::TICKS & !(0xf << 40);
        Self(kept | (state as u64) << 40 | expires & Self::TICKS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_raises_the_generation_and_nothing_else() {
        let meta = NatMeta(0).claimed(0xffff).with(NatState::Udp, u64::MAX >> 24);
        assert_eq!((meta.state(), meta.tag()), (NatState::Udp, 0xffff));
        assert_eq!(meta.expires(), u64::MAX >> 24);
        assert_ne!(meta.freed().claimed(1), NatMeta(0).claimed(1));
        assert!(meta.freed().is_free() && meta.in_use() && !meta.is_busy());
        let mut round = meta;
        for _ in 0..16 {
            round = round.claimed(0xffff);
        }
        assert_eq!(round.with(NatState::Udp, meta.expires()), meta, "sixteen generations");
    }
}
