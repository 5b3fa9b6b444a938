//! Since when backups are used, and for how long they stay: they come at once,
//! and leave when the others have been enough for a while. So they do not come
//! and go with every backend that fails and returns.

/// Seconds that the others have to be enough.
pub const HOLD: u64 = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backups {
    used: bool,
    /// In Unix seconds.
    enough_since: Option<u64>,
}

impl Backups {
    /// Whether they are used at `time`, given whether the others are too few.
    pub fn follow(&mut self, wanted: bool, time: u64) -> bool {
        if wanted {
            *self = Self { used: true, enough_since: None };
        } else if self.used {
            // The clock may have been set back.
            let since = self.enough_since.filter(|since| *since <= time).unwrap_or(time);
            let over = time - since >= HOLD;
            *self = Self { used: !over, enough_since: (!over).then_some(since) };
        }
        self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn they_come_at_once_and_leave_after_a_while() {
        let mut backups = Backups::default();
        assert!(!backups.follow(false, 100));
        assert!(backups.follow(true, 101));
        assert!(backups.follow(false, 102));
        assert!(backups.follow(false, 102 + HOLD - 1));
        assert!(!backups.follow(false, 102 + HOLD));
        assert!(!backups.follow(false, 500));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_them_no_longer_than_once_more() {
        let mut backups = Backups::default();
        backups.follow(true, 5000);
        assert!(backups.follow(false, 5001));
        assert!(backups.follow(false, 1000));
        assert!(!backups.follow(false, 1000 + HOLD));
    }

    proptest! {
        /// Used whenever wanted, never long after, and not changed more than twice
        /// within the time that they stay.
        #[test]
        fn they_do_not_flap(wanted in prop::collection::vec(any::<bool>(), 1..200)) {
            let mut backups = Backups::default();
            let (mut was, mut left, mut last_wanted) = (false, None, None);
            for (time, wanted) in (0u64..).zip(wanted) {
                let used = backups.follow(wanted, time);
                last_wanted = if wanted { Some(time) } else { last_wanted };
                prop_assert!(used || !wanted);
                prop_assert!(!used || last_wanted.is_some_and(|at| time <= at + HOLD));
                if was && !used {
                    prop_assert!(left.is_none_or(|at| time >= at + HOLD));
                    left = Some(time);
                }
                was = used;
            }
        }
    }
}
