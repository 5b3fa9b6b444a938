//! What the control socket and SIGHUP ask of the control loop.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, bail};
use nix::unistd::{Gid, Group};
use tokio::sync::{Semaphore, mpsc::Sender, oneshot, watch};
use tracing::{info, warn};

use super::{
    discovered::find,
    notify::{Notice, notify},
};
use crate::{
    api::{
        Handler,
        protocol::{Error, ErrorCode, Reloaded},
        types::Stats,
    },
    config::{self, Comparison, Config, Loaded, Severity},
    dataplane::Clock,
    discovery::{News, Wanted, questions},
    loader::{MapSizes, NewTables, PinDir, object},
    nat::{Page, Query, Registry},
};

/// The outcome of a request.
type Reply<T> = oneshot::Sender<Result<T, Error>>;

#[derive(Debug)]
pub enum Request {
    Stats(Reply<Stats>),
    /// A file that was read and found good.
    Apply(Box<Accepted>, Reply<Reloaded>),
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
    async fn read_and_apply(&self) -> Result<Reloaded, Error> {
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.read()).await;
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
    fn read(&self) -> Result<Accepted, Vec<String>> {
        let host = Comparison::with_this_host(Severity::Refuse);
        let loaded = config::load(&self.config_path, Some(&host)).map_err(|problems| {
            problems.problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        })?;
        let tables = self
            .new_tables(&loaded.config)
            .and_then(|tables| Ok((tables, readers(&loaded.config)?)));
        let (tables, readers) = tables.map_err(|error| vec![format!("{error:#}")])?;
        Ok(Accepted { loaded, found: Vec::new(), readers, tables })
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

    async fn reload(&self) -> Result<Reloaded, Error> {
        notify(Notice::Reloading);
        let outcome = self.read_and_apply().await;
        notify(Notice::Ready);
        match &outcome {
            Ok(answer) => log_answer(answer),
            Err(error) => {
                for problem in &error.problems {
                    warn!("{problem}");
                }
                warn!("reload: {error}");
                let why = [error.problems.clone(), vec![error.message.clone()]].concat().join("\n");
                // Nobody to tell: the daemon is stopping.
                let _ = self.sender.send(Request::Refused(why)).await;
            }
        }
        outcome
    }
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
