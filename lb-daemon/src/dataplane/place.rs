//! Two-choice placement: an entry goes to the emptier of its two buckets, and
//! stays there. With as many buckets as entries, four places in each are
//! enough for any keys that are not chosen to collide.

use std::collections::HashMap;

/// A place in a table of buckets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Place {
    pub bucket: u32,
    pub way: u8,
}

/// Both buckets of a key are full.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "no room for {key} in the {table} table: other entries fill both of its places; \
         remove entries, or use another address or port"
)]
pub struct NoRoom {
    pub table: &'static str,
    pub key: String,
}

/// The emptier bucket's first free way; `used` tells which ways are not free.
pub fn choose<const WAYS: usize>(buckets: [u32; 2], used: impl Fn(Place) -> bool) -> Option<Place> {
    let ways = |bucket| (0..WAYS as u8).map(move |way| Place { bucket, way });
    let filled = |bucket| ways(bucket).filter(|place| used(*place)).count();
    let [first, second] = buckets;
    let emptier = if filled(second) < filled(first) { second } else { first };
    ways(emptier).find(|place| !used(*place))
}

/// Places cleared too recently to be used again: a packet may still hold what
/// it read of the entry that was there.
#[derive(Debug, Default)]
pub struct Cooling {
    cleared_at: HashMap<Place, u64>,
}

impl Cooling {
    pub fn cleared(&mut self, place: Place, now: u64) {
        self.cleared_at.insert(place, now);
    }

    pub fn contains(&self, place: Place) -> bool {
        self.cleared_at.contains_key(&place)
    }

    /// Forgets what was cleared at least `grace` ticks ago.
    pub fn pass(&mut self, now: u64, grace: u64) {
        self.cleared_at.retain(|_, cleared| now < *cleared + grace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emptier_bucket_is_chosen_and_the_first_of_two_equals() {
        let place = |bucket, way| Place { bucket, way };
        let taken = [place(3, 0), place(3, 1), place(5, 0)];
        let used = |place| taken.contains(&place);
        assert_eq!(choose::<4>([3, 5], used), Some(place(5, 1)));
        assert_eq!(choose::<4>([7, 9], used), Some(place(7, 0)));
        assert_eq!(choose::<2>([3, 3], used), None);
    }

    #[test]
    fn a_cleared_place_is_left_alone_for_the_grace_time() {
        let place = Place { bucket: 1, way: 0 };
        let mut cooling = Cooling::default();
        cooling.cleared(place, 100);
        cooling.pass(349, 250);
        assert!(cooling.contains(place));
        cooling.pass(350, 250);
        assert!(!cooling.contains(place));
    }
}
