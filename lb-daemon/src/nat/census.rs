//! What a whole pass over the tables found.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
};

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
    pub services: HashMap<u16, u64>,
    /// By the number of their backend.
    pub backends: HashMap<u16, u64>,
    /// Watched addresses that a line needs.
    pub addresses: BTreeSet<IpAddr>,
}

impl Census {
    /// Counts a line.
    pub fn note(&mut self, seen: &Seen, directory: &Directory) {
        if seen.freed {
            return;
        }
        *self.services.entry(seen.entry.service).or_default() += 1;
        if seen.reverse {
            *self.backends.entry(seen.entry.backend).or_default() += 1;
            for end in [seen.key.source, seen.key.destination] {
                if directory.watched.contains(&end) {
                    self.addresses.insert(address_of(end));
                }
            }
        }
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
        self.version >= version && !self.services.contains_key(&entry)
    }

    pub fn has_no_backend(&self, id: u16, version: u64) -> bool {
        self.version >= version && !self.backends.contains_key(&id)
    }

    pub fn has_no_address(&self, address: IpAddr, version: u64) -> bool {
        self.version >= version && !self.addresses.contains(&address)
    }
}
