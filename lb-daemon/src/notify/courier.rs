//! Tells one receiver of events: one at a time, in order, each until it is told
//! or its time is over.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{
    letter::{Letter, Sender},
    queue::{Shared, Waiting},
};
use crate::{
    api::types::{Event, EventKind, EventQuery},
    config::{Notify, NotifyWay},
    events::Journal,
    health::Poster,
    program::{self, Unsuccessful},
};

/// Between a failure and the next attempt; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Puts what happens from now on into the queue.
pub fn follow(
    journal: Journal,
    config: Notify,
    shared: Arc<Shared>,
) -> impl Future<Output = ()> + Send {
    // Now, not when the task has its first turn.
    let mut query =
        EventQuery { after: journal.last(), numbering: journal.numbering(), wait: true };
    async move {
        let own = format!("notify {}: ", config.way);
        loop {
            let page = journal.next(&query).await;
            query.after = page.last;
            let wanted = page.events.into_iter().filter(|event| is_wanted(event, &config, &own));
            shared.put(wanted.collect(), page.missed, page.last);
        }
    }
}

/// That the receiver could not be told is not told to itself: it would never end.
fn is_wanted(event: &Event, config: &Notify, own: &str) -> bool {
    let is_warning = matches!(event.kind, EventKind::Warning | EventKind::WarningCleared);
    config.events.contains(&event.kind) && !(is_warning && event.reason.starts_with(own))
}

pub struct Courier {
    pub config: Notify,
    pub shared: Arc<Shared>,
    pub sender: Arc<Sender>,
    pub poster: Arc<Poster>,
}

impl Courier {
    /// For ever.
    pub async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let waiting = self.shared.next().await;
            while !self.is_settled(&waiting).await {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            if self.shared.is_well() {
                pause = FIRST_PAUSE;
            } else {
                sleep(pause).await;
            }
        }
    }

    /// Makes one attempt; returns whether it is the last.
    async fn is_settled(&self, waiting: &Waiting) -> bool {
        let letter = Letter::new(&self.sender, &waiting.event, self.shared.unsaid());
        let way = &self.config.way;
        let Err(why) = self.tell(&letter).await else {
            if self.shared.told(letter.lost) {
                info!("notify {way} is told again");
            }
            return true;
        };
        if self.shared.failed(why.clone()) {
            warn!("notify {way}: {why}; trying again");
        }
        let is_over = waiting.since.elapsed() >= self.config.retry;
        if is_over {
            self.shared.given_up();
            warn!("notify {way}: given up: event {}: {}", waiting.event.sequence, waiting.event);
        }
        is_over
    }

    async fn tell(&self, letter: &Letter<'_>) -> Result<(), String> {
        let patience = self.config.timeout;
        match &self.config.way {
            NotifyWay::Url(url, verify) => {
                self.poster.post(url, verify, &letter.json(), patience).await
            }
            NotifyWay::Command(words) => {
                let command = letter.command(words).map_err(|error| error.to_string())?;
                match timeout(patience, program::run(command)).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(Unsuccessful::NotRun(why) | Unsuccessful::Failed(why))) => Err(why),
                    Err(_) => Err(format!("it did not end within {} ms", patience.as_millis())),
                }
            }
        }
    }
}
