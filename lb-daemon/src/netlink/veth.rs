//! A veth pair between this host and a network namespace of the daemon's: made,
//! given addresses, and removed.

use std::{
    io,
    net::IpAddr,
    os::fd::{AsRawFd, BorrowedFd},
};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{
        AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute,
        LinkFlags, LinkInfo, LinkMessage,
    },
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
        RouteProtocol, RouteScope, RouteType,
    },
};
use netlink_sys::protocols::NETLINK_ROUTE;
use nix::net::if_::if_nametoindex;

use super::{ethtool::Ethtool, request_error::RequestError, socket::RequestSocket};

/// One end.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    pub name: &'a str,
    pub mac: [u8; 6],
}

/// A network that the end in the namespace reaches through the other end.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Its own address.
    pub own: IpAddr,
    /// Stands for the other end.
    pub gateway: IpAddr,
    pub prefix: (IpAddr, u8),
    /// Larger packets are not sent there.
    pub mtu: u32,
    /// Segments that are asked for.
    pub mss: u32,
}

/// Makes a pair with `outer` in the caller's namespace and `inner` in another;
/// what has the name of `outer` is removed. Returns the index of `outer`.
///
/// The kernel gives `outer` no address of any kind: nothing is sent from there
/// but what a program sends.
pub fn create(outer: End<'_>, inner: End<'_>, namespace: BorrowedFd<'_>) -> io::Result<u32> {
    let mut socket = RequestSocket::open(NETLINK_ROUTE)?;
    remove_with(&mut socket, outer.name)?;
    let mut peer = link(inner);
    peer.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    let mut pair = link(outer);
    pair.attributes.push(LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
    ]));
    socket.set(RouteNetlinkMessage::NewLink(pair), NLM_F_CREATE | NLM_F_EXCL)?;
    let index = if_nametoindex(outer.name)?;
    let mut silent = LinkMessage::default();
    silent.header.index = index;
    let no_addresses = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    silent
        .attributes
        .push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![no_addresses])]));
    // A kernel without IPv6 has nothing to keep silent.
    let _ = socket.set(RouteNetlinkMessage::SetLink(silent), 0);
    up(&mut socket, index)?;
    Ok(index)
}

fn link(end: End<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(end.name.to_owned()));
    message.attributes.push(LinkAttribute::Address(end.mac.to_vec()));
    message
}

fn up(socket: &mut RequestSocket, index: u32) -> Result<(), RequestError> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    socket.set(RouteNetlinkMessage::SetLink(message), 0)
}

/// Removes an interface, if it is there.
pub fn remove(name: &str) -> io::Result<()> {
    remove_with(&mut RequestSocket::open(NETLINK_ROUTE)?, name)
}

fn remove_with(socket: &mut RequestSocket, name: &str) -> io::Result<()> {
    let Ok(index) = if_nametoindex(name) else { return Ok(()) };
    let mut message = LinkMessage::default();
    message.header.index = index;
    match socket.set(RouteNetlinkMessage::DelLink(message), 0) {
        // It went by itself meanwhile.
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        other => Ok(other?),
    }
}

/// To be called in the namespace of `name`: whole frames with finished
/// checksums are what leaves it, for the program at the other end. Returns its
/// index.
pub fn prepare_inner(name: &str, other: [u8; 6], networks: &[Network]) -> io::Result<u32> {
    let mut socket = RequestSocket::open(NETLINK_ROUTE)?;
    Ethtool::open()?.send_plain_frames(name)?;
    let index = if_nametoindex(name)?;
    up(&mut socket, index)?;
    for network in networks {
        match give(&mut socket, index, other, network) {
            // Without IPv6 there are no VIPs of that family either.
            Err(_) if network.own.is_ipv6() => {}
            result => result?,
        }
    }
    Ok(index)
}

fn give(
    socket: &mut RequestSocket,
    index: u32,
    other: [u8; 6],
    network: &Network,
) -> Result<(), RequestError> {
    let new = NLM_F_CREATE | NLM_F_REPLACE;
    socket.set(address(index, network.own), new)?;
    socket.set(neighbour(index, network.gateway, other), new)?;
    socket.set(route(index, network), new)
}

const fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn address(index: u32, address: IpAddr) -> RouteNetlinkMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(address);
    message.header.prefix_len = if address.is_ipv4() { 32 } else { 128 };
    // Nobody else is there who could have it.
    message.header.flags = AddressHeaderFlags::Nodad;
    message.header.index = index;
    message.attributes.push(AddressAttribute::Local(address));
    message.attributes.push(AddressAttribute::Address(address));
    RouteNetlinkMessage::NewAddress(message)
}

fn neighbour(index: u32, address: IpAddr, mac: [u8; 6]) -> RouteNetlinkMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = family(address);
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    let destination = match address {
        IpAddr::V4(v4) => NeighbourAddress::Inet(v4),
        IpAddr::V6(v6) => NeighbourAddress::Inet6(v6),
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.to_vec()));
    RouteNetlinkMessage::NewNeighbour(message)
}

fn route(index: u32, network: &Network) -> RouteNetlinkMessage {
    let of = |address| match address {
        IpAddr::V4(v4) => RouteAddress::Inet(v4),
        IpAddr::V6(v6) => RouteAddress::Inet6(v6),
    };
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family(network.own),
        destination_prefix_length: network.prefix.1,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        scope: RouteScope::Universe,
        kind: RouteType::Unicast,
        flags: RouteFlags::Onlink,
        ..RouteHeader::default()
    };
    message.attributes.push(RouteAttribute::Destination(of(network.prefix.0)));
    message.attributes.push(RouteAttribute::Gateway(of(network.gateway)));
    message.attributes.push(RouteAttribute::Oif(index));
    message.attributes.push(RouteAttribute::Metrics(vec![
        RouteMetric::Mtu(network.mtu),
        RouteMetric::Advmss(network.mss),
    ]));
    RouteNetlinkMessage::NewRoute(message)
}
