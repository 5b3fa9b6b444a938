//! The log of translated flows: one JSON object per line, for "who was this
//! source address and port at that time?".
//!
//! A flow that begins is told by the data path through a ring buffer, one that
//! ends by the sweeper. A thread of its own turns them into lines: a file system
//! that hangs holds up nobody else. What cannot be written, or is more than the
//! configured rate, is counted, and the count stands in the file as soon as
//! something can be written again.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use lb_common::abi::NatBegin;

use super::{
    Ended, Registry,
    events::Events,
    record::{Moment, begin, end, lost},
    sink::Sink,
};
use crate::{api::types::NatLogStats, config::NatLog, dataplane::Clock};

/// Between two looks at what has happened.
const PAUSE: Duration = Duration::from_millis(20);
/// While nothing is logged.
const REST: Duration = Duration::from_millis(200);
/// Ends that wait to be written.
const QUEUE: usize = 1 << 16;
/// Records of each kind that are written before the file is looked at again.
const BATCH: usize = 1 << 14;

/// What the daemon holds of the log.
#[derive(Clone, Debug)]
pub struct Logger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Mutex<Option<NatLog>>,
    /// Something is logged.
    on: AtomicBool,
    /// The file is to be opened again.
    reopen: AtomicBool,
    written: AtomicU64,
    lost: AtomicU64,
    /// Lost, and not said in the file yet.
    unsaid: AtomicU64,
    error: Mutex<Option<String>>,
    ends: SyncSender<Ended>,
}

impl Logger {
    /// Starts the thread, which lives as long as the process.
    pub fn start(
        events: Events,
        registry: Arc<Registry>,
        clock: Clock,
        config: Option<NatLog>,
    ) -> io::Result<Self> {
        let (ends, ended) = sync_channel(QUEUE);
        let shared = Arc::new(Shared {
            on: AtomicBool::new(config.is_some()),
            config: Mutex::new(config),
            reopen: AtomicBool::new(false),
            written: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            unsaid: AtomicU64::new(0),
            error: Mutex::new(None),
            ends,
        });
        let writer = Writer { shared: shared.clone(), events, ended, registry, clock };
        thread::Builder::new().name("nat-log".to_owned()).spawn(move || writer.run())?;
        Ok(Self(shared))
    }

    /// A configuration was read, be it the same: the file is opened again, too.
    pub fn configure(&self, config: Option<NatLog>) {
        self.0.on.store(config.is_some(), Ordering::Relaxed);
        *self.0.config.lock().unwrap_or_else(PoisonError::into_inner) = config;
        self.0.reopen.store(true, Ordering::Relaxed);
    }

    /// A flow is over. Never waits.
    pub fn note(&self, ended: &Ended) {
        if self.0.on.load(Ordering::Relaxed) && self.0.ends.try_send(*ended).is_err() {
            self.0.lose(1);
        }
    }

    /// Flows have begun that the data path had no room to tell of.
    pub fn lose(&self, records: u64) {
        self.0.lose(records);
    }

    /// For the statistics; `None`: nothing is logged.
    pub fn stats(&self) -> Option<NatLogStats> {
        let config = self.0.config.lock().unwrap_or_else(PoisonError::into_inner);
        let error = self.0.error.lock().unwrap_or_else(PoisonError::into_inner);
        config.as_ref().map(|config| NatLogStats {
            path: config.path.display().to_string(),
            written: self.0.written.load(Ordering::Relaxed),
            lost: self.0.lost.load(Ordering::Relaxed),
            error: error.clone(),
        })
    }
}

impl Shared {
    fn lose(&self, records: u64) {
        self.lost.fetch_add(records, Ordering::Relaxed);
        self.unsaid.fetch_add(records, Ordering::Relaxed);
    }
}

/// The thread.
struct Writer {
    shared: Arc<Shared>,
    events: Events,
    ended: Receiver<Ended>,
    registry: Arc<Registry>,
    clock: Clock,
}

impl Writer {
    fn run(mut self) {
        let mut sink: Option<(NatLog, Sink)> = None;
        let mut rate = Rate::default();
        loop {
            let config = self.shared.config.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let Some(config) = config else {
                sink = None;
                self.drop_all();
                thread::sleep(REST);
                continue;
            };
            let reopen = self.shared.reopen.swap(false, Ordering::Relaxed);
            if reopen || sink.as_ref().is_none_or(|(of, _)| of.path != config.path) {
                sink = Some((config.clone(), Sink::new(&config.path)));
            }
            rate.refill(Instant::now(), config.rate);
            let (lines, count) = self.lines(&mut rate);
            if let Some((_, sink)) = &mut sink {
                self.write(sink, &lines, count);
            }
            thread::sleep(PAUSE);
        }
    }

    /// What was told while nobody wanted to know.
    fn drop_all(&mut self) {
        self.events.by_ref().for_each(drop);
        while self.ended.try_recv().is_ok() {}
    }

    /// What has happened, as lines, and how many.
    fn lines(&mut self, rate: &mut Rate) -> (Vec<u8>, u64) {
        let (mut lines, mut count) = (Vec::new(), 0);
        let Ok(now) = self.clock.now() else { return (lines, count) };
        let directory = self.registry.directory();
        let moment = Moment { wall: SystemTime::now(), ticks: now, rate: directory.ticks };
        let unsaid = self.shared.unsaid.swap(0, Ordering::Relaxed);
        if unsaid > 0 {
            lost(&mut lines, &moment, unsaid);
        }
        let begins: VecDeque<NatBegin> = self.events.by_ref().take(BATCH).collect();
        for one in begins {
            if rate.take() {
                begin(&mut lines, &moment, &directory, &one);
                count += 1;
            } else {
                self.shared.lose(1);
            }
        }
        for one in self.ended.try_iter().take(BATCH) {
            if rate.take() {
                end(&mut lines, &moment, &directory, &one);
                count += 1;
            } else {
                self.shared.lose(1);
            }
        }
        (lines, count)
    }

    fn write(&self, sink: &mut Sink, lines: &[u8], count: u64) {
        let written = sink.write(lines);
        let mut error = self.shared.error.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => {
                self.shared.written.fetch_add(count, Ordering::Relaxed);
                if !lines.is_empty() {
                    *error = None;
                }
            }
            Err(why) => {
                self.shared.lose(count);
                *error = Some(why.to_string());
            }
        }
    }
}

/// Records that may be written: a second's worth at most.
#[derive(Debug, Default)]
struct Rate {
    last: Option<Instant>,
    per_second: f64,
    level: f64,
}

impl Rate {
    fn refill(&mut self, now: Instant, per_second: u32) {
        self.per_second = per_second.into();
        let passed = self.last.map_or(1.0, |last| now.duration_since(last).as_secs_f64());
        self.level = (self.level + passed * self.per_second).min(self.per_second);
        self.last = Some(now);
    }

    fn take(&mut self) -> bool {
        let enough = self.level >= 1.0;
        if enough {
            self.level -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_as_many_records_as_the_rate_says() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        rate.refill(start, 10);
        assert_eq!((0..20).filter(|_| rate.take()).count(), 10);
        rate.refill(start + Duration::from_millis(500), 10);
        assert_eq!((0..20).filter(|_| rate.take()).count(), 5);
        rate.refill(start + Duration::from_secs(60), 10);
        assert_eq!((0..20).filter(|_| rate.take()).count(), 10, "it does not pile up");
    }
}
