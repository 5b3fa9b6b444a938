//! When to ask again: when the answer's time to live is over, or soon where
//! there was none. Knows no clock; each call is told the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::config::Question;

/// The first repetition after a failure; each further one waits twice as long.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub struct Schedule {
    entries: BTreeMap<Question, Entry>,
}

#[derive(Debug)]
struct Entry {
    due: Instant,
    /// Without an answer, in a row.
    failures: u32,
    /// Asked, not answered yet.
    running: bool,
}

/// Shortest and longest time between two answers.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub min: Duration,
    pub max: Duration,
}

impl Schedule {
    /// Asks for these and no others, and for all of them at once.
    pub fn set(&mut self, questions: &BTreeSet<Question>, now: Instant) {
        self.entries.retain(|question, _| questions.contains(question));
        for question in questions {
            let entry = self.entries.entry(question.clone());
            let entry = entry.or_insert(Entry { due: now, failures: 0, running: false });
            entry.due = now;
        }
    }

    /// At most `room` of what is due, which is then being asked.
    pub fn take_due(&mut self, now: Instant, room: usize) -> Vec<Question> {
        let mut due: Vec<_> = self
            .entries
            .iter_mut()
            .filter(|(_, entry)| !entry.running && entry.due <= now)
            .collect();
        due.sort_by_key(|(_, entry)| entry.due);
        let taken = due.into_iter().take(room).map(|(question, entry)| {
            entry.running = true;
            question.clone()
        });
        taken.collect()
    }

    /// An asking has ended. `ttl`: of its answer; `None`: there was none, or
    /// not all of it.
    pub fn ended(&mut self, question: &Question, ttl: Option<Duration>, times: (Instant, Bounds)) {
        let (now, Bounds { min, max }) = times;
        let Some(entry) = self.entries.get_mut(question) else { return };
        entry.running = false;
        let wait = match ttl {
            Some(ttl) => {
                entry.failures = 0;
                ttl.clamp(min, max)
            }
            None => {
                let doublings = entry.failures.min(16);
                entry.failures = entry.failures.saturating_add(1);
                (RETRY * (1 << doublings)).min(LONGEST_RETRY).clamp(min, max)
            }
        };
        entry.due = now + wait;
    }

    /// When something is due that is not being asked.
    pub fn next_due(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| !entry.running).map(|entry| entry.due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Family, QuestionKind};

    const BOUNDS: Bounds = Bounds { min: Duration::from_secs(2), max: Duration::from_secs(3600) };

    fn question(name: &str) -> Question {
        Question { kind: QuestionKind::Dns, name: name.into(), family: Family::Both }
    }

    fn questions(names: &[&str]) -> BTreeSet<Question> {
        names.iter().map(|name| question(name)).collect()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn an_answer_holds_for_its_ttl_within_the_bounds() {
        let now = Instant::now();
        for (ttl, wait) in [(0, 2), (1, 2), (60, 60), (100_000, 3600)] {
            let mut schedule = Schedule::default();
            schedule.set(&questions(&["a"]), now);
            assert_eq!(schedule.take_due(now, 9), [question("a")]);
            schedule.ended(&question("a"), Some(seconds(ttl)), (now, BOUNDS));
            assert_eq!(schedule.next_due(), Some(now + seconds(wait)));
            assert!(schedule.take_due(now + seconds(wait) - seconds(1), 9).is_empty());
            assert_eq!(schedule.take_due(now + seconds(wait), 9).len(), 1);
        }
    }

    #[test]
    fn failures_are_repeated_less_and_less_often_until_an_answer_comes() {
        let now = Instant::now();
        let a = question("a");
        let mut schedule = Schedule::default();
        schedule.set(&questions(&["a"]), now);
        let mut waits = Vec::new();
        for _ in 0..40 {
            schedule.ended(&a, None, (now, BOUNDS));
            waits.push((schedule.next_due().unwrap() - now).as_secs());
        }
        assert_eq!(waits[..6], [2, 2, 4, 8, 16, 30]);
        assert!(waits[6..].iter().all(|wait| *wait == 30));
        schedule.ended(&a, Some(seconds(5)), (now, BOUNDS));
        schedule.ended(&a, None, (now, BOUNDS));
        assert_eq!(schedule.next_due(), Some(now + seconds(2)));
    }

    #[test]
    fn what_is_being_asked_is_not_asked_twice_and_room_is_kept() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.set(&questions(&["a", "b", "c"]), now);
        assert_eq!(schedule.take_due(now, 2).len(), 2);
        assert_eq!(schedule.take_due(now, 2), [question("c")]);
        assert_eq!(schedule.next_due(), None);
        assert!(schedule.take_due(now + seconds(99), 9).is_empty());
    }

    #[test]
    fn another_set_drops_what_is_not_in_it_and_hurries_the_rest() {
        let now = Instant::now();
        let mut schedule = Schedule::default();
        schedule.set(&questions(&["a", "b"]), now);
        schedule.take_due(now, 9);
        schedule.ended(&question("b"), Some(seconds(600)), (now, BOUNDS));
        schedule.set(&questions(&["b", "c"]), now + seconds(1));
        // An answer that nobody waits for any more.
        schedule.ended(&question("a"), Some(seconds(1)), (now, BOUNDS));
        let due = schedule.take_due(now + seconds(1), 9);
        assert_eq!(due, [question("b"), question("c")]);
    }
}
