//! Lets tests decide which thread touches shared memory next.
//!
//! Every access to a [`Shared`](super::Shared) word calls [`point`]. Threads of
//! a [`run`] stop there until a random choice, made from a seed, lets them go
//! on; other threads pass.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex};

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

struct Turn {
    number: usize,
    schedule: Arc<Schedule>,
}

struct Schedule {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    running: Vec<bool>,
    turn: usize,
    random: u64,
}

impl State {
    /// Gives the turn to any thread that still runs.
    fn choose(&mut self) {
        let running: Vec<_> = (0..self.running.len()).filter(|i| self.running[*i]).collect();
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        if !running.is_empty() {
            self.turn = running[(self.random >> 33) as usize % running.len()];
        }
    }
}

pub fn point() {
    TURN.with_borrow(|turn| {
        let Some(Turn { number, schedule }) = turn else { return };
        let mut state = schedule.state.lock().expect("no thread panicked");
        state.choose();
        schedule.changed.notify_all();
        while state.turn != *number {
            state = schedule.changed.wait(state).expect("no thread panicked");
        }
    });
}

/// Runs the threads, one at a time, in an order that `seed` decides.
pub fn run<'scope>(seed: u64, threads: Vec<Box<dyn FnOnce() + Send + 'scope>>) {
    let state = State { running: vec![true; threads.len()], turn: 0, random: seed | 1 };
    let schedule = Arc::new(Schedule { state: Mutex::new(state), changed: Condvar::new() });
    std::thread::scope(|scope| {
        for (number, thread) in threads.into_iter().enumerate() {
            let schedule = schedule.clone();
            scope.spawn(move || {
                TURN.set(Some(Turn { number, schedule: schedule.clone() }));
                point();
                thread();
                TURN.set(None);
                let mut state = schedule.state.lock().expect("no thread panicked");
                state.running[number] = false;
                state.choose();
                schedule.changed.notify_all();
            });
        }
    });
}
