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
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn machine(state: State) -> Machine {
        Machine::new(state, 2, 3, SECOND)
    }

    /// Feeds outcomes written as letters: w(orks), f(ails), g(one), n(ot made).
    fn feed(machine: &mut Machine, outcomes: &str) -> Vec<State> {
        let now = Instant::now();
        outcomes
            .chars()
            .filter_map(|c| machine.observe(&outcome(c), now))
            .map(|c| c.state)
            .collect()
    }

    fn outcome(letter: char) -> Outcome {
        match letter {
            'w' => Outcome::Works(Duration::ZERO),
            'f' => Outcome::Fails("no answer".into()),
            'g' => Outcome::Gone("refused".into()),
            'n' => Outcome::NotMade("no descriptors".into()),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn changes_of_state() {
        use State::*;
        for (start, outcomes, expected) in [
            (Unknown, "w", &[][..]),
            (Unknown, "ww", &[Up]),
            (Unknown, "ff", &[]),
            (Unknown, "fff", &[Failing]),
            (Unknown, "ggg", &[Dead]),
            // The row starts again with every success, and with every failure.
            (Up, "ffwffw", &[]),
            (Failing, "wfwfw", &[]),
            (Up, "ffw", &[]),
            // What the last failure of the row says decides.
            (Up, "ggf", &[Failing]),
            (Up, "ffg", &[Dead]),
            // Worse evidence is taken in, less is not.
            (Failing, "gg", &[]),
            (Failing, "ggfgg", &[]),
            (Failing, "ggg", &[Dead]),
            (Up, "fggg", &[Dead]),
            (Up, "fffggg", &[Failing, Dead]),
            (Dead, "ffffff", &[]),
            (Dead, "w", &[]),
            (Dead, "ffww", &[Up]),
            (Failing, "ww", &[Up]),
            (Up, "wwww", &[]),
            // A probe that could not be made neither counts nor ends a row.
            (Up, "nnnnnn", &[]),
            (Up, "ffnf", &[Failing]),
            (Failing, "wnw", &[Up]),
        ] {
            assert_eq!(feed(&mut machine(start), outcomes), expected, "{start:?} {outcomes}");
        }
    }

    #[test]
    fn one_is_enough_when_rise_and_fall_are_one() {
        let mut machine = Machine::new(State::Unknown, 1, 1, SECOND);
        assert_eq!(feed(&mut machine, "wgwf"), [State::Up, State::Dead, State::Up, State::Failing]);
    }

    #[test]
    fn a_failed_neighbour_is_dead_at_once_and_held_down() {
        let (mut machine, start) = (machine(State::Up), Instant::now());
        let change = machine.neighbour_failed(start).unwrap();
        assert_eq!(change.state, State::Dead);
        assert_eq!(machine.neighbour_failed(start), None);
        for _ in 0..5 {
            assert_eq!(machine.observe(&outcome('w'), start + SECOND), None);
        }
        // `fall` intervals later the row of successes starts from nothing.
        let later = start + 3 * SECOND;
        assert_eq!(machine.observe(&outcome('w'), later), None);
        assert_eq!(machine.observe(&outcome('w'), later).unwrap().state, State::Up);
    }

    #[test]
    fn a_restored_state_gives_way_to_a_known_one() {
        let mut fresh = machine(State::Unknown);
        fresh.restore(State::Up);
        assert_eq!(feed(&mut fresh, "ww"), []);
        let mut known = machine(State::Dead);
        known.restore(State::Up);
        assert_eq!(feed(&mut known, "ww"), [State::Up]);
    }

    #[test]
    fn the_reason_names_the_last_failure_and_the_row() {
        let (mut machine, now) = (machine(State::Up), Instant::now());
        let changes: Vec<_> =
            "fgg".chars().filter_map(|c| machine.observe(&outcome(c), now)).collect();
        assert_eq!(changes[0].reason, "refused (2 failures in a row)");
    }

    /// Seconds pass, one for each outcome.
    fn live(machine: &mut Machine, start: Instant, outcomes: &str) -> Vec<Change> {
        let times = (0u32..).map(|second| start + second * SECOND);
        let observed =
            outcomes.chars().zip(times).map(|(c, now)| machine.observe(&outcome(c), now));
        observed.flatten().collect()
    }

    #[test]
    fn one_that_flaps_is_held_down_and_says_why() {
        let (mut machine, start) = (machine(State::Up), Instant::now());
        let changes = live(&mut machine, start, "fffwwfffwwfffww");
        assert_eq!(changes.iter().filter(|one| one.state == State::Up).count(), 2);
        let last = changes.last().unwrap();
        assert_eq!(
            last.reason,
            "no answer (3 failures in a row); it went down 3 times in 10 s: it needs 4 \
             successes in a row to be up"
        );
        let now = start + 14 * SECOND;
        let held = machine.held(now).expect("it works");
        assert_eq!((held.falls.times, held.until), (3, now + 2 * SECOND));
        let up = live(&mut machine, now + SECOND, "ww").pop().unwrap();
        assert_eq!(up.state, State::Up);
        assert_eq!(up.reason, "4 successes in a row, since it went down 3 times in 14 s");
        assert_eq!(machine.held(now), None);
    }

    #[test]
    fn one_failure_after_another_day_is_no_flapping() {
        let (mut machine, mut now) = (machine(State::Up), Instant::now());
        for _ in 0..20 {
            let changes = live(&mut machine, now, "fffww");
            assert_eq!(changes.len(), 2, "{changes:?}");
            assert!(!changes[0].reason.contains("went down"), "{changes:?}");
            now += Duration::from_secs(86_400);
        }
    }

    #[test]
    fn failures_while_it_is_down_are_no_further_falls() {
        let mut machine = machine(State::Up);
        let changes = live(&mut machine, Instant::now(), "fffgggwfffwfffwfffwfffww");
        let states: Vec<_> = changes.iter().map(|one| one.state).collect();
        assert_eq!(states, [State::Failing, State::Dead, State::Up]);
    }

    proptest! {
        /// Whatever happens, a state is entered only on enough evidence.
        #[test]
        fn no_state_without_its_evidence(outcomes in "[wfgn]{0,64}") {
            let (mut machine, now) = (machine(State::Unknown), Instant::now());
            let mut seen = String::new();
            for letter in outcomes.chars() {
                let change = machine.observe(&outcome(letter), now);
                if letter != 'n' { seen.push(letter); }
                match change.map(|c| c.state) {
                    Some(State::Up) => prop_assert!(seen.ends_with("ww")),
                    Some(State::Failing) => prop_assert!(seen.ends_with('f')),
                    Some(State::Dead) => prop_assert!(seen.ends_with('g')),
                    Some(State::Unknown) => prop_assert!(false, "nothing becomes unknown"),
                    None => {}
                }
                if seen.ends_with("fff") || seen.ends_with("ggg") {
                    prop_assert!(matches!(machine.state, State::Failing | State::Dead));
                }
            }
        }
    }
}
