//! What the control socket and SIGHUP ask of the control loop.

use std::path::PathBuf;

use tokio::sync::{mpsc::Sender, oneshot};
use tracing::{info, warn};

use crate::{
    api::{
        Handler,
        protocol::{Error, ErrorCode, Reloaded},
        types::Stats,
    },
    config::{self, Comparison, Loaded, Severity},
};

/// The outcome of a request.
type Reply<T> = oneshot::Sender<Result<T, Error>>;

#[derive(Debug)]
pub enum Request {
    Stats(Reply<Stats>),
    /// A file that was read and found good.
    Apply(Box<Loaded>, Reply<Reloaded>),
    /// A reload changed nothing, and why.
    Refused(String),
}

/// Hands requests to the control loop.
#[derive(Clone, Debug)]
pub struct Requests {
    pub sender: Sender<Request>,
    pub config_path: PathBuf,
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
        let path = self.config_path.clone();
        let read = tokio::task::spawn_blocking(move || {
            config::load(&path, Some(&Comparison::with_this_host(Severity::Refuse)))
        });
        let loaded =
            read.await.map_err(|error| Error::new(ErrorCode::Failed, error.to_string()))?;
        match loaded {
            Ok(loaded) => self.ask(|reply| Request::Apply(Box::new(loaded), reply)).await,
            Err(problems) => {
                let problems: Vec<_> = problems.problems.iter().map(ToString::to_string).collect();
                Err(Error::bad_configuration(self.config_path.display(), problems))
            }
        }
    }
}

impl Handler for Requests {
    async fn stats(&self) -> Result<Stats, Error> {
        self.ask(Request::Stats).await
    }

    async fn reload(&self) -> Result<Reloaded, Error> {
        let outcome = self.read_and_apply().await;
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
