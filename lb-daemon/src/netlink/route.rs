//! Asking the kernel for its route to an address.
//!
//! The kernel's own answer (`RTM_GETROUTE`) is taken instead of a copy of the
//! routing tables: it knows rules, metrics, multipath, next-hop objects and
//! discovered path MTUs.

use std::net::IpAddr;

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteType, RouteVia,
    },
};

/// What the kernel answered.
pub type Lookup = Result<Route, RouteError>;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    pub ifindex: u32,
    pub gateway: Option<IpAddr>,
    pub source: Option<IpAddr>,
    /// Of the route or the discovered path, if set.
    pub mtu: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RouteError {
    None,
    Refused(&'static str),
    OwnAddress,
    NotUnicast(&'static str),
    Encapsulated,
    Other(String),
}

impl RouteError {
    /// The kernel answers with the error that the route's type gives senders.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ENETUNREACH => Self::None,
            libc::EHOSTUNREACH => Self::Refused("unreachable"),
            libc::EACCES => Self::Refused("prohibit"),
            libc::EINVAL => Self::Refused("blackhole"),
            other => Self::Other(std::io::Error::from_raw_os_error(other).to_string()),
        }
    }
}

/// The question.
pub fn query(target: IpAddr) -> RouteNetlinkMessage {
    let (family, length) = match target {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family,
        destination_prefix_length: length,
        ..RouteHeader::default()
    };
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(target)));
    RouteNetlinkMessage::GetRoute(message)
}

/// Reads the answer.
pub fn decode(message: &RouteMessage) -> Lookup {
    match message.header.kind {
        RouteType::Unicast => {}
        RouteType::Local => return Err(RouteError::OwnAddress),
        RouteType::Broadcast => return Err(RouteError::NotUnicast("broadcast")),
        RouteType::Multicast => return Err(RouteError::NotUnicast("multicast")),
        RouteType::Anycast => return Err(RouteError::NotUnicast("anycast")),
        RouteType::BlackHole => return Err(RouteError::Refused("blackhole")),
        RouteType::Unreachable => return Err(RouteError::Refused("unreachable")),
        RouteType::Prohibit => return Err(RouteError::Refused("prohibit")),
        other => return Err(RouteError::Other(format!("unexpected route type {other:?}"))),
    }
    let mut ifindex = None;
    let (mut gateway, mut source, mut mtu) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = Some(*index),
            RouteAttribute::Gateway(address) => gateway = ip(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::PrefSource(address) => source = ip(address),
            RouteAttribute::Metrics(metrics) => mtu = mtu_metric(metrics),
            RouteAttribute::EncapType(_) | RouteAttribute::Encap(_) => {
                return Err(RouteError::Encapsulated);
            }
            _ => {}
        }
    }
    let ifindex =
        ifindex.ok_or_else(|| RouteError::Other("the route names no interface".into()))?;
    Ok(Route { ifindex, gateway, source, mtu })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn mtu_metric(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) if *mtu != 0 => Some(*mtu),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::route::RouteLwEnCapType;

    use super::*;

    fn answer(kind: RouteType, attributes: Vec<RouteAttribute>) -> Lookup {
        let mut message = RouteMessage::default();
        message.header.kind = kind;
        message.attributes = attributes;
        decode(&message)
    }

    fn address(text: &str) -> RouteAddress {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_answer_gives_interface_gateway_source_and_mtu() {
        let lookup = answer(
            RouteType::Unicast,
            vec![
                RouteAttribute::Oif(3),
                RouteAttribute::Gateway(address("10.0.0.1")),
                RouteAttribute::PrefSource(address("10.0.0.5")),
                RouteAttribute::Metrics(vec![RouteMetric::Advmss(1200), RouteMetric::Mtu(1280)]),
            ],
        );
        let expected = Route {
            ifindex: 3,
            gateway: Some("10.0.0.1".parse().unwrap()),
            source: Some("10.0.0.5".parse().unwrap()),
            mtu: Some(1280),
        };
        assert_eq!(lookup, Ok(expected));
    }

    #[test]
    fn an_ipv4_route_may_have_an_ipv6_gateway() {
        let gateway = "fe80::1".parse().unwrap();
        let attributes =
            vec![RouteAttribute::Oif(3), RouteAttribute::Via(RouteVia::Inet6(gateway))];
        let route = answer(RouteType::Unicast, attributes).unwrap();
        assert_eq!(route.gateway, Some(IpAddr::V6(gateway)));
    }

    #[test]
    fn a_route_that_xdp_cannot_follow_is_an_error() {
        let cases = [
            (RouteType::Local, RouteError::OwnAddress),
            (RouteType::Broadcast, RouteError::NotUnicast("broadcast")),
            (RouteType::Multicast, RouteError::NotUnicast("multicast")),
            (RouteType::Prohibit, RouteError::Refused("prohibit")),
        ];
        for (kind, expected) in cases {
            assert_eq!(answer(kind, vec![RouteAttribute::Oif(3)]), Err(expected));
        }
        let encapsulated =
            vec![RouteAttribute::Oif(3), RouteAttribute::EncapType(RouteLwEnCapType::Mpls)];
        assert_eq!(answer(RouteType::Unicast, encapsulated), Err(RouteError::Encapsulated));
        assert!(matches!(answer(RouteType::Unicast, vec![]), Err(RouteError::Other(_))));
    }

    #[test]
    fn the_kernels_errors_are_told_apart() {
        let cases = [
            (libc::ENETUNREACH, RouteError::None),
            (libc::EHOSTUNREACH, RouteError::Refused("unreachable")),
            (libc::EACCES, RouteError::Refused("prohibit")),
            (libc::EINVAL, RouteError::Refused("blackhole")),
        ];
        for (errno, expected) in cases {
            assert_eq!(RouteError::from_errno(errno), expected);
        }
    }
}
