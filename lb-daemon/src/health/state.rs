//! From probe results to a state, with hysteresis.
//!
//! *Failing* and *dead* are different evidence. A time-out says that the
//! backend is slow; its flows may well live, so it is only unselected. A
//! refusal or an unreachable says that nothing is there to own a flow.
//!
//! - `fall` failures in a row take a backend out. It is dead when the last of
//!   them said so, else failing.
//! - A failing one that then fails in the dead way `fall` times in a row is dead.
//! - A dead one stays dead until it works: silence does not bring its flows back.
//! - A failed neighbour is death at once. For as long as `fall` probes take,
//!   successes do not count, so that a flapping neighbour cannot change the
//!   tables faster than a flapping port.
//! - `rise` successes in a row bring a backend up from any state; more of them one
//!   that has gone down again and again ([`damping`](super::damping)).

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::damping::{Damping, Falls};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not probed enough yet.
    Unknown,
    Up,
    /// Takes no new flows, keeps the ones it has.
    Failing,
    /// Owns no flows any more.
    Dead,
}

/// What one probe found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// And how long it took.
    Works(Duration),
    /// No useful answer: slow, overloaded, hanging, wrong.
    Fails(String),
    /// Nothing is there: refused, unreachable.
    Gone(String),
    /// The probe could not be made, for a reason of this host; proves nothing.
    NotMade(String),
}

/// The state of one target.
#[derive(Debug)]
pub struct Machine {
    state: State,
    rise: u32,
    fall: u32,
    interval: Duration,
    damping: Damping,
    hold: Duration,
    successes: u32,
    failures: u32,
    /// Failures at the end of the row that were of the dead way.
    gone: u32,
    held_until: Option<Instant>,
}

/// It works, but has gone down too often to be believed yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    pub falls: Falls,
    /// If it goes on working.
    pub until: Instant,
}

/// A new state and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub state: State,
    pub reason: String,
}

impl Machine {
    pub fn new(state: State, rise: u32, fall: u32, interval: Duration) -> Self {
        Self {
            state,
            rise,
            fall,
            interval,
            damping: Damping::new(rise, interval),
            hold: interval * fall,
            successes: 0,
            failures: 0,
            gone: 0,
            held_until: None,
        }
    }

    /// Takes a probe's outcome into account.
    pub fn observe(&mut self, outcome: &Outcome, now: Instant) -> Option<Change> {
        match outcome {
            Outcome::Works(_) => self.succeed(now),
            Outcome::Fails(why) => self.fail(false, why, now),
            Outcome::Gone(why) => self.fail(true, why, now),
            Outcome::NotMade(_) => None,
        }
    }

    /// The kernel could not resolve the target's next hop.
    pub fn neighbour_failed(&mut self, now: Instant) -> Option<Change> {
        self.held_until = Some(now + self.hold);
        self.reset_rows();
        self.change_to(State::Dead, now, || "its neighbour entry failed".to_owned())
    }

    /// Whether it is kept down although it works.
    pub fn held(&self, now: Instant) -> Option<Held> {
        let missing = self.damping.needed().saturating_sub(self.successes);
        let works = self.state != State::Up && self.successes >= self.rise;
        let falls = self.damping.falls(now).filter(|_| works && missing > 0)?;
        Some(Held { falls, until: now + self.interval * missing })
    }

    /// Starts from what an earlier daemon knew.
    pub fn restore(&mut self, state: State) {
        if self.state == State::Unknown {
            self.state = state;
        }
    }

    fn succeed(&mut self, now: Instant) -> Option<Change> {
        if self.held_until.is_some_and(|until| now < until) {
            return None;
        }
        self.failures = 0;
        self.gone = 0;
        self.successes = self.successes.saturating_add(1);
        if self.successes < self.damping.needed() {
            return None;
        }
        let successes = self.successes;
        self.change_to(State::Up, now, || in_a_row(successes, "success", "successes"))
    }

    fn fail(&mut self, gone: bool, why: &str, now: Instant) -> Option<Change> {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
        self.gone = if gone { self.gone.saturating_add(1) } else { 0 };
        let (failures, gone_row) = (self.failures, self.gone);
        let next = match self.state {
            State::Unknown | State::Up if failures >= self.fall && gone => State::Dead,
            State::Unknown | State::Up if failures >= self.fall => State::Failing,
            State::Failing if gone_row >= self.fall => State::Dead,
            unchanged => unchanged,
        };
        let row = if next == State::Dead { gone_row } else { failures };
        self.change_to(next, now, || format!("{why} ({})", in_a_row(row, "failure", "failures")))
    }

    fn change_to(
        &mut self,
        state: State,
        now: Instant,
        reason: impl FnOnce() -> String,
    ) -> Option<Change> {
        if state == self.state {
            return None;
        }
        if state == State::Up {
            self.damping.rose(now);
        } else if self.state == State::Up {
            self.damping.fell(now);
        }
        self.state = state;
        Some(Change { state, reason: self.and_so(reason(), now) })
    }

    /// What a change to `state` means for one that flaps.
    fn and_so(&self, reason: String, now: Instant) -> String {
        match self.damping.falls(now) {
            Some(falls) if self.state == State::Up => format!("{reason}, since {falls}"),
            Some(falls) => {
                let needed = in_a_row(self.damping.needed(), "success", "successes");
                format!("{reason}; {falls}: it needs {needed} to be up")
            }
            None => reason,
        }
    }

    fn reset_rows(&mut self) {
        self.successes = 0;
        self.failures = 0;
        self.gone = 0;
    }
}

fn in_a_row(count: u32, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many} in a row"),
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
