//! The load client: one thread and one epoll for each CPU it may use.
//!
//! It either offers a fixed rate, in bursts every millisecond whether or not earlier
//! requests have been answered, or it saturates: each connection asks again as soon as
//! it has its answer. Latency counts from the moment a request was due, so that a
//! request that had to wait for the client counts its wait.

mod connection;
mod engine;
mod http;
mod tally;

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lb_test_lab::Host;

use self::engine::Engine;
pub use self::tally::{Latencies, Tally};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Requests on connections that stay.
    Request,
    /// Connections, each for one request.
    Connection,
}

impl Kind {
    /// For people and programs, in the singular.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Connection => "connection",
        }
    }
}

pub const KINDS: [Kind; 2] = [Kind::Request, Kind::Connection];

#[derive(Clone, Copy)]
pub enum Pace {
    PerMillisecond(u32),
    Saturate,
}

#[derive(Clone)]
pub struct Load {
    /// Asked in turn.
    pub targets: Vec<SocketAddrV4>,
    pub kind: Kind,
    pub pace: Pace,
    /// Of each thread: kept, or open at a time.
    pub connections: usize,
    pub warm_up: Duration,
    pub time: Duration,
    /// The CPU whose busy time counts.
    pub cpu: usize,
}

/// What came of a window of load.
pub struct Window {
    /// All of it, warm-up included.
    pub tally: Tally,
    /// Answers within the measured time.
    pub latencies: Latencies,
    pub offered: u64,
    pub elapsed: Duration,
    /// Of the CPU, within the measured time.
    pub busy: Duration,
}

impl Window {
    pub fn per_second(&self) -> f64 {
        self.latencies.count() as f64 / self.elapsed.as_secs_f64()
    }

    /// CPU time in µs for each answer.
    pub fn cpu_each(&self) -> f64 {
        self.busy.as_secs_f64() * 1e6 / self.latencies.count().max(1) as f64
    }

    /// Whether the offered rate was served, but for what was under way at the end.
    pub fn kept_up(&self) -> bool {
        self.latencies.count() as f64 >= 0.98 * self.offered as f64
    }
}

/// Whether one request is answered.
pub fn answers(client: &Host, target: SocketAddrV4) -> bool {
    const PATIENCE: Duration = Duration::from_secs(1);
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect_timeout(&target.into(), PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(http::LAST)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    };
    let answer = client.enter(ask).and_then(|answer| Ok(answer?));
    answer.is_ok_and(|answer| matches!(http::body(&answer), Ok(Some(_))))
}

/// Loads the targets from some threads, on the CPUs of the caller.
pub fn run(client: &Host, load: &Load, threads: usize) -> Result<Window> {
    let run_one = || client.enter(|| Engine::new(load)?.run())?;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run_one)).collect();
        let windows = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        let sum = windows.reduce(|sum, window| {
            let (mut sum, window) = (sum?, window?);
            sum.tally.add(&window.tally);
            sum.latencies.append(window.latencies);
            sum.offered += window.offered;
            Ok(sum)
        });
        sum.context("no client ran")?
    })
}
