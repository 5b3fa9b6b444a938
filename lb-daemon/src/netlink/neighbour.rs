//! Neighbours: which MAC address answers for an address on an interface, and
//! what their history tells.
//!
//! The kernel's state alone is not enough. It announces an entry that an
//! operator deletes as failed first, it turns a failed one back to incomplete
//! at every further attempt, and it forgets. Here:
//!
//! - a MAC address stays known until the neighbour fails, so that
//!   `ip neigh flush` on a balancer costs no packet;
//! - a failure counts once it has lasted [`FAILURE_HOLD`] without the entry
//!   being deleted, and lasts until the neighbour answers;
//! - one that stopped answering and one that never did are told apart.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
        NeighbourState,
    },
    route::RouteProtocol,
};

use super::MacAddress;

/// A failure that is followed by a deletion within this time was an operator's.
pub const FAILURE_HOLD: Duration = Duration::from_millis(40);

/// Marks the neighbours that this program asked the kernel to keep fresh
/// (`NDA_PROTOCOL`, shown by `ip neigh` as `proto 76`).
pub const OWN_PROTOCOL: RouteProtocol = RouteProtocol::Other(76);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct NeighbourKey {
    pub ifindex: u32,
    pub address: IpAddr,
}

/// A neighbour as the kernel announced it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sighting {
    pub state: Resolution,
    /// An operator's entry (or one that needs no resolution): not ours to touch.
    pub fixed: bool,
    /// The kernel keeps it fresh (`NTF_EXT_MANAGED`).
    pub managed: bool,
    /// This program, or an earlier run of it, asked for that.
    pub own: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resolution {
    Known(MacAddress),
    Asking,
    Failed,
}

/// Reads a neighbour message. None for bridge forwarding entries, proxies, and
/// the link layers that have no MAC address.
pub fn decode(message: &NeighbourMessage) -> Option<(NeighbourKey, Sighting)> {
    let header = &message.header;
    if header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let (mut address, mut mac) = (None, None);
    let (mut managed, mut own) = (false, false);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => {
                address = Some(IpAddr::V4(*v4));
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => {
                address = Some(IpAddr::V6(*v6));
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok();
            }
            NeighbourAttribute::ExtFlags(flags) => {
                managed = flags.contains(NeighbourExtFlags::Managed);
            }
            NeighbourAttribute::Protocol(protocol) => own = *protocol == OWN_PROTOCOL,
            _ => {}
        }
    }
    let state = match (header.state, mac) {
        (NeighbourState::Failed, _) => Resolution::Failed,
        (NeighbourState::Incomplete | NeighbourState::None, _) | (_, None) => Resolution::Asking,
        (_, Some(mac)) => Resolution::Known(mac),
    };
    let fixed = matches!(header.state, NeighbourState::Permanent | NeighbourState::Noarp);
    let key = NeighbourKey { ifindex: header.ifindex, address: address? };
    Some((key, Sighting { state, fixed, managed, own }))
}

/// The order to resolve a neighbour and to keep it fresh.
pub fn manage(key: NeighbourKey) -> RouteNetlinkMessage {
    let mut message = order(key);
    message.attributes.push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
    RouteNetlinkMessage::NewNeighbour(message)
}

/// The order to resolve a neighbour now, and no longer to keep it fresh.
pub fn resolve(key: NeighbourKey) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewNeighbour(order(key))
}

/// `NTF_USE` has the kernel ask for the neighbour and leaves its state alone.
fn order(key: NeighbourKey) -> NeighbourMessage {
    let mut message = about(key);
    message.header.flags = NeighbourFlags::Use;
    message.attributes.push(NeighbourAttribute::Protocol(OWN_PROTOCOL));
    message
}

/// The question what the kernel knows of a neighbour.
pub fn query(key: NeighbourKey) -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetNeighbour(about(key))
}

fn about(key: NeighbourKey) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = match key.address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.header.ifindex = key.ifindex;
    message.attributes.push(NeighbourAttribute::Destination(key.address.into()));
    message
}

/// What is known of a neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knowledge {
    Known(MacAddress),
    /// It has not been asked, or not answered yet.
    Unknown,
    /// It does not answer, and was not seen answering before.
    Silent(Instant),
    /// It stopped answering.
    Failed(Instant),
}

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    /// None once the kernel has deleted it.
    sighting: Option<Sighting>,
    mac: Option<MacAddress>,
    failed: Option<Instant>,
}

/// Every neighbour of the host, and those it had.
#[derive(Default, Debug)]
pub struct Neighbours(BTreeMap<NeighbourKey, Neighbour>);

impl Neighbours {
    pub fn seen(&mut self, key: NeighbourKey, sighting: Sighting, now: Instant) {
        let fresh = Neighbour { sighting: None, mac: None, failed: None };
        let neighbour = self.0.entry(key).or_insert(fresh);
        neighbour.sighting = Some(sighting);
        match sighting.state {
            Resolution::Known(mac) => {
                neighbour.mac = Some(mac);
                neighbour.failed = None;
            }
            Resolution::Failed => neighbour.failed = neighbour.failed.or(Some(now)),
            Resolution::Asking => {}
        }
    }

    pub fn gone(&mut self, key: NeighbourKey, now: Instant) {
        if let Some(neighbour) = self.0.get_mut(&key) {
            neighbour.sighting = None;
            neighbour.failed = neighbour.failed.filter(|since| now >= *since + FAILURE_HOLD);
        }
    }

    /// Forgets a neighbour that the kernel has no entry for.
    pub fn forget(&mut self, key: NeighbourKey) {
        if self.sighting(key).is_none() {
            self.0.remove(&key);
        }
    }

    /// Forgets the memory of all neighbours on an interface: behind a link
    /// that was down, another machine may answer.
    pub fn forget_interface(&mut self, ifindex: u32) {
        self.0.retain(|key, neighbour| key.ifindex != ifindex || neighbour.sighting.is_some());
        for (_, neighbour) in self.0.iter_mut().filter(|(key, _)| key.ifindex == ifindex) {
            if !matches!(neighbour.sighting, Some(Sighting { state: Resolution::Known(_), .. })) {
                neighbour.mac = None;
            }
        }
    }

    /// Keys of the entries that the kernel has.
    pub fn present(&self) -> impl Iterator<Item = NeighbourKey> {
        let present = self.0.iter().filter(|(_, neighbour)| neighbour.sighting.is_some());
        present.map(|(key, _)| *key)
    }

    pub fn sighting(&self, key: NeighbourKey) -> Option<Sighting> {
        self.0.get(&key)?.sighting
    }

    pub fn knowledge(&self, key: NeighbourKey, now: Instant) -> Knowledge {
        let Some(neighbour) = self.0.get(&key) else {
            return Knowledge::Unknown;
        };
        match (neighbour.failed, neighbour.mac) {
            (None, Some(mac)) => Knowledge::Known(mac),
            (None, None) => Knowledge::Unknown,
            (Some(since), Some(mac)) if now < since + FAILURE_HOLD => Knowledge::Known(mac),
            (Some(since), Some(_)) => Knowledge::Failed(since),
            (Some(since), None) => Knowledge::Silent(since),
        }
    }

    /// When [`Self::knowledge`] of this one changes with no further event.
    pub fn deadline(&self, key: NeighbourKey, now: Instant) -> Option<Instant> {
        let hold_ends = self.0.get(&key)?.failed? + FAILURE_HOLD;
        (hold_ends > now).then_some(hold_ends)
    }
}
