//! The UDP check: a datagram that is to be answered. One that is answered with
//! ICMP unreachable says that nothing is there.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::UdpSocket;

use super::{Endpoint, Failure};
use crate::config::UdpCheck;

/// As much of an answer as is looked at.
pub const MOST_ANSWER: usize = 4096;

pub async fn ask(endpoint: &Endpoint, check: &UdpCheck) -> Result<(), Failure> {
    let socket = connect(endpoint).await?;
    socket.send(&check.send.bytes).await.map_err(failure)?;
    let mut answer = vec![0; MOST_ANSWER];
    let length = socket.recv(&mut answer).await.map_err(failure)?;
    match &check.expect {
        Some(pattern) if !pattern.is_in(&answer[..length]) => {
            Err(Failure::Fails(format!("{length} bytes of answer do not have {pattern}")))
        }
        _ => Ok(()),
    }
}

/// Takes datagrams and ICMP errors from there only.
pub async fn connect(endpoint: &Endpoint) -> io::Result<UdpSocket> {
    let any: SocketAddr = match endpoint.to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(endpoint.from.unwrap_or(any)).await?;
    socket.connect(endpoint.to).await?;
    Ok(socket)
}

pub fn failure(error: io::Error) -> Failure {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Failure::Gone("port unreachable".into()),
        _ => error.into(),
    }
}
