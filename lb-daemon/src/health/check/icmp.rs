//! The ICMP check: an echo request.
//!
//! Sent from a ping socket, which needs no privilege where the group of this
//! process is in `net.ipv4.ping_group_range`; else from a raw one, which needs
//! CAP_NET_RAW and sees all ICMP messages of the target.

use std::{
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, SocketAddr},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::Failure;

/// Messages that are not the reply, before the probe is given up.
const MOST_STRAYS: u32 = 64;
/// Room for an IPv4 header with options and the reply.
const MOST_ANSWER: usize = 256;
const HEADER: usize = 8;

pub async fn echo(address: IpAddr) -> Result<(), Failure> {
    let socket = open(address)?;
    let request = Echo::new();
    socket.send(&request.message(address)).await?;
    let mut answer = [0; MOST_ANSWER];
    for _ in 0..MOST_STRAYS {
        let length = socket.recv(&mut answer).await?;
        if request.is_answered_by(&answer[..length], address) {
            return Ok(());
        }
    }
    Err(Failure::Fails(format!("{MOST_STRAYS} ICMP messages, and none is the reply")))
}

fn open(address: IpAddr) -> Result<UdpSocket, Failure> {
    let (domain, protocol) = match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))
        .or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)))
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Failure::NotMade(
                "echo requests are not permitted: let net.ipv4.ping_group_range include this \
                 process's group, or give it CAP_NET_RAW"
                    .into(),
            ),
            _ => error.into(),
        })?;
    connected(socket, address).map_err(Failure::from)
}

/// To the standard library it is a socket of datagrams like any other.
fn connected(socket: Socket, address: IpAddr) -> io::Result<UdpSocket> {
    socket.set_nonblocking(true)?;
    socket.connect(&SocketAddr::new(address, 0).into())?;
    UdpSocket::from_std(socket.into())
}

/// An echo request that its reply is known by.
struct Echo {
    token: [u8; 8],
}

impl Echo {
    fn new() -> Self {
        // Keyed anew by the system for each `RandomState`.
        Self { token: RandomState::new().hash_one(()).to_ne_bytes() }
    }

    /// Identifier (which the kernel sets on a ping socket) and data are the token.
    fn message(&self, address: IpAddr) -> [u8; HEADER + 8] {
        let mut message = [0; HEADER + 8];
        message[0] = if address.is_ipv4() { 8 } else { 128 };
        message[4..6].copy_from_slice(&self.token[..2]);
        message[HEADER..].copy_from_slice(&self.token);
        // Over IPv6 the kernel does this.
        if address.is_ipv4() {
            let sum = checksum(&message);
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        message
    }

    fn is_answered_by(&self, received: &[u8], address: IpAddr) -> bool {
        let (reply, message) = match address {
            IpAddr::V4(_) => (0, without_ip_header(received)),
            IpAddr::V6(_) => (129, received),
        };
        message.first() == Some(&reply) && message.get(HEADER..) == Some(&self.token)
    }
}

/// A raw IPv4 socket gives it, a ping socket does not; no echo reply begins
/// like one.
fn without_ip_header(received: &[u8]) -> &[u8] {
    match received.first() {
        Some(first) if first >> 4 == 4 => {
            received.get(usize::from(first & 15) * 4..).unwrap_or_default()
        }
        _ => received,
    }
}

/// Of an even number of bytes (RFC 1071).
fn checksum(message: &[u8]) -> u16 {
    let words =
        message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn a_request_sums_up() {
        let message = Echo::new().message(V4);
        assert_eq!(message[0], 8);
        assert_eq!(checksum(&message), 0);
    }

    #[test]
    fn only_the_reply_is_one() {
        let echo = Echo::new();
        for (address, request, reply) in [(V4, 8, 0), (V6, 128, 129)] {
            let mut message = echo.message(address).to_vec();
            assert_eq!(message[0], request);
            assert!(!echo.is_answered_by(&message, address), "its own request");
            message[0] = reply;
            assert!(echo.is_answered_by(&message, address));
            assert!(!Echo::new().is_answered_by(&message, address), "of another probe");
            assert!(!echo.is_answered_by(&message[..15], address), "cut");
            let mut packet = vec![0x46; 24];
            packet.extend(&message);
            assert_eq!(echo.is_answered_by(&packet, address), address.is_ipv4());
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_reply(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(!Echo::new().is_answered_by(&bytes, V4));
            prop_assert!(!Echo::new().is_answered_by(&bytes, V6));
        }
    }

    /// Where neither kind of socket is permitted, that is what is said.
    #[tokio::test]
    async fn this_host_answers_itself() {
        for address in [V4, V6] {
            match echo(address).await {
                Ok(()) => {}
                Err(Failure::NotMade(why)) => assert!(why.contains("ping_group_range"), "{why}"),
                Err(failure) => panic!("{failure:?}"),
            }
        }
    }
}
