//! What the control socket and SIGHUP ask of the control loop.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::unistd::{Gid, Group};
use tokio::{
    sync::{Semaphore, mpsc::Sender, oneshot, watch},
    time::timeout,
};
use tracing::{info, warn};

use super::{
    discovered::find,
    notify::{Notice, notify},
};
use crate::{
    api::{
        Handler,
        protocol::{Command, Error, ErrorCode, Reloaded},
        types::{Change, Event, EventKind, EventPage, EventQuery, Stats, Who},
    },
    config::{self, Comparison, Config, Loaded, Severity},
    dataplane::Clock,
    discovery::{News, Wanted, questions},
    events::Journal,
    loader::{MapSizes, NewTables, PinDir, object},
    nat::{Page, Query, Registry},
};

/// Who may wait for events at a time.
pub const FOLLOWERS: usize = 16;
/// After which a follower is answered that there is nothing; it asks again.
const LONGEST_WAIT: Duration = Duration::from_secs(25);

/// The outcome of a request.
type Reply<T> = oneshot::Sender<Result<T, Error>>;

#[derive(Debug)]
pub enum Request {
    Stats(Reply<Stats>),
    /// A file that was read and found good.
    Apply(Box<Accepted>, Reply<Reloaded>),
    /// What is to be done with backends, and who says so.
    Order(Command, Change, Who, Reply<Reloaded>),
    /// Somebody was refused.
    Denied(Event),
    /// A reload changed nothing, and why.
    Refused(String),
}

/// A configuration, and what the host knows of the names in it.
#[derive(Debug)]
pub struct Accepted {
    pub loaded: Loaded,
    /// Backends in files, and of names that are new.
    pub found: Vec<News>,
    /// The group that `control.group` names.
    pub readers: Option<Gid>,
    /// Flows of removed backends are cut off.
    pub now: bool,
    /// Tables of translated flows, if they are to be of another size.
    pub tables: Option<NewTables>,
}

/// Hands requests to the control loop.
#[derive(Clone, Debug)]
pub struct Requests {
    pub sender: Sender<Request>,
    pub config_path: PathBuf,
    /// Flows are looked for beside the control loop.
    pub flows: FlowSource,
    pub journal: Journal,
    /// Places for those who wait for events.
    pub followers: Arc<Semaphore>,
    /// The file's configuration that is in force.
    pub in_force: watch::Receiver<Wanted>,
}

/// Translated flows, and the clock that their times are in.
#[derive(Clone, Debug)]
pub struct FlowSource {
    pub nat: Arc<Registry>,
    pub clock: Arc<Mutex<Clock>>,
    /// Where the tables are pinned.
    pub pins: PinDir,
    /// One look at a time: it reads all of the tables.
    pub turn: Arc<Semaphore>,
}

impl FlowSource {
    pub fn new(nat: Arc<Registry>, clock: Clock, pins: PinDir) -> Self {
        let clock = Arc::new(Mutex::new(clock));
        Self { nat, clock, pins, turn: Arc::new(Semaphore::new(1)) }
    }

    fn now(&self) -> io::Result<u64> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).now()
    }

    fn find(&self, query: &Query) -> Result<Page, Error> {
        let now = self.now();
        let now = now.map_err(|error| Error::new(ErrorCode::Failed, error.to_string()))?;
        Page::find(&self.nat.tables(), &self.nat.directory(), query, now)
            .map_err(|error| Error::new(ErrorCode::NotFound, error.to_string()))
    }
}

impl Requests {
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let stopping = || Error::new(ErrorCode::Failed, "the daemon is stopping");
        self.sender.send(request(reply)).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Reads the file and has it applied.
    async fn read_and_apply(&self, now: bool) -> Result<Reloaded, Error> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.read(now)).await;
        match read.map_err(|error| Error::new(ErrorCode::Failed, error.to_string()))? {
            Ok(mut accepted) => {
                let known = questions(&self.in_force.borrow());
                accepted.found = find(&accepted.loaded.config, &|one| known.contains(one)).await;
                self.ask(|reply| Request::Apply(Box::new(accepted), reply)).await
            }
            Err(problems) => Err(Error::bad_configuration(self.config_path.display(), problems)),
        }
    }

    /// Or all that is wrong.
    fn read(&self, now: bool) -> Result<Accepted, Vec<String>> {
        let host = Comparison::with_this_host(Severity::Refuse);
        let loaded = config::load(&self.config_path, Some(&host)).map_err(|problems| {
            problems.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        })?;
        let tables = self
            .new_tables(&loaded.config)
            .and_then(|tables| Ok((tables, readers(&loaded.config)?)));
        let (tables, readers) = tables.map_err(|error| vec![format!("{error:#}")])?;
        Ok(Accepted { loaded, found: Vec::new(), readers, tables, now })
    }

    /// Tables of the size that `config` asks for, if the present ones are of
    /// another and empty. Not in the control loop: the kernel looks at the
    /// programs that use them for a while.
    fn new_tables(&self, config: &Config) -> anyhow::Result<Option<NewTables>> {
        let wanted = MapSizes::of(&config.limits);
        let present = self.flows.nat.tables();
        let buckets = present.buckets();
        let same = (buckets.narrow, buckets.wide) == (wanted.narrow(), wanted.wide());
        if same || !present.is_empty(self.flows.now()?) {
            return Ok(None);
        }
        Ok(Some(NewTables::prepare(object::embedded()?, &self.flows.pins, wanted)?))
    }
}

/// The group that may read over the control socket. It may be looked up in a
/// directory far away.
pub fn readers(config: &Config) -> anyhow::Result<Option<Gid>> {
    let Some(name) = &config.control.group else { return Ok(None) };
    match Group::from_name(name).with_context(|| format!("control.group: {name}"))? {
        Some(group) => Ok(Some(group.gid)),
        None => bail!("control.group: there is no group {name}; make it with `groupadd {name}`"),
    }
}

impl Handler for Requests {
    async fn stats(&self) -> Result<Stats, Error> {
        self.ask(Request::Stats).await
    }

    async fn flows(&self, query: Query) -> Result<Page, Error> {
        let _turn = self.flows.turn.acquire().await;
        let source = self.flows.clone();
        let found = tokio::task::spawn_blocking(move || source.find(&query)).await;
        found.map_err(|error| Error::new(ErrorCode::Failed, error.to_string()))?
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage, Error> {
        if !query.wait {
            return Ok(self.journal.page(&query));
        }
        let Ok(_place) = self.followers.try_acquire() else {
            let message = format!("{FOLLOWERS} are following events already");
            return Err(Error::new(ErrorCode::Failed, message));
        };
        let next = timeout(LONGEST_WAIT, self.journal.next(&query)).await;
        Ok(next.unwrap_or_else(|_| self.journal.page(&query)))
    }

    async fn change(&self, command: Command, change: Change, by: Who) -> Result<Reloaded, Error> {
        self.ask(|reply| Request::Order(command, change, by, reply)).await
    }

    async fn denied(&self, by: Who, what: String) {
        let event = Event::new(EventKind::Denied, what).by(Some(&by));
        // Nobody to tell: the daemon is stopping.
        let _ = self.sender.send(Request::Denied(event)).await;
    }

    async fn reload(&self, by: Option<Who>, now: bool) -> Result<Reloaded, Error> {
        notify(Notice::Reloading);
        let outcome = self.read_and_apply(now).await;
        notify(Notice::Ready);
        match &outcome {
            Ok(answer) => {
                log_answer(answer);
                self.journal.record(applied(answer).by(by.as_ref()));
            }
            Err(error) => {
                for problem in &error.problems {
                    warn!("{problem}");
                }
                let why = [error.problems.clone(), vec![error.message.clone()]].concat().join("\n");
                self.journal.announce(refused(error).by(by.as_ref()));
                // Nobody to tell: the daemon is stopping.
                let _ = self.sender.send(Request::Refused(why)).await;
            }
        }
        outcome
    }
}

/// Only as many sentences as a line can hold; the log has all of them.
pub(super) fn some(sentences: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = sentences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    sentences[..sentences.len().min(SHOWN)].join("; ") + &more
}

fn applied(answer: &Reloaded) -> Event {
    let nothing = "the configuration is what it was".to_owned();
    let changes = if answer.changes.is_empty() { nothing } else { some(&answer.changes) };
    Event::new(EventKind::Reload, changes)
}

fn refused(error: &Error) -> Event {
    let problems = some(&error.problems);
    let colon = if problems.is_empty() { "" } else { ": " };
    Event::new(EventKind::ReloadRefused, format!("{}{colon}{problems}", error.message))
}

fn log_answer(answer: &Reloaded) {
    if answer.changes.is_empty() && answer.pending.is_empty() {
        info!("reload: the configuration is what it was");
    }
    for change in answer.changes.iter().chain(&answer.pending) {
        info!("reload: {change}");
    }
    for warning in &answer.warnings {
        warn!("reload: {warning}");
    }
}
