//! The programs for this host itself: attached while the configuration has a
//! use for them, and no longer.

use std::collections::BTreeSet;

use tracing::{info, warn};

use crate::{
    config::Interface,
    loader::{PinDir, attach_egress, attach_sockets, detach_egress, detach_sockets},
    netlink::Links,
};

/// What there should be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// A service that translates has a backend on this host.
    pub egress: bool,
    /// This host's own clients are balanced.
    pub sockets: bool,
    pub interfaces: &'a [Interface],
}

/// What this daemon has attached.
#[derive(Debug)]
pub struct OwnHost {
    pins: PinDir,
    egress: BTreeSet<u32>,
    /// `None`: an earlier daemon's may be there.
    sockets: Option<bool>,
    /// What could not be done.
    pub troubles: Vec<String>,
}

impl OwnHost {
    pub const fn new(pins: PinDir) -> Self {
        Self { pins, egress: BTreeSet::new(), sockets: None, troubles: Vec::new() }
    }

    /// Does what there is to do. Failures are tried again at every call.
    pub fn follow(&mut self, ebpf: &mut aya::Ebpf, links: &Links, wanted: Wanted<'_>) {
        let mut troubles = Vec::new();
        self.follow_egress(ebpf, links, wanted, &mut troubles);
        self.follow_sockets(ebpf, wanted.sockets, &mut troubles);
        for new in troubles.iter().filter(|one| !self.troubles.contains(one)) {
            warn!("{new}; trying again");
        }
        self.troubles = troubles;
    }

    /// Whether the program on the way out is attached.
    pub fn has_egress(&self, ifindex: u32) -> bool {
        self.egress.contains(&ifindex)
    }

    /// Another program is to take the place of the one on the way out.
    pub fn renew_egress(&mut self) {
        self.egress.clear();
    }

    pub fn has_sockets(&self) -> bool {
        self.sockets == Some(true)
    }

    fn follow_egress(
        &mut self,
        ebpf: &mut aya::Ebpf,
        links: &Links,
        wanted: Wanted<'_>,
        troubles: &mut Vec<String>,
    ) {
        let listed = wanted.interfaces.iter().filter(|_| wanted.egress);
        let listed: Vec<_> = listed.filter_map(|one| links.by_name(&one.name)).collect();
        let present = self.pins.egress_interfaces().unwrap_or_else(|error| {
            troubles.push(format!("{}: {error}", self.pins.path().display()));
            BTreeSet::new()
        });
        for ifindex in present.iter().chain(&self.egress.clone()) {
            if listed.iter().any(|link| link.index == *ifindex) {
                continue;
            }
            match detach_egress(&self.pins, *ifindex) {
                Ok(()) if self.egress.remove(ifindex) => {
                    info!("index {ifindex}: no program on the way out any more");
                }
                Ok(()) => {}
                Err(error) => troubles.push(format!(
                    "index {ifindex}: the program on the way out cannot be detached: {error}"
                )),
            }
        }
        for link in listed {
            if self.egress.contains(&link.index) {
                continue;
            }
            match attach_egress(ebpf, &self.pins, &link.name, link.index) {
                Ok(()) => {
                    info!(
                        "interface {}: answers of backends on this host are translated",
                        link.name
                    );
                    self.egress.insert(link.index);
                }
                Err(error) => troubles.push(error.to_string()),
            }
        }
    }

    fn follow_sockets(&mut self, ebpf: &mut aya::Ebpf, wanted: bool, troubles: &mut Vec<String>) {
        if self.sockets == Some(wanted) {
            return;
        }
        let done = if wanted {
            attach_sockets(ebpf, &self.pins).map_err(|error| error.to_string())
        } else {
            detach_sockets(&self.pins)
                .map_err(|error| format!("local_clients: cannot be ended: {error}"))
        };
        match done {
            Ok(()) => {
                if wanted {
                    info!("this host's own connections to VIPs are balanced");
                }
                self.sockets = Some(wanted);
            }
            Err(why) => troubles.push(why),
        }
    }
}
