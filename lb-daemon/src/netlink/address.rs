//! The addresses of this host.

use std::{collections::BTreeSet, net::IpAddr};

use netlink_packet_route::address::{AddressAttribute, AddressMessage};

/// Every address of every interface, loopback included.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalAddresses(BTreeSet<(IpAddr, u32)>);

impl LocalAddresses {
    /// Whether some interface has `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.interfaces(address).next().is_some()
    }

    /// Indices of the interfaces that have `address`.
    pub fn interfaces(&self, address: IpAddr) -> impl Iterator<Item = u32> {
        self.0.range((address, 0)..=(address, u32::MAX)).map(|(_, index)| *index)
    }

    /// Each address with the index of its interface.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        self.0.iter().copied()
    }

    /// Whether that changed anything.
    pub(super) fn insert(&mut self, address: IpAddr, index: u32) -> bool {
        self.0.insert((address, index))
    }

    pub(super) fn remove(&mut self, address: IpAddr, index: u32) -> bool {
        self.0.remove(&(address, index))
    }
}

/// The address itself. On point-to-point interfaces `IFA_ADDRESS` is the
/// peer's and `IFA_LOCAL` this host's.
pub(super) fn decode(message: &AddressMessage) -> Option<(IpAddr, u32)> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => address = Some(*local),
            AddressAttribute::Address(other) => address = address.or(Some(*other)),
            _ => {}
        }
    }
    Some((address?, message.header.index))
}
