//! What the kernel tells, reduced to what the resolver wants to know.

use std::{net::IpAddr, ops::RangeInclusive};

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{RouteAddress, RouteAttribute, RouteMessage},
};

use super::{
    address,
    link::Link,
    neighbour::{self, NeighbourKey, Sighting},
};

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    Link(Link),
    LinkGone(u32),
    Address(IpAddr, u32),
    AddressGone(IpAddr, u32),
    Neighbour(NeighbourKey, Sighting),
    NeighbourGone(NeighbourKey),
    /// Routes to this prefix.
    Routes(Prefix),
    /// Routes, nobody knows which: rules or next-hop objects changed.
    AllRoutes,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    pub address: IpAddr,
    pub length: u8,
}

impl Prefix {
    /// Its first and last address: all between them, in the order of
    /// [`IpAddr`], are in it.
    pub fn range(self) -> RangeInclusive<IpAddr> {
        match self.address {
            IpAddr::V4(address) => {
                let host = u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                let bits = u32::from(address);
                IpAddr::V4((bits & !host).into())..=IpAddr::V4((bits | host).into())
            }
            IpAddr::V6(address) => {
                let host = u128::MAX.checked_shr(u32::from(self.length)).unwrap_or(0);
                let bits = u128::from(address);
                IpAddr::V6((bits & !host).into())..=IpAddr::V6((bits | host).into())
            }
        }
    }
}

/// The events in one datagram from the kernel.
pub fn decode_datagram(datagram: &[u8]) -> Vec<Event> {
    messages(datagram).filter_map(decode_bytes).collect()
}

/// Cuts a datagram into its messages.
pub fn messages(datagram: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let length = NetlinkBuffer::new_checked(rest).ok()?.length() as usize;
        let (message, _) = rest.split_at(length);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// `RTM_NEWNEXTHOP` and `RTM_DELNEXTHOP`: next-hop objects, which routes name.
const NEW_NEXT_HOP: u16 = 104;
const DEL_NEXT_HOP: u16 = 105;

fn decode_bytes(message: &[u8]) -> Option<Event> {
    let kind = NetlinkBuffer::new_checked(message).ok()?.message_type();
    if matches!(kind, libc::RTM_NEWRULE | libc::RTM_DELRULE | NEW_NEXT_HOP | DEL_NEXT_HOP) {
        return Some(Event::AllRoutes);
    }
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
        Ok(NetlinkMessage { payload: NetlinkPayload::InnerMessage(message), .. }) => {
            decode(&message)
        }
        Ok(_) => None,
        // A route with attributes this version does not know is still a change.
        Err(_) if matches!(kind, libc::RTM_NEWROUTE | libc::RTM_DELROUTE) => Some(Event::AllRoutes),
        Err(error) => {
            tracing::warn!("skipped a netlink message of type {kind}: {error}");
            None
        }
    }
}

/// None where the message does not matter here.
pub fn decode(message: &RouteNetlinkMessage) -> Option<Event> {
    match message {
        RouteNetlinkMessage::NewLink(link) => Link::decode(link).map(Event::Link),
        // A port that leaves its bridge is also announced as a deleted link,
        // of the bridge family.
        RouteNetlinkMessage::DelLink(link) => {
            let whole = u8::from(link.header.interface_family) == libc::AF_UNSPEC as u8;
            whole.then_some(Event::LinkGone(link.header.index))
        }
        RouteNetlinkMessage::NewAddress(message) => {
            address::decode(message).map(|(address, index)| Event::Address(address, index))
        }
        RouteNetlinkMessage::DelAddress(message) => {
            address::decode(message).map(|(address, index)| Event::AddressGone(address, index))
        }
        RouteNetlinkMessage::NewNeighbour(message) => {
            neighbour::decode(message).map(|(key, sighting)| Event::Neighbour(key, sighting))
        }
        RouteNetlinkMessage::DelNeighbour(message) => {
            neighbour::decode(message).map(|(key, _)| Event::NeighbourGone(key))
        }
        RouteNetlinkMessage::NewRoute(message) | RouteNetlinkMessage::DelRoute(message) => {
            route_prefix(message).map(Event::Routes)
        }
        _ => None,
    }
}

fn route_prefix(message: &RouteMessage) -> Option<Prefix> {
    let header = &message.header;
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::from([0; 4]),
        AddressFamily::Inet6 => IpAddr::from([0; 16]),
        _ => return None,
    };
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    });
    Some(Prefix {
        address: address.unwrap_or(unspecified),
        length: header.destination_prefix_length,
    })
}

#[cfg(test)]
mod tests;
