//! The TCP check: connect, and close with a reset.

use std::{io, net::SocketAddr};

use tokio::net::{TcpSocket, TcpStream};

use super::Endpoint;

/// A connection that ends with a reset.
pub async fn connect(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let socket = match endpoint.to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Closed with RST: thousands of probes per second would else leave as many
    // sockets in TIME_WAIT. Set beforehand, so that it also holds when the probe
    // is abandoned.
    socket.set_zero_linger()?;
    if let Some(from) = endpoint.from {
        socket.set_reuseaddr(true)?;
        socket.bind(from)?;
    }
    socket.connect(endpoint.to).await
}
