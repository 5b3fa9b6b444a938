//! Which part of the slot space belongs to which table.
//!
//! A released part is used again only after a second: a packet may still read
//! it. Parts are whole groups of slots that share a stamp of failed inserts,
//! so that no service delays another.

use lb_common::abi::SLOTS_PER_FAIL_STAMP;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    base: u32,
    count: u32,
}

/// The slot space of all services.
#[derive(Debug)]
pub struct SlotSpace {
    size: u32,
    grace: u64,
    /// Sorted by base.
    taken: Vec<Part>,
    /// Released, with the time of it.
    leaving: Vec<(Part, u64)>,
}

impl SlotSpace {
    pub fn new(size: u32, ticks_per_second: u32) -> Self {
        Self { size, grace: ticks_per_second as u64, taken: vec![], leaving: vec![] }
    }

    /// The base of a part for `count` slots: the first gap that is large
    /// enough. `None` when there is none.
    pub fn allocate(&mut self, count: u32, now: u64) -> Option<u32> {
        self.let_go(now);
        let count = whole_groups(count)?;
        let mut base = 0;
        for part in &self.taken {
            if part.base - base >= count {
                break;
            }
            base = part.base + part.count;
        }
        if self.size.saturating_sub(base) < count {
            return None;
        }
        self.reserve(base, count);
        Some(base)
    }

    /// Takes a part that a table found in the maps occupies.
    pub fn reserve(&mut self, base: u32, count: u32) {
        let count = whole_groups(count).unwrap_or(count);
        let at = self.taken.partition_point(|part| part.base < base);
        self.taken.insert(at, Part { base, count });
    }

    /// Gives back the part that begins at `base`.
    pub fn release(&mut self, base: u32, now: u64) {
        if let Some(&part) = self.taken.iter().find(|part| part.base == base) {
            self.leaving.push((part, now));
        }
    }

    fn let_go(&mut self, now: u64) {
        let Self { taken, leaving, grace, .. } = self;
        leaving.retain(|(part, since)| {
            let stays = now < since + *grace;
            if !stays {
                taken.retain(|other| other != part);
            }
            stays
        });
    }
}

fn whole_groups(count: u32) -> Option<u32> {
    count.checked_next_multiple_of(SLOTS_PER_FAIL_STAMP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_groups_and_do_not_overlap() {
        let mut space = SlotSpace::new(1024, 100);
        assert_eq!(space.allocate(251, 0), Some(0));
        assert_eq!(space.allocate(251, 0), Some(256));
        assert_eq!(space.allocate(509, 0), Some(512));
        assert_eq!(space.allocate(1, 0), None);
    }

    #[test]
    fn a_released_part_is_used_again_after_a_second() {
        let mut space = SlotSpace::new(512, 100);
        let first = space.allocate(251, 0).expect("an empty space has room");
        space.allocate(251, 0).expect("half of the space is free");
        space.release(first, 10);
        assert_eq!(space.allocate(251, 109), None);
        assert_eq!(space.allocate(251, 110), Some(first));
    }

    #[test]
    fn what_is_reserved_is_not_given_away() {
        let mut space = SlotSpace::new(1024, 100);
        space.reserve(256, 251);
        assert_eq!(space.allocate(509, 0), Some(512));
        assert_eq!(space.allocate(251, 0), Some(0));
    }
}
