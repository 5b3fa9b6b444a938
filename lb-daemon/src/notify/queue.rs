//! Events that wait to be told to one receiver: so many at most, in order. When
//! there are more, the oldest are lost: the newest say how things stand.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::{sync::Notify as Signal, time::Instant};

use crate::{
    api::types::{Event, NotifyStats},
    config::Notify,
};

/// Events that wait at a time.
pub const ROOM: usize = 1024;

/// An event, and when it came.
pub struct Waiting {
    pub event: Event,
    pub since: Instant,
}

/// What the tasks of a receiver and the statistics share.
#[derive(Default)]
pub struct Shared {
    queue: Mutex<Queue>,
    /// Something waits.
    filled: Signal,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Waiting>,
    /// One is being told.
    under_way: bool,
    /// The last event that was looked at, wanted or not.
    seen: u64,
    told: u64,
    lost: u64,
    /// Lost, and not said to the receiver yet.
    unsaid: u64,
    problem: Option<Problem>,
}

struct Problem {
    why: String,
    since: u64,
}

impl Queue {
    fn lose(&mut self, events: u64) {
        self.lost += events;
        self.unsaid += events;
    }
}

impl Shared {
    /// Events have happened, of which these are wanted; `missed` have gone before
    /// they could be seen.
    pub fn put(&self, events: Vec<Event>, missed: u64, seen: u64) {
        let mut queue = self.queue();
        queue.seen = seen;
        queue.lose(missed);
        for event in events {
            if queue.events.len() == ROOM {
                queue.events.pop_front();
                queue.lose(1);
            }
            queue.events.push_back(Waiting { event, since: Instant::now() });
        }
        self.filled.notify_one();
    }

    /// Waits for the next one that is to be told.
    pub async fn next(&self) -> Waiting {
        loop {
            {
                let mut queue = self.queue();
                if let Some(first) = queue.events.pop_front() {
                    queue.under_way = true;
                    return first;
                }
            }
            self.filled.notified().await;
        }
    }

    /// How many were lost that the receiver does not know of.
    pub fn unsaid(&self) -> u64 {
        self.queue().unsaid
    }

    /// The one under way was told, with so many lost ones; returns whether that
    /// ends a problem.
    pub fn told(&self, said: u64) -> bool {
        let mut queue = self.queue();
        queue.under_way = false;
        queue.told += 1;
        queue.unsaid -= said;
        queue.problem.take().is_some()
    }

    /// It could not be told; returns whether that is new.
    pub fn failed(&self, why: String) -> bool {
        let mut queue = self.queue();
        let since = queue.problem.as_ref().map(|problem| problem.since);
        queue.problem = Some(Problem { why, since: since.unwrap_or_else(now) });
        since.is_none()
    }

    /// The one under way will not be tried again.
    pub fn given_up(&self) {
        let mut queue = self.queue();
        queue.under_way = false;
        queue.lose(1);
    }

    /// Whether the last attempt succeeded.
    pub fn is_well(&self) -> bool {
        self.queue().problem.is_none()
    }

    /// Whether nothing is left of what happened up to an event.
    pub fn is_told(&self, last: u64) -> bool {
        let queue = self.queue();
        queue.seen >= last && queue.events.is_empty() && !queue.under_way
    }

    pub fn stats(&self, config: &Notify) -> NotifyStats {
        let queue = self.queue();
        NotifyStats {
            to: config.way.to_string(),
            told: queue.told,
            waiting: queue.events.len() as u64 + u64::from(queue.under_way),
            lost: queue.lost,
            problem: queue.problem.as_ref().map(|problem| problem.why.clone()),
            problem_since: queue.problem.as_ref().map(|problem| problem.since),
        }
    }

    /// No panic leaves a half-made queue behind.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
