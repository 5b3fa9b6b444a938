//! What has happened, for those who ask: a ring in memory that the newest
//! events push the oldest out of.
//!
//! Whoever follows asks for what came after the last event it has seen. One
//! that is too slow is told how many it missed; it costs the daemon nothing.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;
use tracing::{info, warn};

use crate::api::types::{Event, EventKind, EventPage, EventQuery};

/// Events that are kept.
pub const KEPT: usize = 4096;

/// Shared by all parts of the daemon.
#[derive(Clone, Debug)]
pub struct Journal {
    ring: Arc<Mutex<Ring>>,
    /// The sequence of the last event.
    last: watch::Sender<u64>,
    numbering: u64,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    last: u64,
}

impl Default for Journal {
    fn default() -> Self {
        let (last, _) = watch::channel(0);
        Self { ring: Arc::default(), last, numbering: milliseconds() }
    }
}

fn milliseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Journal {
    /// The number of the last event.
    pub fn last(&self) -> u64 {
        *self.last.borrow()
    }

    /// Which daemon counts.
    pub fn numbering(&self) -> u64 {
        self.numbering
    }

    /// Keeps an event, and writes it to the log.
    pub fn announce(&self, event: Event) {
        match event.kind {
            EventKind::Warning | EventKind::ReloadRefused | EventKind::Denied => warn!("{event}"),
            _ => info!("{event}"),
        }
        self.record(event);
    }

    /// Keeps an event that the log knows otherwise.
    pub fn record(&self, event: Event) {
        self.keep(Event { time: milliseconds() as f64 / 1000.0, ..event });
    }

    /// Takes up an event that an earlier daemon saw.
    pub fn keep(&self, event: Event) {
        let mut ring = self.ring();
        ring.last += 1;
        let sequence = ring.last;
        ring.events.push_back(Event { sequence, ..event });
        if ring.events.len() > KEPT {
            ring.events.pop_front();
        }
        self.last.send_replace(sequence);
    }

    /// What `query` asks for, as of now.
    pub fn page(&self, query: &EventQuery) -> EventPage {
        let ring = self.ring();
        let another = query.numbering != 0 && query.numbering != self.numbering;
        let after = if another { 0 } else { query.after };
        let oldest = ring.events.front().map_or(ring.last + 1, |event| event.sequence);
        let events = ring.events.iter().filter(|event| event.sequence > after);
        EventPage {
            events: events.cloned().collect(),
            missed: if after == 0 && !another { 0 } else { (oldest - 1).saturating_sub(after) },
            last: ring.last,
            numbering: self.numbering,
        }
    }

    /// The same, and waits until there is something.
    pub async fn next(&self, query: &EventQuery) -> EventPage {
        let mut last = self.last.subscribe();
        loop {
            last.mark_unchanged();
            let page = self.page(query);
            if !page.events.is_empty() || last.changed().await.is_err() {
                return page;
            }
        }
    }

    /// No panic leaves a half-made ring behind.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(after: u64) -> EventQuery {
        EventQuery { after, ..EventQuery::default() }
    }

    fn warned(journal: &Journal, times: usize) {
        for index in 0..times {
            journal.record(Event::new(EventKind::Warning, index.to_string()));
        }
    }

    #[test]
    fn a_reader_gets_what_came_after_the_last_it_saw() {
        let journal = Journal::default();
        warned(&journal, 3);
        let page = journal.page(&query(1));
        let sequences: Vec<u64> = page.events.iter().map(|event| event.sequence).collect();
        assert_eq!((sequences, page.last, page.missed), (vec![2, 3], 3, 0));
        assert_eq!(journal.page(&query(3)).events, []);
    }

    #[test]
    fn a_slow_reader_is_told_how_many_it_missed_and_memory_is_bounded() {
        let journal = Journal::default();
        warned(&journal, KEPT + 10);
        let page = journal.page(&query(4));
        assert_eq!((page.events.len(), page.missed), (KEPT, 6));
        // Who asks for all there are misses nothing.
        assert_eq!(journal.page(&query(0)).missed, 0);
    }

    #[test]
    fn another_daemons_numbers_begin_anew() {
        let journal = Journal::default();
        warned(&journal, 2);
        let before = EventQuery { after: 500, numbering: 7, wait: false };
        let page = journal.page(&before);
        assert_eq!((page.events.len(), page.missed), (2, 0));
        assert_eq!(
            journal.page(&EventQuery { numbering: page.numbering, ..query(1) }).events.len(),
            1
        );
    }

    #[tokio::test]
    async fn a_follower_waits_for_the_next_one() {
        let journal = Journal::default();
        warned(&journal, 1);
        let (waiting, asked) = (journal.clone(), query(1));
        let waiting = tokio::spawn(async move { waiting.next(&asked).await });
        tokio::task::yield_now().await;
        warned(&journal, 1);
        assert_eq!(waiting.await.unwrap().events.len(), 1);
    }
}
