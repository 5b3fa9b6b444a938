//! The loop of a client thread: requests fall due, connections take them, answers come.

use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::connection::{Connection, Fault, Progress};
use super::{Kind, Latencies, Load, Pace, Tally, Window, http};
use crate::cpu::Reading;

const TICK: Duration = Duration::from_millis(1);
/// How long a set-up or what is under way at the end may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The timer's mark among the events; connections have their numbers.
const TIMER: u64 = u64::MAX;

pub struct Engine<'a> {
    load: &'a Load,
    epoll: Epoll,
    connections: Vec<Option<Connection>>,
    /// Numbers without a connection.
    free: Vec<usize>,
    /// Kept connections with nothing to do; the one that rested longest comes first.
    idle: VecDeque<usize>,
    /// Requests that wait for a connection, by the time they were due.
    due: VecDeque<Instant>,
    next_target: usize,
    offered: u64,
    /// Whether more requests are to be made.
    running: bool,
    measuring: bool,
    tally: Tally,
    latencies: Latencies,
}

impl<'a> Engine<'a> {
    pub fn new(load: &'a Load) -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("cannot make an epoll")?;
        Ok(Self {
            load,
            epoll,
            connections: (0..load.connections).map(|_| None).collect(),
            free: (0..load.connections).rev().collect(),
            idle: VecDeque::new(),
            due: VecDeque::new(),
            next_target: 0,
            offered: 0,
            running: true,
            measuring: false,
            tally: Tally::default(),
            latencies: Latencies::default(),
        })
    }

    pub fn run(mut self) -> Result<Window> {
        let all = self.load.connections;
        self.work(None, PATIENCE, |engine| {
            engine.load.kind == Kind::Connection || engine.idle.len() == all
        })?;
        let mut clock = self.begin()?;
        self.work(Some(&mut clock), self.load.warm_up, |_| false)?;

        self.measuring = true;
        let (offered, before) = (self.offered, Reading::take(self.load.cpu)?);
        self.work(Some(&mut clock), self.load.time, |_| false)?;
        let after = Reading::take(self.load.cpu)?;
        let offered = self.offered - offered;
        self.measuring = false;

        self.running = false;
        drop(clock);
        self.finish()?;
        Ok(Window {
            tally: self.tally,
            latencies: self.latencies,
            offered,
            elapsed: after.wall - before.wall,
            busy: after.busy_since(&before),
        })
    }

    /// Starts the clock of a fixed rate, or makes the first requests of a saturating load.
    fn begin(&mut self) -> Result<Clock> {
        // Before the timer: each of its ticks then comes after the millisecond it is for.
        let mut clock = Clock { start: Instant::now(), ticks: 0, timer: None };
        if let Pace::Saturate = self.load.pace {
            self.due.extend((0..self.load.connections).map(|_| clock.start));
            return Ok(clock);
        }
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)
            .context("cannot make a timer")?;
        let every = Expiration::Interval(TimeSpec::from_duration(TICK));
        timer.set(every, TimerSetTimeFlags::empty()).context("cannot set a timer")?;
        self.epoll
            .add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))
            .context("cannot wait for a timer")?;
        clock.timer = Some(timer);
        Ok(clock)
    }

    /// Waits for the answers that are under way; those of a saturating load are cut off.
    fn finish(&mut self) -> Result<()> {
        self.due.clear();
        if let Pace::Saturate = self.load.pace {
            return Ok(());
        }
        self.work(None, PATIENCE, |engine| engine.waiting() == 0)?;
        self.tally.error("no answer".to_owned(), self.waiting() as u64);
        Ok(())
    }

    /// Requests that have no answer yet.
    fn waiting(&self) -> usize {
        self.connections.iter().flatten().filter(|connection| connection.due.is_some()).count()
    }

    /// Handles events for some time, or until nothing is left to do.
    fn work(
        &mut self,
        mut clock: Option<&mut Clock>,
        time: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + time;
        let mut events = [EpollEvent::empty(); 256];
        loop {
            // Here, not while events are handled: a number must not get a new connection
            // while events of its old one may follow.
            self.dispatch();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || done(self) {
                return Ok(());
            }
            if self.tally.is_hopeless() {
                bail!("the client gave up: {:?}", self.tally.errors);
            }
            let wait = u16::try_from(left.as_millis()).unwrap_or(u16::MAX).max(1);
            let count = match self.epoll.wait(&mut events, EpollTimeout::from(wait)) {
                Err(nix::errno::Errno::EINTR) => 0,
                result => result.context("cannot wait for events")?,
            };
            for event in &events[..count] {
                match (event.data(), clock.as_deref_mut()) {
                    (TIMER, Some(clock)) => clock.ticks(self.load.pace, |due, times| {
                        self.offered += u64::from(times);
                        self.due.extend((0..times).map(|_| due));
                    }),
                    (TIMER, None) => {}
                    (number, _) => self.event(number as usize),
                }
            }
        }
    }

    /// Gives what is due to connections.
    fn dispatch(&mut self) {
        match self.load.kind {
            Kind::Request => {
                while self.running
                    && let Some(number) = self.free.pop()
                {
                    self.open(number, None);
                    if self.tally.is_hopeless() {
                        return;
                    }
                }
                while !self.due.is_empty()
                    && let Some(number) = self.idle.pop_front()
                {
                    let due = self.due.pop_front().expect("a request is due");
                    self.ask(number, due);
                }
            }
            Kind::Connection => {
                while !self.due.is_empty()
                    && let Some(number) = self.free.pop()
                {
                    let due = self.due.pop_front();
                    self.open(number, due);
                }
            }
        }
    }

    fn open(&mut self, number: usize, due: Option<Instant>) {
        let to = self.target();
        let opened = Connection::open(to, due).and_then(|connection| {
            // Edge triggered: one call for the whole life of a connection.
            let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
            self.epoll
                .add(&connection.stream, EpollEvent::new(flags, number as u64))
                .map_err(|errno| format!("cannot wait for a connection: {errno}"))?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => self.connections[number] = Some(connection),
            Err(fault) => self.lose(number, fault),
        }
    }

    fn target(&mut self) -> SocketAddrV4 {
        self.next_target = (self.next_target + 1) % self.load.targets.len();
        self.load.targets[self.next_target]
    }

    fn ask(&mut self, number: usize, due: Instant) {
        let request = if self.load.kind == Kind::Request { http::KEPT } else { http::LAST };
        let connection = self.connections[number].as_mut().expect("it is connected");
        if let Err(fault) = connection.ask(request, due) {
            self.lose(number, fault);
        }
    }

    fn event(&mut self, number: usize) {
        let Some(connection) = self.connections[number].as_mut() else { return };
        match connection.advance() {
            Ok(Progress::Nothing) => {}
            Ok(Progress::Connected) => match connection.due {
                Some(due) => self.ask(number, due),
                None => self.idle.push_back(number),
            },
            Ok(Progress::Answered(name)) => {
                let due = connection.due.take();
                let ended = connection.ended;
                self.answered(&name, due);
                match self.load.kind {
                    Kind::Connection if ended => self.ended(number),
                    Kind::Connection => {}
                    Kind::Request if ended => {
                        self.lose(number, "a kept connection was closed".into())
                    }
                    Kind::Request => self.idle.push_back(number),
                }
            }
            Ok(Progress::Ended) => match self.load.kind {
                Kind::Connection => self.ended(number),
                Kind::Request => {
                    self.idle.retain(|idle| *idle != number);
                    self.lose(number, "a kept connection was closed".into());
                }
            },
            Err(fault) => self.lose(number, fault),
        }
    }

    fn answered(&mut self, name: &str, due: Option<Instant>) {
        self.tally.answer(name);
        if self.measuring
            && let Some(due) = due
        {
            self.latencies.add(due.elapsed());
        }
        if self.load.kind == Kind::Request {
            self.again();
        }
    }

    /// A connection for one request has come to its end.
    fn ended(&mut self, number: usize) {
        self.connections[number] = None;
        self.free.push(number);
        self.again();
    }

    fn lose(&mut self, number: usize, fault: Fault) {
        self.tally.error(fault, 1);
        let had_request = self.connections[number].take().is_none_or(|lost| lost.due.is_some());
        self.free.push(number);
        if had_request {
            self.again();
        }
    }

    /// A saturating load makes the next request at once.
    fn again(&mut self) {
        if self.running && matches!(self.load.pace, Pace::Saturate) {
            self.due.push_back(Instant::now());
        }
    }
}

/// When bursts are due.
struct Clock {
    start: Instant,
    ticks: u32,
    timer: Option<TimerFd>,
}

impl Clock {
    /// Calls once for each millisecond since the last time, with its time and its burst.
    fn ticks(&mut self, pace: Pace, mut burst: impl FnMut(Instant, u32)) {
        let Pace::PerMillisecond(times) = pace else { return };
        if let Some(timer) = &self.timer {
            // Clears the event; the time tells how many there were.
            let _ = timer.wait();
        }
        while self.start + TICK * (self.ticks + 1) <= Instant::now() {
            self.ticks += 1;
            burst(self.start + TICK * self.ticks, times);
        }
    }
}
