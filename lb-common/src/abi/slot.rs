//! The slot word: who owns a slot's flows, in one u64 that is read once per
//! packet and written, only by the daemon, in one store.

/// No backend: the slot of a service that has none.
pub const NO_BACKEND: u16 = 0xffff;
/// Not a backend: "whoever the service's previous table names". Used while a
/// service moves to a table of another size or seed.
pub const ASK_OLD: u16 = 0xfffe;

/// `current` (bits 0..16) | `settled` (16..32) | `epoch` (32..48) |
/// `look up` (48) | `store` (49). At rest both flags are clear and `settled`
/// equals `current`. The meaning is in `transition`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct SlotWord(pub u64);

impl SlotWord {
    const LOOK_UP: u64 = 1 << 48;
    const STORE: u64 = 1 << 49;

    /// A slot at rest.
    pub const fn at_rest(owner: u16, epoch: u16) -> Self {
        Self::new(owner, owner, epoch, false, false)
    }

    pub const fn new(current: u16, settled: u16, epoch: u16, look_up: bool, store: bool) -> Self {
        let mut word = current as u64 | (settled as u64) << 16 | (epoch as u64) << 32;
        if look_up {
            word |= Self::LOOK_UP;
        }
        if store {
            word |= Self::STORE;
        }
        Self(word)
    }

    /// The backend that new flows get.
    #[inline(always)]
    pub const fn current(self) -> u16 {
        self.0 as u16
    }

    /// The backend that owns the flows nobody has stored.
    #[inline(always)]
    pub const fn settled(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Raised whenever the slot leaves rest; entries of another epoch are void.
    #[inline(always)]
    pub const fn epoch(self) -> u16 {
        (self.0 >> 32) as u16
    }

    /// Whether flows must be looked up (`L`).
    #[inline(always)]
    pub const fn look_up(self) -> bool {
        self.0 & Self::LOOK_UP != 0
    }

    /// Whether flows must be stored (`S`).
    #[inline(always)]
    pub const fn store(self) -> bool {
        self.0 & Self::STORE != 0
    }

    pub const fn with_current(self, current: u16) -> Self {
        Self(self.0 & !0xffff | current as u64)
    }

    pub const fn with_settled(self, settled: u16) -> Self {
        Self(self.0 & !0xffff_0000 | (settled as u64) << 16)
    }

    pub const fn with_store(self, store: bool) -> Self {
        Self(if store { self.0 | Self::STORE } else { self.0 & !Self::STORE })
    }

    pub const fn with_look_up(self, look_up: bool) -> Self {
        Self(if look_up { self.0 | Self::LOOK_UP } else { self.0 & !Self::LOOK_UP })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_overlap() {
        let word = SlotWord::new(0x1234, 0x5678, 0x9abc, true, false);
        assert_eq!(
            (word.current(), word.settled(), word.epoch(), word.look_up(), word.store()),
            (0x1234, 0x5678, 0x9abc, true, false)
        );
        let word = word.with_current(1).with_settled(2).with_store(true).with_look_up(false);
        assert_eq!(word, SlotWord::new(1, 2, 0x9abc, false, true));
    }
}
