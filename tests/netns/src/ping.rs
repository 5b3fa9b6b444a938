//! Echo requests, through the kernel's own ping sockets.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use lb_test_lab::Host;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

/// Sends echo requests one after another; returns how many were answered with what was
/// sent. The kernel drops replies whose checksum is wrong.
pub fn ping(client: &Host, to: impl Into<IpAddr>, times: u8) -> usize {
    let to = to.into();
    client.sysctl(&["net.ipv4.ping_group_range=0 0"]).expect("sysctl sets the group of pings");
    client
        .enter(|| (0..times).filter(|number| is_answered(to, *number)).count())
        .expect("the client is there")
}

fn is_answered(to: IpAddr, number: u8) -> bool {
    let (family, protocol, request, reply) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, 8, 0),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, 128, 129),
    };
    let fd = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, protocol)
        .expect("the kernel has ping sockets");
    let socket = UdpSocket::from(fd);
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The kernel fills in checksum and identifier.
    let message = [request, 0, 0, 0, 0, 0, 0, number, b'p', b'i', b'n', b'g', number];
    if socket.send_to(&message, (to, 0)).is_err() {
        return false;
    }
    let mut answer = [0; 64];
    socket.recv(&mut answer).is_ok_and(|length| {
        length == message.len() && answer[0] == reply && answer[6..length] == message[6..]
    })
}
