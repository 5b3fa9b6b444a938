//! One probe, and what its outcome means: a file for each type of check.

mod dns;
mod dns_message;
mod exec;
mod http;
mod icmp;
mod tcp;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
#[cfg(test)]
mod tls_tests;
mod udp;

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::JoinHandle};

use super::{path::Path, state::Outcome, target::Target};
use crate::config::Check;

/// How a target is probed; tests have their own.
pub trait Probe: Send + Sync + 'static {
    fn probe(&self, target: &Target) -> impl Future<Output = Outcome> + Send;

    /// Where [`Self::probe`] is to run; `None`: anywhere.
    fn home(&self, _target: &Target) -> Option<Handle> {
        None
    }
}

/// Probes over the network, and by programs.
#[derive(Clone)]
pub struct Checks(Arc<Shared>);

struct Shared {
    trust: tls::Trust,
    programs: exec::Turns,
    /// Sockets made here are in this host's own network.
    host: Handle,
    path: Option<Arc<Path>>,
}

/// Where a probe goes.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// What the server is called.
    pub name: SocketAddr,
    /// Where the packets are sent.
    pub to: SocketAddr,
    /// Where from; `None`: wherever.
    pub from: Option<SocketAddr>,
}

impl Endpoint {
    pub const fn direct(address: SocketAddr) -> Self {
        Self { name: address, to: address, from: None }
    }
}

/// Why a probe did not succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// No useful answer: slow, overloaded, wrong.
    Fails(String),
    /// Nothing is there: refused, unreachable.
    Gone(String),
    /// The probe could not be made, for a reason of this host; proves nothing.
    NotMade(String),
}

const NO_ANSWER: &str = "no answer";
const HOST_UNREACHABLE: &str = "host unreachable";
const NETWORK_UNREACHABLE: &str = "network unreachable";

impl Failure {
    /// Whether these are the words of a host that packets do not get to.
    pub fn is_unreachable(why: &str) -> bool {
        [HOST_UNREACHABLE, NETWORK_UNREACHABLE].contains(&why)
    }
}

/// How far a probe has got, for the reason when its time is up.
#[derive(Default)]
pub struct Step(AtomicU8);

#[derive(Clone, Copy)]
pub enum Stage {
    Handshaking = 1,
    Waiting,
    Reading,
}

impl Checks {
    /// `path`: for targets that are probed through the data path; without it
    /// they are probed like the others.
    pub fn new(path: Option<Arc<Path>>) -> Self {
        Self(Arc::new(Shared {
            trust: tls::Trust::default(),
            programs: exec::Turns::new(),
            host: Handle::current(),
            path,
        }))
    }

    pub async fn attempt(
        &self,
        target: &Target,
        endpoint: &Endpoint,
        step: &Step,
    ) -> Result<(), Failure> {
        match &*target.check {
            Check::Tcp => Ok(tcp::connect(endpoint).await.map(drop)?),
            // Larger than a TCP probe's by far; those are many.
            Check::Http(check) => Box::pin(http::plain(endpoint, check, step)).await,
            Check::Https(check) => {
                Box::pin(http::over_tls(endpoint, check, &self.0.trust, step)).await
            }
            Check::Udp(check) => Box::pin(udp::ask(endpoint, check)).await,
            Check::Dns(check) => Box::pin(dns::ask(endpoint, check)).await,
            Check::Icmp => Box::pin(icmp::echo(target.address)).await,
            Check::Exec(check) => Box::pin(exec::run(check, target)).await,
        }
    }

    /// Probes the backend's own address.
    async fn direct(&self, target: &Target) -> Outcome {
        let _turn = match &*target.check {
            Check::Exec(_) => Some(self.0.programs.acquire().await),
            _ => None,
        };
        let (step, begun) = (Step::default(), Instant::now());
        let endpoint = Endpoint::direct(target.socket_address());
        let attempt = self.attempt(target, &endpoint, &step);
        match tokio::time::timeout(target.timeout, attempt).await {
            Ok(result) => outcome(result, begun),
            Err(_) => Outcome::Fails(format!("{step} within {}", milliseconds(target.timeout))),
        }
    }

    /// The same, from wherever it is called.
    pub async fn direct_from_host(&self, target: &Target) -> Outcome {
        let probed = self.spawn_direct(target.clone()).await;
        probed.unwrap_or_else(|error| Outcome::NotMade(error.to_string()))
    }

    pub fn spawn_direct(&self, target: Target) -> JoinHandle<Outcome> {
        let checks = self.clone();
        self.0.host.spawn(async move { checks.direct(&target).await })
    }
}

/// Of an attempt that came to its end.
pub fn outcome(result: Result<(), Failure>, begun: Instant) -> Outcome {
    match result {
        Ok(()) => Outcome::Works(begun.elapsed()),
        Err(Failure::Fails(why)) => Outcome::Fails(why),
        Err(Failure::Gone(why)) => Outcome::Gone(why),
        Err(Failure::NotMade(why)) => Outcome::NotMade(why),
    }
}

impl Probe for Checks {
    async fn probe(&self, target: &Target) -> Outcome {
        match (&target.path, &self.0.path) {
            (Some(wanted), Some(path)) if path.is_open().await => {
                path.probe(self, target, wanted).await
            }
            (Some(_), Some(_)) => self.direct_from_host(target).await,
            _ => self.direct(target).await,
        }
    }

    fn home(&self, target: &Target) -> Option<Handle> {
        target.path.as_ref()?;
        self.0.path.as_ref().map(|path| path.runtime().clone())
    }
}

impl Step {
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    /// Nothing has come back yet.
    pub fn is_first(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Whether these are the words of a probe that nothing came back to.
    pub fn is_silence(why: &str) -> bool {
        why.starts_with(NO_ANSWER)
    }
}

/// As in "no answer within 500 ms".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.load(Ordering::Relaxed) {
            stage if stage == Stage::Handshaking as u8 => "connected, but no TLS handshake",
            stage if stage == Stage::Waiting as u8 => "connected, but no answer",
            stage if stage == Stage::Reading as u8 => "no complete answer",
            _ => NO_ANSWER,
        })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Self::Gone("connection refused".into()),
            Some(libc::EHOSTUNREACH) => Self::Gone(HOST_UNREACHABLE.into()),
            Some(libc::ENETUNREACH) => Self::Gone(NETWORK_UNREACHABLE.into()),
            // This host is short of something. No reason to take every backend out.
            Some(
                libc::EMFILE
                | libc::ENFILE
                | libc::ENOBUFS
                | libc::ENOMEM
                | libc::EADDRNOTAVAIL
                | libc::EAGAIN,
            ) => Self::NotMade(error.to_string()),
            Some(libc::ECONNRESET) => Self::Fails("it reset the connection".into()),
            Some(libc::EPERM | libc::EACCES) => {
                Self::Fails(format!("{error}; does a firewall on this host forbid the probe?"))
            }
            _ => Self::Fails(error.to_string()),
        }
    }
}

pub fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}
