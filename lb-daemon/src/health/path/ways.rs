//! Which ways there are, as the control loop knows them.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use tokio::sync::watch;

use crate::config::Tunnel;

/// A backend as clients' packets for a VIP get to it. Services that share all
/// of it share the way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WayKey {
    pub backend: IpAddr,
    /// `None`: on the link.
    pub tunnel: Option<Tunnel>,
    pub vip: IpAddr,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// Its number, and where answers come to.
    Open { number: u16, source: IpAddr },
    /// The backend is on this host: there is no way to probe.
    OwnHost,
    /// Clients' packets do not get there, and why.
    Closed(String),
    /// Clients' packets get there, but a probe's answer would not be seen: why.
    Unseen(String),
}

pub type Known = HashMap<WayKey, Way>;

/// Told by the control loop, asked by probes.
#[derive(Debug)]
pub struct Ways(watch::Sender<Arc<Known>>);

impl Default for Ways {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl Ways {
    pub fn tell(&self, known: Known) {
        self.0.send_if_modified(|present| {
            let differs = **present != known;
            if differs {
                *present = Arc::new(known);
            }
            differs
        });
    }

    pub fn known(&self) -> Arc<Known> {
        self.0.borrow().clone()
    }

    /// Waits until something is known of the way.
    pub async fn find(&self, key: &WayKey) -> Way {
        let mut ways = self.0.subscribe();
        let known = ways.wait_for(|known| known.contains_key(key)).await;
        known.expect("the sender is `self`")[key].clone()
    }
}
