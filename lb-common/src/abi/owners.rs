//! The owners of slots at rest, apart from the slot words: all that a packet
//! needs of a slot at rest, in a quarter of the memory, so that the slots of a
//! hundred services stay in a core's cache.
//!
//! The word decides. [`SlotWord::shown`] stands here only while the word in
//! place is that word; before another word is stored, [`SEE_WORD`] is put here.
//! So the store of the word is the one moment at which a slot changes, and a
//! daemon that dies between two stores leaves nothing wrong behind.

use super::SlotWord;

/// Not a backend: "the slot's word says more".
pub const SEE_WORD: u16 = 0xfffd;

/// Slots that share an [`Owners`].
pub const SLOTS_PER_OWNERS: u32 = 4;

/// Four slots, 16 bits each: the owner at rest, or [`SEE_WORD`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct Owners(pub u64);

impl Owners {
    #[inline(always)]
    const fn shift(slot: u32) -> u32 {
        slot % SLOTS_PER_OWNERS * 16
    }

    /// What stands here for a slot, given by its index in the slot space.
    #[inline(always)]
    pub const fn of(self, slot: u32) -> u16 {
        (self.0 >> Self::shift(slot)) as u16
    }

    pub const fn with(self, slot: u32, owner: u16) -> Self {
        let shift = Self::shift(slot);
        Self(self.0 & !(0xffff << shift) | (owner as u64) << shift)
    }
}

/// One store that packets see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotStore {
    /// Of the slot's part of its [`Owners`].
    Owner(u16),
    Word(SlotWord),
}

impl SlotWord {
    /// What stands in [`Owners`] for a slot with this word.
    pub const fn shown(self) -> u16 {
        if self.look_up() { SEE_WORD } else { self.current() }
    }

    /// The stores that put this word in place, where `shown` stands in
    /// [`Owners`] so far.
    pub fn replace(self, shown: u16, mut store: impl FnMut(SlotStore)) {
        let next = self.shown();
        if shown != SEE_WORD && shown != next {
            store(SlotStore::Owner(SEE_WORD));
        }
        store(SlotStore::Word(self));
        if shown != next {
            store(SlotStore::Owner(next));
        }
    }
}

const _: () = assert!(size_of::<Owners>() == 2 * SLOTS_PER_OWNERS as usize);
const _: () = assert!(SEE_WORD as u32 >= super::MAX_BACKENDS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_slots_share_a_word_and_leave_each_other_alone() {
        let owners = Owners::default().with(40, 1).with(41, 2).with(42, 0xffff).with(43, SEE_WORD);
        let owners = owners.with(42, 3);
        assert_eq!([40, 41, 42, 43].map(|slot| owners.of(slot)), [1, 2, 3, SEE_WORD]);
    }

    #[test]
    fn only_a_word_that_sends_packets_to_the_flow_table_is_to_be_seen() {
        assert_eq!(SlotWord::at_rest(7, 3).shown(), 7);
        assert_eq!(SlotWord::new(8, 7, 3, true, false).shown(), SEE_WORD);
        assert_eq!(SlotWord::new(7, 7, 3, true, true).shown(), SEE_WORD);
    }

    #[test]
    fn no_owner_stands_beside_another_word_and_the_word_changes_once() {
        let words = [
            SlotWord::at_rest(1, 4),
            SlotWord::at_rest(1, 5),
            SlotWord::at_rest(2, 4),
            SlotWord::new(1, 1, 5, true, true),
            SlotWord::new(2, 1, 5, true, false),
        ];
        for (old, new) in words.into_iter().flat_map(|old| words.map(|new| (old, new))) {
            // A daemon that died amid a change has left `SEE_WORD`.
            for shown in [old.shown(), SEE_WORD] {
                let (mut word, mut owner, mut changes) = (old, shown, 0);
                new.replace(shown, |store| {
                    match store {
                        SlotStore::Owner(to) => owner = to,
                        SlotStore::Word(to) => (word, changes) = (to, changes + 1),
                    }
                    let agree = owner == SEE_WORD || owner == word.shown();
                    assert!(agree, "{old:?} to {new:?}: {owner} beside {word:?} at {store:?}");
                });
                assert_eq!((word, owner, changes), (new, new.shown(), 1), "{old:?} to {new:?}");
            }
        }
    }
}
