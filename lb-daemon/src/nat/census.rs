//! What a whole pass over the tables found.

use std::{collections::BTreeSet, net::IpAddr};

use lb_common::{
    abi::NatState,
    nat::sweep::{Seen, Swept},
};

use super::Directory;
use crate::dataplane::address_of;

/// States that a flow can be in.
pub const STATES: [NatState; 11] = [
    NatState::Opening,
    NatState::Answered,
    NatState::Established,
    NatState::ClientClosing,
    NatState::BackendClosing,
    NatState::Closed,
    NatState::BackendClosed,
    NatState::Reset,
    NatState::UdpNew,
    NatState::Udp,
    NatState::UdpDone,
];

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Of the directory that held during the whole pass.
    pub version: u64,
    pub swept: Swept,
    /// Lines in use by the index of their service's entry: while there are some,
    /// the data path needs it.
    services: Vec<u32>,
    /// Flows and resting ports by the number of their backend.
    backends: Vec<u32>,
    /// Watched addresses that a line needs.
    pub addresses: BTreeSet<IpAddr>,
}

impl Census {
    pub fn begin(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    /// Counts a line.
    pub fn note(&mut self, seen: &Seen, directory: &Directory) {
        if seen.freed {
            return;
        }
        count(&mut self.services, seen.entry.service);
        if !seen.reverse {
            return;
        }
        count(&mut self.backends, seen.entry.backend);
        if !directory.watched.is_empty() {
            for end in [seen.key.source, seen.key.destination] {
                if directory.watched.contains(&end) {
                    self.addresses.insert(address_of(end));
                }
            }
        }
    }

    /// Flows to a backend, and ports that rest.
    pub fn flows_to(&self, backend: u16) -> u64 {
        counted(&self.backends, backend).into()
    }

    /// Flows and resting tuples that have not expired.
    pub fn flows(&self) -> u64 {
        self.swept.by_state.iter().sum()
    }

    /// By state, those that there are.
    pub fn by_state(&self) -> impl Iterator<Item = (NatState, u64)> {
        STATES.into_iter().map(|state| (state, self.swept.by_state[state as usize]))
    }

    /// Whether a pass that began after `version` was there found no line of a
    /// service's entry. Equally for the rest.
    pub fn has_no_service(&self, entry: u16, version: u64) -> bool {
        self.version >= version && counted(&self.services, entry) == 0
    }

    pub fn has_no_backend(&self, id: u16, version: u64) -> bool {
        self.version >= version && counted(&self.backends, id) == 0
    }

    pub fn has_no_address(&self, address: IpAddr, version: u64) -> bool {
        self.version >= version && !self.addresses.contains(&address)
    }
}

/// Once for every line: an index, not a hash.
fn count(counts: &mut Vec<u32>, number: u16) {
    let index = usize::from(number);
    if index >= counts.len() {
        counts.resize(index + 1, 0);
    }
    counts[index] += 1;
}

fn counted(counts: &[u32], number: u16) -> u32 {
    counts.get(usize::from(number)).copied().unwrap_or(0)
}
