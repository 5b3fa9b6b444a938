//! Events told to others: posted over HTTP, or handed to a program.
//!
//! Everybody who is told has tasks of its own, which follow the [`Journal`] as a
//! reader at the control socket does: the control loop never waits for them, and
//! one that hangs holds up no other. To each, one event is told at a time, in
//! order. What cannot be told is tried again for a while, and what is lost is
//! counted, shown, and said with the next event that gets through.
//!
//! - [`queue`]: events that wait, and what was lost of them.
//! - [`courier`]: tells them, one after another.
//! - [`letter`]: what is told.

mod courier;
mod letter;
mod queue;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinHandle, time::sleep};
use tracing::warn;

use self::{courier::Courier, letter::Sender, queue::Shared};
use crate::{api::types::NotifyStats, config::Notify, events::Journal, health::Poster};

/// Between two looks at whether all has been told.
const LOOK: Duration = Duration::from_millis(20);

/// All who are told.
pub struct Notifier {
    journal: Journal,
    sender: Arc<Sender>,
    poster: Arc<Poster>,
    all: Vec<Running>,
}

/// One who is told.
struct Running {
    config: Notify,
    shared: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Notifier {
    /// Events from now on are told.
    pub fn start(journal: Journal, instance: &str, configs: &[Notify]) -> Self {
        let sender = Arc::new(Sender::new(instance, journal.numbering()));
        let poster = Arc::new(Poster::default());
        let mut notifier = Self { journal, sender, poster, all: Vec::new() };
        notifier.configure(configs);
        notifier
    }

    /// Those who are told already, and in the same way, go on with what waits for
    /// them.
    pub fn configure(&mut self, configs: &[Notify]) {
        let mut before = std::mem::take(&mut self.all);
        for config in configs {
            let place = before.iter().position(|one| one.config == *config);
            let running = match place {
                Some(place) => before.swap_remove(place),
                None => self.run(config.clone()),
            };
            self.all.push(running);
        }
        for one in before {
            let waiting = one.shared.stats(&one.config).waiting;
            if waiting > 0 {
                warn!("notify {} is not told any more: {waiting} events waited", one.config.way);
            }
        }
    }

    fn run(&self, config: Notify) -> Running {
        let shared = Arc::new(Shared::default());
        let courier = Courier {
            config: config.clone(),
            shared: shared.clone(),
            sender: self.sender.clone(),
            poster: self.poster.clone(),
        };
        let follow = courier::follow(self.journal.clone(), config.clone(), shared.clone());
        let tasks = [tokio::spawn(follow), tokio::spawn(courier.run())];
        Running { config, shared, tasks }
    }

    pub fn stats(&self) -> Vec<NotifyStats> {
        self.all.iter().map(|one| one.shared.stats(&one.config)).collect()
    }

    /// Of those who cannot be told; what stands behind the first colon changes.
    pub fn warnings(&self) -> Vec<String> {
        let all = self.stats().into_iter();
        all.filter_map(|NotifyStats { to, problem, waiting, lost, .. }| {
            let problem = problem?;
            Some(format!("notify {to}: {problem}; {waiting} events wait, {lost} are lost"))
        })
        .collect()
    }

    /// Waits until all that has happened was told, but not for long; says what
    /// was not.
    pub async fn finish(self, patience: Duration) {
        let last = self.journal.last();
        let is_told = |one: &Running| one.shared.is_told(last);
        let all_told = async {
            while !self.all.iter().all(is_told) {
                sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(patience, all_told).await.is_err() {
            for one in self.all.iter().filter(|one| !is_told(one)) {
                let waiting = one.shared.stats(&one.config).waiting;
                warn!("notify {}: {waiting} events were not told before the end", one.config.way);
            }
        }
    }
}
