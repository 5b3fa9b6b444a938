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
mod tests {
    use netlink_packet_route::{
        link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage},
        neighbour::{
            NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
    };

    use super::*;
    use crate::netlink::{MacAddress, neighbour::Resolution};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix { address: ip(address), length }
    }

    fn bytes(message: RouteNetlinkMessage) -> Vec<u8> {
        let mut message = NetlinkMessage::from(message);
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn link_message(family: AddressFamily) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.interface_family = family;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.index = 7;
        message.header.flags = LinkFlags::Up | LinkFlags::Running;
        message.attributes = vec![
            LinkAttribute::IfName("eth7".into()),
            LinkAttribute::Mtu(9000),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 7]),
        ];
        message
    }

    fn neighbour_message(state: NeighbourState, attribute: NeighbourAttribute) -> NeighbourMessage {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.ifindex = 7;
        message.header.state = state;
        let address = std::net::Ipv4Addr::new(10, 0, 0, 1);
        message.attributes = vec![NeighbourAttribute::Destination(address.into()), attribute];
        message
    }

    #[test]
    fn a_datagram_may_hold_several_messages_and_end_early() {
        let link = bytes(RouteNetlinkMessage::NewLink(link_message(AddressFamily::Unspec)));
        let gone = bytes(RouteNetlinkMessage::DelLink(link_message(AddressFamily::Unspec)));
        let datagram = [link.clone(), gone].concat();
        let events = decode_datagram(&datagram);
        let [Event::Link(seen), Event::LinkGone(7)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!((seen.index, seen.name.as_str(), seen.mtu), (7, "eth7", 9000));
        assert_eq!(seen.mac.unwrap().to_string(), "02:00:00:00:00:07");
        for end in 0..datagram.len() {
            let expected = usize::from(end >= link.len());
            assert_eq!(decode_datagram(&datagram[..end]).len(), expected, "cut at {end}");
        }
    }

    #[test]
    fn a_bridge_says_nothing_about_the_interface_itself() {
        let messages = [
            RouteNetlinkMessage::NewLink(link_message(AddressFamily::Bridge)),
            RouteNetlinkMessage::DelLink(link_message(AddressFamily::Bridge)),
        ];
        for message in messages {
            assert_eq!(decode(&message), None, "{message:?}");
        }
    }

    #[test]
    fn every_state_with_a_mac_address_will_do() {
        use NeighbourState as State;
        let mac = [2, 0, 0, 0, 0, 9];
        let cases = [
            (State::Reachable, Resolution::Known(MacAddress(mac)), false),
            (State::Stale, Resolution::Known(MacAddress(mac)), false),
            (State::Delay, Resolution::Known(MacAddress(mac)), false),
            (State::Probe, Resolution::Known(MacAddress(mac)), false),
            (State::Permanent, Resolution::Known(MacAddress(mac)), true),
            (State::Noarp, Resolution::Known(MacAddress(mac)), true),
            (State::Incomplete, Resolution::Asking, false),
            (State::None, Resolution::Asking, false),
            (State::Failed, Resolution::Failed, false),
        ];
        for (state, expected, fixed) in cases {
            let attribute = NeighbourAttribute::LinkLayerAddress(mac.to_vec());
            let message =
                bytes(RouteNetlinkMessage::NewNeighbour(neighbour_message(state, attribute)));
            let events = decode_datagram(&message);
            let [Event::Neighbour(key, sighting)] = events.as_slice() else {
                panic!("{state:?}: {events:?}");
            };
            assert_eq!((key.ifindex, key.address.to_string().as_str()), (7, "10.0.0.1"));
            assert_eq!((sighting.state, sighting.fixed), (expected, fixed), "{state:?}");
            assert!(!sighting.managed && !sighting.own);
        }
    }

    #[test]
    fn a_managed_neighbour_is_recognised_and_its_maker_too() {
        let decoded = |attribute| {
            let message = neighbour_message(NeighbourState::Incomplete, attribute);
            match decode(&RouteNetlinkMessage::NewNeighbour(message)) {
                Some(Event::Neighbour(_, sighting)) => (sighting.managed, sighting.own),
                other => panic!("{other:?}"),
            }
        };
        let managed = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
        assert_eq!(decoded(managed), (true, false));
        let own = NeighbourAttribute::Protocol(neighbour::OWN_PROTOCOL);
        assert_eq!(decoded(own), (false, true));
    }

    #[test]
    fn proxies_and_bridge_entries_are_not_neighbours() {
        let attribute = || NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 9]);
        let mut proxy = neighbour_message(NeighbourState::Permanent, attribute());
        proxy.header.flags = NeighbourFlags::Proxy;
        let mut bridge = neighbour_message(NeighbourState::Permanent, attribute());
        bridge.header.family = AddressFamily::Bridge;
        bridge.attributes = vec![attribute()];
        for message in [proxy, bridge] {
            assert_eq!(decode(&RouteNetlinkMessage::NewNeighbour(message)), None);
        }
    }

    #[test]
    fn routes_tell_their_prefix_and_rules_concern_all() {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet6;
        let default = RouteNetlinkMessage::DelRoute(message.clone());
        assert_eq!(decode_datagram(&bytes(default)), [Event::Routes(prefix("::", 0))]);
        message.header.destination_prefix_length = 32;
        let address = RouteAddress::Inet6("2001:db8::".parse().unwrap());
        message.attributes.push(RouteAttribute::Destination(address));
        let route = RouteNetlinkMessage::NewRoute(message);
        assert_eq!(decode_datagram(&bytes(route)), [Event::Routes(prefix("2001:db8::", 32))]);
        let rule = RouteNetlinkMessage::NewRule(Default::default());
        assert_eq!(decode_datagram(&bytes(rule)), [Event::AllRoutes]);
    }

    #[test]
    fn a_prefix_contains_what_shares_its_leading_bits() {
        let cases = [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("0.0.0.0", 0, "192.0.2.1", true),
            ("192.0.2.1", 32, "192.0.2.1", true),
            ("192.0.2.1", 32, "192.0.2.0", false),
            ("10.1.2.3", 8, "10.0.0.0", true),
            ("::", 0, "2001:db8::1", true),
            ("2001:db8::1", 128, "2001:db8::1", true),
            ("2001:db8::1", 128, "2001:db8::2", false),
            ("::", 0, "192.0.2.1", false),
            ("2001:db8::", 32, "2001:db9::1", false),
        ];
        for (address, length, member, expected) in cases {
            let contains = prefix(address, length).range().contains(&ip(member));
            assert_eq!(contains, expected, "{address}/{length} and {member}");
        }
    }
}
