//! Lets tests decide which thread touches shared memory next.
//!
//! Every access to a [`Shared`](super::Shared) word calls [`point`]. Threads of
//! a [`run`] wait there until a random choice, made from a seed, lets them go
//! on; other threads pass.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

struct Turn {
    number: u64,
    schedule: Arc<Schedule>,
}

/// Changed only by the thread whose turn it is.
struct Schedule {
    turn: AtomicU64,
    /// A bit for each thread that still runs.
    running: AtomicU64,
    random: AtomicU64,
    /// A thread keeps its turn so many times out of eight.
    patience: u64,
    threads: Vec<OnceLock<Thread>>,
}

impl Schedule {
    fn random(&self) -> u64 {
        let mut random = self.random.load(SeqCst);
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.store(random, SeqCst);
        random >> 33
    }

    /// Gives the turn to any thread that still runs.
    fn choose(&self) {
        let running = self.running.load(SeqCst);
        if running == 0 {
            return;
        }
        let mut rest = running;
        for _ in 0..self.random() % u64::from(running.count_ones()) {
            rest &= rest - 1;
        }
        let next = rest.trailing_zeros();
        self.turn.store(u64::from(next), SeqCst);
        // Else it has not begun to wait.
        if let Some(thread) = self.threads[next as usize].get() {
            thread.unpark();
        }
    }
}

impl Turn {
    fn wait(&self) {
        while self.schedule.turn.load(SeqCst) != self.number {
            thread::park();
        }
    }
}

/// Also where the thread panics: the others must not wait for it.
impl Drop for Turn {
    fn drop(&mut self) {
        self.schedule.running.fetch_and(!(1 << self.number), SeqCst);
        self.schedule.choose();
    }
}

pub fn point() {
    TURN.with_borrow(|turn| {
        let Some(turn) = turn else { return };
        if turn.schedule.random() % 8 >= turn.schedule.patience {
            turn.schedule.choose();
            turn.wait();
        }
    });
}

/// Runs the threads, one at a time, in an order that `seed` decides. Returns
/// what they return.
pub fn run<'scope, R: Send + 'scope>(
    seed: u64,
    threads: Vec<Box<dyn FnOnce() -> R + Send + 'scope>>,
) -> Vec<R> {
    let schedule = Arc::new(Schedule {
        turn: AtomicU64::new(0),
        running: AtomicU64::new((1 << threads.len()) - 1),
        random: AtomicU64::new(seed << 8 | 0x5b),
        patience: 3 + seed % 5,
        threads: threads.iter().map(|_| OnceLock::new()).collect(),
    });
    thread::scope(|scope| {
        let threads: Vec<_> = (0..)
            .zip(threads)
            .map(|(number, work)| {
                let turn = Turn { number, schedule: schedule.clone() };
                scope.spawn(move || {
                    let _ = turn.schedule.threads[number as usize].set(thread::current());
                    turn.wait();
                    TURN.set(Some(turn));
                    let result = work();
                    TURN.set(None);
                    result
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread panicked")).collect()
    })
}
