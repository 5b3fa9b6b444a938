//! One look at the network around the host, for who only asks a few questions
//! and follows nothing. Needs no privileges.

use std::{collections::BTreeSet, io, net::IpAddr};

use super::{Links, event::Event, kernel::Kernel, route::RouteError};

/// Where the host's own packets to an address would go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// An address of this host, or one in a prefix that is routed to itself.
    Local,
    Out {
        interface: String,
        /// The interface, and others whose XDP program sees what comes in on it.
        seen_on: BTreeSet<String>,
        source: Option<IpAddr>,
    },
    /// A route that refuses packets, such as one that only announces a prefix.
    Refused,
    Nowhere,
}

pub struct Survey {
    kernel: Kernel,
    links: Links,
}

impl Survey {
    /// Of the network namespace of the calling thread.
    pub fn begin() -> io::Result<Self> {
        let mut kernel = Kernel::open()?;
        let (events, _) = kernel.links_and_statistics()?;
        let links = events.into_iter().filter_map(|event| match event {
            Event::Link(link) => Some(link),
            _ => None,
        });
        Ok(Self { kernel, links: links.collect() })
    }

    pub fn links(&self) -> &Links {
        &self.links
    }

    pub fn way(&mut self, target: IpAddr) -> io::Result<Way> {
        match self.kernel.look_up(target) {
            Ok(route) => Ok(match self.links.get(route.ifindex) {
                Some(link) => Way::Out {
                    interface: link.name.clone(),
                    seen_on: seen_on(link.index, &self.links),
                    source: route.source,
                },
                None => Way::Nowhere,
            }),
            Err(RouteError::OwnAddress) => Ok(Way::Local),
            Err(RouteError::Refused(_)) => Ok(Way::Refused),
            Err(RouteError::Other(cause)) => Err(io::Error::other(cause)),
            Err(RouteError::None | RouteError::NotUnicast(_) | RouteError::Encapsulated) => {
                Ok(Way::Nowhere)
            }
        }
    }
}

/// What arrives for an interface passes the ports of a bridge or bond first,
/// and a macvlan's lower device. Below a VLAN device frames carry a tag.
pub fn seen_on(index: u32, links: &Links) -> BTreeSet<String> {
    let lower = links.get(index).filter(|link| link.kind.starts_with("macv"));
    let lower = lower.and_then(|link| link.lower);
    links
        .iter()
        .filter(|link| {
            link.index == index || link.master == Some(index) || lower == Some(link.index)
        })
        .map(|link| link.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Link, Operation},
        *,
    };

    fn link(index: u32, name: &str, kind: &str) -> Link {
        Link {
            index,
            name: name.into(),
            mac: None,
            mtu: 1500,
            operation: Operation::Up,
            loopback: false,
            kind: kind.into(),
            master: None,
            lower: None,
            elsewhere: None,
            xdp: None,
        }
    }

    #[test]
    fn frames_for_stacked_devices_are_seen_below_unless_they_are_tagged() {
        let links: Links = [
            Link { master: Some(3), ..link(1, "eth0", "") },
            link(2, "eth1", ""),
            link(3, "br0", "bridge"),
            Link { lower: Some(2), ..link(4, "mac0", "macvlan") },
            Link { lower: Some(2), ..link(5, "eth1.7", "vlan") },
            Link { lower: Some(2), ..link(6, "veth0", "veth") },
        ]
        .into_iter()
        .collect();
        for (index, expected) in [
            (1, vec!["eth0"]),
            (3, vec!["br0", "eth0"]),
            (4, vec!["eth1", "mac0"]),
            (5, vec!["eth1.7"]),
            (6, vec!["veth0"]),
        ] {
            let seen: Vec<String> = seen_on(index, &links).into_iter().collect();
            assert_eq!(seen, expected, "{index}");
        }
    }

    #[test]
    fn the_host_itself_is_local() {
        let mut survey = Survey::begin().unwrap();
        assert!(survey.links().by_name("lo").is_some());
        assert_eq!(survey.way("127.0.0.1".parse().unwrap()).unwrap(), Way::Local);
    }
}
