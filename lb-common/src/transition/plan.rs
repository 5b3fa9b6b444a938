//! The daemon's rules for one slot: what its next word is, and when.
//!
//! Each word is written in one store, and every sequence of words cut short
//! after any of them is a valid state, so the daemon may die between two.

use super::timing::Timing;
use crate::abi::{ASK_OLD, NO_BACKEND, SlotWord};

/// What the daemon knows of a backend.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Health {
    #[default]
    Up,
    /// Unselected, but its flows stay.
    Failing,
    /// Its flows are lost.
    Dead,
}

/// A slot, as the daemon sees it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Situation {
    pub word: SlotWord,
    /// The backend that should get the slot's new flows.
    pub desired: u16,
    /// Health of the word's `current` and `settled`.
    pub current: Health,
    pub settled: Health,
    /// Since when flows have been stored. Of no account at rest.
    pub base: u64,
    /// When the word was last written.
    pub written: u64,
    pub last_failure: Option<u64>,
}

/// What to do with a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plan {
    /// Write this word in one store, then plan again.
    Write {
        word: SlotWord,
        /// Flows are stored from now on: `base` becomes now.
        storing_begins: bool,
    },
    /// Nothing to do before this time, or before news or a scan.
    Wait { until: Option<u64> },
}

/// The next step of a slot. Rest is reached by [`may_rest`] alone.
pub fn plan(slot: &Situation, timing: &Timing, now: u64) -> Plan {
    if timing.stateless {
        return slot.plan_stateless();
    }
    if !slot.word.look_up() {
        slot.plan_at_rest(timing)
    } else if slot.settled_is_lost(timing) {
        slot.plan_settled_lost()
    } else if slot.word.store() {
        slot.plan_storing(timing, now)
    } else {
        slot.plan_looking(timing)
    }
}

/// The word after `settled` has lost its flows, or is about to come back
/// without them: they are `current`'s now.
pub fn forget_settled(word: SlotWord) -> SlotWord {
    word.with_settled(word.current()).with_store(false)
}

/// A word of the previous table after `dead` has lost its flows. Nobody is
/// asked in its place for flows that nobody has stored; new flows get
/// `substitute` until their slot's own owner takes over.
pub fn without_dead(word: SlotWord, dead: u16, substitute: u16) -> SlotWord {
    let mut next = word;
    if word.settled() == dead {
        next = next.with_settled(NO_BACKEND);
    }
    if word.current() == dead {
        next = next.with_current(substitute);
    }
    next
}

/// The word at rest, if a slot may rest after a whole scan that began at
/// `scan_began` and found no valid, unexpired entry of another owner. A packet
/// may still act on the word before the last: hence the second.
pub fn may_rest(
    word: SlotWord,
    written: u64,
    scan_began: u64,
    timing: &Timing,
) -> Option<SlotWord> {
    let clean = word.look_up() && !word.store() && scan_began >= written + timing.second;
    clean.then(|| word.with_look_up(false))
}

impl Situation {
    /// Nobody's flows are at stake any more: `current` is dead or no backend.
    fn current_is_gone(&self) -> bool {
        self.current == Health::Dead || self.word.current() == NO_BACKEND
    }

    /// Whether flows of a dead `current` are to be answered rather than moved.
    fn current_is_to_be_answered(&self, timing: &Timing) -> bool {
        timing.reset_on_dead && self.word.current() != NO_BACKEND
    }

    /// Whether `current` may change without arming. When it fails, a doubled
    /// SYN is the smaller harm.
    fn needs_no_arming(&self, timing: &Timing) -> bool {
        self.current_is_gone() || self.current == Health::Failing || timing.arming == 0
    }

    /// Dead `settled` with its flows given up: at once under `reselect`, as
    /// soon as an insert fails under `reset`.
    fn settled_is_lost(&self, timing: &Timing) -> bool {
        let word = self.word;
        let lost = word.store()
            && word.settled() != word.current()
            && word.settled() != ASK_OLD
            && self.settled == Health::Dead;
        lost && (!timing.reset_on_dead || self.last_failure.is_some_and(|at| at >= self.written))
    }

    fn plan_stateless(&self) -> Plan {
        let word = SlotWord::at_rest(self.desired, self.word.epoch());
        if word == self.word { Plan::Wait { until: None } } else { write(word) }
    }

    fn plan_at_rest(&self, timing: &Timing) -> Plan {
        let Self { word, desired, .. } = *self;
        if desired == word.current() {
            return Plan::Wait { until: None };
        }
        if self.current_is_gone() && !self.current_is_to_be_answered(timing) {
            return write(SlotWord::at_rest(desired, word.epoch()));
        }
        // A new epoch voids what may be left of earlier transitions.
        let epoch = word.epoch().wrapping_add(1);
        let first = if self.needs_no_arming(timing) { desired } else { word.current() };
        begin_storing(SlotWord::new(first, word.current(), epoch, true, true))
    }

    fn plan_settled_lost(&self) -> Plan {
        let word = self.word;
        let owner = if self.current_is_gone() { self.desired } else { word.current() };
        write(forget_settled(word.with_current(owner)))
    }

    /// L = 1, S = 0: `settled` equals `current`.
    fn plan_looking(&self, timing: &Timing) -> Plan {
        let Self { word, desired, .. } = *self;
        if desired == word.current() {
            Plan::Wait { until: None }
        } else if self.current_is_gone() && !self.current_is_to_be_answered(timing) {
            write(forget_settled(word.with_current(desired)))
        } else if self.needs_no_arming(timing) {
            begin_storing(word.with_current(desired).with_store(true))
        } else {
            begin_storing(word.with_store(true))
        }
    }

    fn plan_storing(&self, timing: &Timing, now: u64) -> Plan {
        let Self { word, desired, .. } = *self;
        if desired == word.current() {
            return if word.current() == word.settled() {
                write(word.with_store(false))
            } else {
                self.plan_rebase(timing, now)
            };
        }
        let armed = self.quiet_since() + timing.arming;
        if now < armed && !self.needs_no_arming(timing) {
            return Plan::Wait { until: Some(armed) };
        }
        let nobody_owns = word.current() == word.settled()
            && self.current_is_gone()
            && !self.current_is_to_be_answered(timing);
        let next = word.with_current(desired);
        if nobody_owns || desired == word.settled() {
            write(forget_settled(next))
        } else {
            write(next)
        }
    }

    /// Every flow that sent within `idle` has been stored by now.
    fn plan_rebase(&self, timing: &Timing, now: u64) -> Plan {
        let due = (self.quiet_since() + timing.idle).max(self.written) + timing.second;
        if now >= due {
            return write(forget_settled(self.word));
        }
        // Under `reset`, a failed insert gives up a dead `settled`: look often.
        let until = if self.settled == Health::Dead { due.min(now + timing.second) } else { due };
        Plan::Wait { until: Some(until) }
    }

    /// Since when flows have been stored without one that was not.
    fn quiet_since(&self) -> u64 {
        self.base.max(self.last_failure.unwrap_or(0))
    }
}

fn write(word: SlotWord) -> Plan {
    Plan::Write { word, storing_begins: false }
}

fn begin_storing(word: SlotWord) -> Plan {
    Plan::Write { word, storing_begins: true }
}
