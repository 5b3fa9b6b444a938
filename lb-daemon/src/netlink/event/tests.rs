//! Events from messages as the kernel sends them.

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
        let message = bytes(RouteNetlinkMessage::NewNeighbour(neighbour_message(state, attribute)));
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
