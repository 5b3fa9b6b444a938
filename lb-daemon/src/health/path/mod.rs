//! Probes to the VIP, the way that clients' packets take.
//!
//! They leave a network namespace through a veth pair. A program on this host's
//! end gives them what the data path would, and another takes the answers back
//! (`lb_common::datapath::probe`). To the sockets in the namespace it looks as if
//! each way had an address of its own.
//!
//! - [`namespace`]: where the sockets are.
//! - [`ports`]: which port each has.
//! - [`ways`]: which ways there are.

mod namespace;
mod ports;
mod ways;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use lb_common::abi::probe::{PROBE_V4, PROBE_V6, alias_v4, alias_v6};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};

pub use namespace::Namespace;
pub use ports::{PortMemory, Ports};
pub use ways::{Known, Way, WayKey, Ways};

use super::{
    check::{Checks, Endpoint, Failure, Step, milliseconds, outcome},
    state::Outcome,
    target::{PathTarget, Target},
};

/// Backends whose own addresses are asked at a time, since nothing came back on
/// the way to the VIP.
const DIAGNOSES: usize = 64;

/// Whether probes can go through the data path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// Not known yet.
    Waiting,
    Open,
    /// They cannot, and go to the backends' own addresses.
    Past,
}

/// Where probes through the data path are made.
pub struct Path {
    namespace: Arc<Namespace>,
    ports: Ports,
    ways: Arc<Ways>,
    gate: watch::Sender<Gate>,
    diagnoses: Arc<Semaphore>,
}

impl Path {
    pub fn new(namespace: Arc<Namespace>, memory: Box<dyn PortMemory>, ways: Arc<Ways>) -> Self {
        Self {
            namespace,
            ports: Ports::new(memory),
            ways,
            gate: watch::Sender::new(Gate::Waiting),
            diagnoses: Arc::new(Semaphore::new(DIAGNOSES)),
        }
    }

    pub fn runtime(&self) -> &Handle {
        self.namespace.runtime()
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn set_gate(&self, gate: Gate) {
        self.gate.send_if_modified(|present| std::mem::replace(present, gate) != gate);
    }

    /// Whether the target is to be probed through the data path; waits until
    /// that is known.
    pub async fn is_open(&self) -> bool {
        let mut gate = self.gate.subscribe();
        let gate = gate.wait_for(|gate| *gate != Gate::Waiting).await;
        gate.is_ok_and(|gate| *gate == Gate::Open)
    }

    /// Probes all VIPs, until one fails. Runs within the namespace.
    pub async fn probe(&self, checks: &Checks, target: &Target, path: &PathTarget) -> Outcome {
        let mut took = Duration::ZERO;
        let mut is_direct = false;
        for vip in &path.vips {
            let key = path.way(target.address, *vip);
            let Ok(way) = timeout(target.timeout / 2, self.ways.find(&key)).await else {
                return without_way(checks, target).await;
            };
            let found = match way {
                Way::Open { number, source } => {
                    let going = Going { target, path, vip: *vip, number, source };
                    self.go(checks, &going).await
                }
                Way::OwnHost | Way::Unseen(_) if is_direct => continue,
                Way::OwnHost | Way::Unseen(_) => {
                    is_direct = true;
                    checks.direct_from_host(target).await
                }
                Way::Closed(why) => match checks.direct_from_host(target).await {
                    gone @ Outcome::Gone(_) => gone,
                    _ => Outcome::Fails(format!("clients' packets do not get there: {why}")),
                },
            };
            match found {
                Outcome::Works(time) => took = took.max(time),
                other => return other,
            }
        }
        Outcome::Works(took)
    }

    async fn go(&self, checks: &Checks, going: &Going<'_>) -> Outcome {
        let Going { target, .. } = going;
        let port = self.ports.take().await;
        let endpoint = going.endpoint(port.number);
        let (step, begun) = (Step::default(), Instant::now());
        let mut attempt = std::pin::pin!(checks.attempt(target, &endpoint, &step));
        let half = target.timeout / 2;
        let first = timeout(half, attempt.as_mut()).await;
        if let Ok(result) = first {
            return outcome(result, begun);
        }
        // What its own address says is to be known when the time is up.
        let diagnosis = step.is_first().then(|| self.diagnose(checks, target, half)).flatten();
        match timeout(target.timeout - half, attempt).await {
            Ok(result) => outcome(result, begun),
            Err(_) if step.is_first() => {
                let found = match diagnosis {
                    Some(task) if task.is_finished() => task.await.ok(),
                    _ => None,
                };
                going.silence(found)
            }
            Err(_) => {
                let (vip, time) = (going.name(), milliseconds(target.timeout));
                Outcome::Fails(format!("{step} from {vip} through the data path within {time}"))
            }
        }
    }

    /// Asks the backend's own address, a little less long than `time`.
    fn diagnose(
        &self,
        checks: &Checks,
        target: &Target,
        time: Duration,
    ) -> Option<JoinHandle<Outcome>> {
        // Whoever comes when many are asked has to do without.
        let turn = self.diagnoses.clone().try_acquire_owned().ok()?;
        let quick = Target { timeout: time.mul_f64(0.8), ..target.clone() };
        let asked = checks.spawn_direct(quick);
        Some(tokio::spawn(async move {
            let _turn = turn;
            asked.await.unwrap_or_else(|error| Outcome::NotMade(error.to_string()))
        }))
    }
}

/// The kernel is still looking for the backend: what it makes of a probe to
/// its own address is all that can be told.
async fn without_way(checks: &Checks, target: &Target) -> Outcome {
    match checks.direct_from_host(target).await {
        Outcome::Works(_) => {
            Outcome::NotMade(format!("the way to {} is not known yet", target.address))
        }
        other => other,
    }
}

/// One probe under way.
struct Going<'a> {
    target: &'a Target,
    path: &'a PathTarget,
    vip: IpAddr,
    number: u16,
    source: IpAddr,
}

impl Going<'_> {
    /// As clients know it.
    fn name(&self) -> SocketAddr {
        SocketAddr::new(self.vip, self.target.port)
    }

    fn endpoint(&self, port: u16) -> Endpoint {
        let (alias, own): (IpAddr, IpAddr) = match self.vip {
            IpAddr::V4(_) => {
                (Ipv4Addr::from(alias_v4(self.number)).into(), Ipv4Addr::from(PROBE_V4).into())
            }
            IpAddr::V6(_) => {
                (Ipv6Addr::from(alias_v6(self.number)).into(), Ipv6Addr::from(PROBE_V6).into())
            }
        };
        Endpoint {
            name: self.name(),
            to: SocketAddr::new(alias, self.target.port),
            from: Some(SocketAddr::new(own, port)),
        }
    }

    /// Nothing came back; `found`: what the backend's own address said meanwhile.
    fn silence(&self, found: Option<Outcome>) -> Outcome {
        let own = self.target.socket_address();
        let says = match found {
            Some(Outcome::Gone(why)) if Failure::is_unreachable(&why) => {
                return Outcome::Gone(format!("{own}: {why}"));
            }
            Some(Outcome::Gone(why)) => format!("{own} itself says {why}"),
            Some(Outcome::Works(_)) => format!("{own} itself answers"),
            Some(Outcome::Fails(why)) if !Step::is_silence(&why) => {
                format!("{own} itself answers ({why})")
            }
            Some(Outcome::Fails(_)) => return self.fails("its own address is silent, too"),
            None | Some(Outcome::NotMade(_)) => return self.fails(&self.hint()),
        };
        self.fails(&format!("{says}: {}", self.hint()))
    }

    fn hint(&self) -> String {
        let tunnel = if self.path.tunnel.is_some() { "the tunnel's end there, " } else { "" };
        format!(
            "{tunnel}the VIP on its loopback, or its way back to {} may be missing",
            self.source
        )
    }

    fn fails(&self, more: &str) -> Outcome {
        let (vip, time) = (self.name(), milliseconds(self.target.timeout));
        Outcome::Fails(format!("no answer on {vip} through the data path within {time}; {more}"))
    }
}

#[cfg(test)]
mod tests;
