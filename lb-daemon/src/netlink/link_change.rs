//! What is different between two states of the interfaces, in words for a log.

use std::fmt;

use super::{Link, Links, MacAddress, Operation, XdpAttachment};

impl Links {
    /// What is different from `before`. An interface that
    /// went and came again under its name has another index: it is reported
    /// as vanished and appeared.
    pub fn changes_since(&self, before: &Self) -> Vec<LinkChange> {
        let vanished = before.iter().filter(|link| self.get(link.index).is_none());
        let mut changes: Vec<_> =
            vanished.map(|link| LinkChange::Vanished(link.name.clone())).collect();
        for link in self.iter() {
            match before.get(link.index) {
                None => changes.push(LinkChange::Appeared(link.name.clone())),
                Some(old) => changes.extend(differences(old, link)),
            }
        }
        changes
    }
}

fn differences(old: &Link, new: &Link) -> Vec<LinkChange> {
    let name = || new.name.clone();
    let mut changes = Vec::new();
    if old.name != new.name {
        changes.push(LinkChange::Renamed { from: old.name.clone(), to: name() });
    }
    if old.operation != new.operation {
        changes.push(LinkChange::Operation(name(), new.operation));
    }
    if old.mtu != new.mtu {
        changes.push(LinkChange::Mtu { name: name(), from: old.mtu, to: new.mtu });
    }
    if old.mac != new.mac {
        changes.push(LinkChange::Mac(name(), new.mac));
    }
    if old.xdp != new.xdp {
        changes.push(LinkChange::Xdp(name(), new.xdp));
    }
    changes
}

/// One difference between two states of the interfaces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkChange {
    Appeared(String),
    Vanished(String),
    Renamed { from: String, to: String },
    Operation(String, Operation),
    Mtu { name: String, from: u32, to: u32 },
    Mac(String, Option<MacAddress>),
    Xdp(String, Option<XdpAttachment>),
}

impl fmt::Display for LinkChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Appeared(name) => write!(f, "interface {name} appeared"),
            Self::Vanished(name) => write!(f, "interface {name} vanished"),
            Self::Renamed { from, to } => write!(f, "interface {from} is now named {to}"),
            Self::Operation(name, operation) => write!(f, "interface {name} is {operation}"),
            Self::Mtu { name, from, to } => {
                write!(f, "the MTU of interface {name} went from {from} to {to}")
            }
            Self::Mac(name, Some(mac)) => {
                write!(f, "the MAC address of interface {name} is now {mac}")
            }
            Self::Mac(name, None) => write!(f, "interface {name} has no MAC address any more"),
            Self::Xdp(name, Some(xdp)) => {
                write!(f, "interface {name} now runs XDP program {}", xdp.program)
            }
            Self::Xdp(name, None) => write!(f, "interface {name} runs no XDP program any more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::XdpMode;

    fn link(index: u32, name: &str) -> Link {
        Link {
            index,
            name: name.into(),
            mac: Some(MacAddress([2, 0, 0, 0, 0, index as u8])),
            mtu: 1500,
            operation: Operation::Up,
            loopback: false,
            kind: String::new(),
            master: None,
            lower: None,
            elsewhere: None,
            xdp: None,
        }
    }

    fn links(list: &[Link]) -> Links {
        let mut links = Links::default();
        for link in list {
            links.insert(link.clone());
        }
        links
    }

    fn words(before: &[Link], after: &[Link]) -> Vec<String> {
        let changes = links(after).changes_since(&links(before));
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn differences_are_said_in_words() {
        let eth1 = || link(3, "eth1");
        let xdp = Some(XdpAttachment { mode: XdpMode::Native, program: 42 });
        let cases: [(Link, &str); 6] = [
            (Link { name: "lan".into(), ..eth1() }, "interface eth1 is now named lan"),
            (
                Link { operation: Operation::NoCarrier, ..eth1() },
                "interface eth1 is without carrier",
            ),
            (Link { mtu: 9000, ..eth1() }, "the MTU of interface eth1 went from 1500 to 9000"),
            (
                Link { mac: Some(MacAddress([2; 6])), ..eth1() },
                "the MAC address of interface eth1 is now 02:02:02:02:02:02",
            ),
            (Link { xdp, ..eth1() }, "interface eth1 now runs XDP program 42"),
            (eth1(), ""),
        ];
        for (after, expected) in cases {
            let expected: Vec<_> =
                Some(expected).filter(|text| !text.is_empty()).into_iter().collect();
            assert_eq!(words(&[eth1()], &[after]), expected);
        }
    }

    #[test]
    fn one_that_comes_again_under_its_name_is_another() {
        let after = [link(3, "eth0"), link(7, "eth1")];
        assert_eq!(
            words(&[link(3, "eth0"), link(4, "eth1")], &after),
            ["interface eth1 vanished", "interface eth1 appeared"]
        );
    }
}
