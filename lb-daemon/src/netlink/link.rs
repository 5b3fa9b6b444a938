//! The host's network interfaces, as the kernel reports them.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, LinkXdp, Stats64,
    XdpAttached,
};

use super::MacAddress;

/// Whether frames can leave an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Up,
    /// Set up, but the cable, the peer or the lower device is not.
    NoCarrier,
    Down,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::NoCarrier => "without carrier",
            Self::Down => "down",
        })
    }
}

/// Where in the receive path an XDP program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the kernel's stack, after a socket buffer was made.
    Generic,
    /// On the card.
    Offloaded,
    /// In more than one of these places.
    Several,
}

/// The XDP program of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct XdpAttachment {
    pub mode: XdpMode,
    /// Program id; with several programs, the driver's.
    pub program: u32,
}

/// An interface of another network namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elsewhere {
    pub index: u32,
    /// That namespace's number in this one.
    pub namespace: i32,
}

/// One interface.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Link {
    pub index: u32,
    pub name: String,
    /// None where frames carry no Ethernet header (tun, ppp, ipip, …).
    pub mac: Option<MacAddress>,
    pub mtu: u32,
    pub operation: Operation,
    pub loopback: bool,
    /// `veth`, `bond`, `vlan`, `bridge`, …; empty for hardware.
    pub kind: String,
    /// The bond, bridge or VRF it is a port of.
    pub master: Option<u32>,
    /// The device below (vlan, macvlan) or the peer (veth), unless that is in
    /// another network namespace.
    pub lower: Option<u32>,
    /// The same where it is in another network namespace.
    pub elsewhere: Option<Elsewhere>,
    pub xdp: Option<XdpAttachment>,
}

impl Link {
    /// Reads a link message. None for the partial ones that bridges and
    /// wireless drivers send: they do not describe the whole interface.
    pub(super) fn decode(message: &LinkMessage) -> Option<Self> {
        let header = &message.header;
        if u8::from(header.interface_family) != libc::AF_UNSPEC as u8 {
            return None;
        }
        let mut link = Self {
            index: header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            operation: operation(header.flags),
            loopback: header.flags.contains(LinkFlags::Loopback),
            kind: String::new(),
            master: None,
            lower: None,
            elsewhere: None,
            xdp: None,
        };
        let ethernet = header.link_layer_type == LinkLayerType::Ether;
        let mut namespace = None;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) if ethernet => {
                    link.mac = bytes.as_slice().try_into().ok();
                }
                LinkAttribute::Controller(index) => link.master = Some(*index),
                LinkAttribute::Link(index) if *index != 0 => link.lower = Some(*index),
                LinkAttribute::LinkNetNsId(id) => namespace = Some(*id),
                LinkAttribute::LinkInfo(infos) => link.kind = kind(infos),
                LinkAttribute::Xdp(attributes) => link.xdp = xdp(attributes),
                _ => {}
            }
        }
        if let Some(namespace) = namespace {
            link.elsewhere = link.lower.take().map(|index| Elsewhere { index, namespace });
        }
        let whole = !link.name.is_empty() && link.mtu != 0;
        whole.then_some(link)
    }
}

fn operation(flags: LinkFlags) -> Operation {
    if !flags.contains(LinkFlags::Up) {
        Operation::Down
    } else if !flags.contains(LinkFlags::Running) {
        Operation::NoCarrier
    } else {
        Operation::Up
    }
}

fn kind(infos: &[LinkInfo]) -> String {
    infos
        .iter()
        .find_map(|info| match info {
            LinkInfo::Kind(InfoKind::Other(name)) => Some(name.clone()),
            LinkInfo::Kind(kind) => Some(kind.to_string()),
            _ => None,
        })
        .unwrap_or_default()
}

fn xdp(attributes: &[LinkXdp]) -> Option<XdpAttachment> {
    let mut mode = None;
    let (mut program, mut driver) = (0, None);
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(attached) => {
                mode = match attached {
                    XdpAttached::None => None,
                    XdpAttached::Driver => Some(XdpMode::Native),
                    XdpAttached::SocketBuffer => Some(XdpMode::Generic),
                    XdpAttached::Hardware => Some(XdpMode::Offloaded),
                    _ => Some(XdpMode::Several),
                }
            }
            LinkXdp::ProgId(id) => program = *id,
            LinkXdp::DrvProgId(id) => driver = Some(*id),
            _ => {}
        }
    }
    mode.map(|mode| XdpAttachment { mode, program: driver.unwrap_or(program) })
}

/// Every interface, by index.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Links(BTreeMap<u32, Link>);

impl Links {
    pub fn get(&self, index: u32) -> Option<&Link> {
        self.0.get(&index)
    }

    pub fn by_name(&self, name: &str) -> Option<&Link> {
        self.iter().find(|link| link.name == name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.values()
    }

    /// Whether that changed anything.
    pub(super) fn insert(&mut self, link: Link) -> bool {
        match self.0.entry(link.index) {
            Entry::Occupied(entry) if *entry.get() == link => false,
            Entry::Occupied(mut entry) => {
                entry.insert(link);
                true
            }
            Entry::Vacant(entry) => {
                entry.insert(link);
                true
            }
        }
    }

    pub(super) fn remove(&mut self, index: u32) -> bool {
        self.0.remove(&index).is_some()
    }
}

impl FromIterator<Link> for Links {
    fn from_iter<T: IntoIterator<Item = Link>>(links: T) -> Self {
        Self(links.into_iter().map(|link| (link.index, link)).collect())
    }
}

/// The kernel's 64-bit counters of an interface. In native mode most drivers
/// count what an XDP program received here; what it transmitted, only some.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkStatistics {
    pub rx_packets: u64,
    pub rx_bytes: u64,
    pub rx_dropped: u64,
    pub rx_errors: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_dropped: u64,
    pub tx_errors: u64,
}

impl LinkStatistics {
    pub(super) fn decode(message: &LinkMessage) -> Option<Self> {
        message.attributes.iter().find_map(|attribute| match attribute {
            LinkAttribute::Stats64(stats) => Some(Self::from(stats)),
            _ => None,
        })
    }
}

impl From<&Stats64> for LinkStatistics {
    fn from(stats: &Stats64) -> Self {
        Self {
            rx_packets: stats.rx_packets,
            rx_bytes: stats.rx_bytes,
            rx_dropped: stats.rx_dropped,
            rx_errors: stats.rx_errors,
            tx_packets: stats.tx_packets,
            tx_bytes: stats.tx_bytes,
            tx_dropped: stats.tx_dropped,
            tx_errors: stats.tx_errors,
        }
    }
}
