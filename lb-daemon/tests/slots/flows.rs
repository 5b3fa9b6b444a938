//! The truth: what clients do and which backend owns each of their flows.
//!
//! Clients keep their side of the contract; what they do beyond it is their
//! own harm, and the flow counts as over.

use lb_common::transition::PacketKind;

/// Ticks; a second is 4.
pub const SECOND: u32 = 4;
pub const IDLE: u32 = 60;
pub const UDP_IDLE: u32 = 40;
pub const HALF_OPEN: u32 = 16;
pub const CLOSING: u32 = 24;
pub const ARMING: u32 = 8;

/// One client's 5-tuple, used by one flow after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Quiet,
    /// Backends (as bits) that got a copy of the SYN, and when the last came.
    Opening {
        reached: u32,
        last: u64,
    },
    Open {
        owner: u16,
        last: u64,
        closing: bool,
    },
}

impl Client {
    /// Whether the flow is over because the client was silent for too long.
    pub fn is_over(&self, is_udp: bool, now: u64) -> bool {
        let (last, limit) = match *self {
            Self::Quiet => return false,
            Self::Opening { last, .. } => (last, HALF_OPEN - 1),
            Self::Open { last, closing: true, .. } => (last, CLOSING),
            Self::Open { last, .. } => (last, if is_udp { UDP_IDLE } else { IDLE }),
        };
        now - last > limit as u64
    }

    /// Whether a copy of the SYN may still come.
    pub fn may_copy(&self, now: u64) -> bool {
        matches!(*self, Self::Opening { last, .. } if now - last < ARMING as u64)
    }

    /// The backend the next packet of the flow must reach.
    pub fn owner(&self) -> Option<u16> {
        if let Self::Open { owner, .. } = *self { Some(owner) } else { None }
    }

    /// A packet reached a backend that is not dead, or none.
    pub fn after(self, kind: PacketKind, opens: bool, reached: Option<u16>, now: u64) -> Self {
        match (kind, reached, self) {
            (PacketKind::Rst, ..) => Self::Quiet,
            (PacketKind::Syn, Some(to), _) if opens => {
                Self::Opening { reached: 1 << to, last: now }
            }
            (PacketKind::Syn, Some(to), Self::Opening { reached, .. }) => {
                Self::Opening { reached: reached | 1 << to, last: now }
            }
            (PacketKind::Syn, None, Self::Opening { .. }) => self,
            (PacketKind::Udp, Some(owner), _) => Self::Open { owner, last: now, closing: false },
            (PacketKind::Data | PacketKind::Fin, _, Self::Open { owner, closing, .. }) => {
                Self::Open { owner, last: now, closing: closing || kind == PacketKind::Fin }
            }
            _ => Self::Quiet,
        }
    }

    /// The backend lost all its flows.
    pub fn without(self, dead: u16) -> Self {
        match self {
            Self::Open { owner, .. } if owner == dead => Self::Quiet,
            Self::Opening { reached, last } => match reached & !(1 << dead) {
                0 => Self::Quiet,
                reached => Self::Opening { reached, last },
            },
            _ => self,
        }
    }
}
