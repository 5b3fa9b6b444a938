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
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

pub use http::Poster;

use super::{state::Outcome, target::Target};
use crate::config::Check;

/// How a target is probed; tests have their own.
pub trait Probe: Send + Sync + 'static {
    fn probe(&self, target: &Target) -> impl Future<Output = Outcome> + Send;
}

/// Probes over the network, and by programs.
pub struct Checks {
    trust: tls::Trust,
    programs: exec::Turns,
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
    pub fn new() -> Self {
        Self { trust: tls::Trust::default(), programs: exec::Turns::new() }
    }

    async fn attempt(&self, target: &Target, step: &Step) -> Result<(), Failure> {
        let address = target.socket_address();
        match &*target.check {
            Check::Tcp => Ok(tcp::connect(address).await.map(drop)?),
            // Larger than a TCP probe's by far; those are many.
            Check::Http(check) => Box::pin(http::plain(address, check, step)).await,
            Check::Https(check) => {
                Box::pin(http::over_tls(address, check, &self.trust, step)).await
            }
            Check::Udp(check) => Box::pin(udp::ask(address, check)).await,
            Check::Dns(check) => Box::pin(dns::ask(address, check)).await,
            Check::Icmp => Box::pin(icmp::echo(target.address)).await,
            Check::Exec(check) => Box::pin(exec::run(check, target)).await,
        }
    }
}

impl Probe for Checks {
    async fn probe(&self, target: &Target) -> Outcome {
        let _turn = match &*target.check {
            Check::Exec(_) => Some(self.programs.acquire().await),
            _ => None,
        };
        let (step, begun) = (Step::default(), Instant::now());
        match tokio::time::timeout(target.timeout, self.attempt(target, &step)).await {
            Ok(Ok(())) => Outcome::Works(begun.elapsed()),
            Ok(Err(Failure::Fails(why))) => Outcome::Fails(why),
            Ok(Err(Failure::Gone(why))) => Outcome::Gone(why),
            Ok(Err(Failure::NotMade(why))) => Outcome::NotMade(why),
            Err(_) => Outcome::Fails(format!("{step} within {}", milliseconds(target.timeout))),
        }
    }
}

impl Step {
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }
}

/// As in "no answer within 500 ms".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.load(Ordering::Relaxed) {
            stage if stage == Stage::Handshaking as u8 => "connected, but no TLS handshake",
            stage if stage == Stage::Waiting as u8 => "connected, but no answer",
            stage if stage == Stage::Reading as u8 => "no complete answer",
            _ => "no answer",
        })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Self::Gone("connection refused".into()),
            Some(libc::EHOSTUNREACH) => Self::Gone("host unreachable".into()),
            Some(libc::ENETUNREACH) => Self::Gone("network unreachable".into()),
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

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}
