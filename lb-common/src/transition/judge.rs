//! What a scan of the flow table does with an entry.

use super::timing::life;
use crate::abi::{ASK_OLD, FlowEntry, FlowState, Service, SlotWord};

/// How full the flow table is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pressure {
    Low,
    /// Above 75 %: half-open flows are given less time.
    High,
    /// Above 90 %: entries that say what the slot says anyway are dropped.
    Critical,
}

impl Pressure {
    pub const fn of(used: u64, capacity: u64) -> Self {
        if used * 10 > capacity * 9 {
            Self::Critical
        } else if used * 4 > capacity * 3 {
            Self::High
        } else {
            Self::Low
        }
    }
}

/// An entry found by a scan, and the slot it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Scanned<'a> {
    pub entry: FlowEntry,
    pub is_udp: bool,
    pub word: SlotWord,
    /// When the word was last written; of no account at rest.
    pub written: u64,
    /// The word of the flow's slot in the previous table, if the service has one.
    pub old_word: Option<SlotWord>,
    pub service: &'a Service,
    pub ticks_per_second: u32,
    pub pressure: Pressure,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Keep,
    /// Keep; the slot must not rest, for this flow is not `current`'s.
    Hold,
    /// Delete, if it is still the entry that was judged.
    Delete,
    /// Set the slot's `base` to now, then delete likewise: the flow must be
    /// stored again if it sends again.
    Relieve,
}

/// Seconds that a half-open flow has under pressure.
const HURRIED_HALF_OPEN: u64 = 5;

pub fn judge(scanned: &Scanned<'_>, now: u64) -> Verdict {
    let Scanned { entry, word, .. } = *scanned;
    let second = scanned.ticks_per_second as u64;
    let owner = entry.owner.backend();
    let silence = now.saturating_sub(entry.seen.ticks());
    if !word.look_up() || !scanned.is_of_valid_epoch() || silence > scanned.life() + second {
        return Verdict::Delete;
    }
    let word_is_known_to_all = now >= scanned.written + second;
    if !word.store() && owner == word.current() && word_is_known_to_all {
        return Verdict::Delete;
    }
    if word.store() && owner == scanned.settled() && word_is_known_to_all {
        // Half a second more than copies of a SYN take.
        let settled_down = silence > scanned.service.arming as u64 + second / 2;
        if scanned.pressure == Pressure::Critical && settled_down {
            return Verdict::Relieve;
        }
    }
    if owner != word.current() && silence <= scanned.life() { Verdict::Hold } else { Verdict::Keep }
}

impl Scanned<'_> {
    /// The previous table's word, where the slot's word asks it.
    fn asked_word(&self) -> Option<SlotWord> {
        if self.word.settled() == ASK_OLD { self.old_word } else { None }
    }

    fn is_of_valid_epoch(&self) -> bool {
        let epoch = self.entry.owner.epoch();
        epoch == self.word.epoch()
            || self.asked_word().is_some_and(|old| old.look_up() && epoch == old.epoch())
    }

    fn settled(&self) -> u16 {
        self.asked_word().unwrap_or(self.word).settled()
    }

    fn life(&self) -> u64 {
        let state = self.entry.seen.state();
        let life = life(self.service, self.is_udp, state);
        let hurried = state == FlowState::HalfOpen && self.pressure >= Pressure::High;
        if hurried && !self.is_udp {
            life.min(HURRIED_HALF_OPEN * self.ticks_per_second as u64)
        } else {
            life
        }
    }
}
