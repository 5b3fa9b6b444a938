//! A query to one server and back.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use super::message::{self, Records, Reply};

/// Asks by UDP, and again by TCP if the reply did not fit a datagram. Takes as
/// long as it takes: the caller sets the time.
pub async fn exchange(server: SocketAddr, name: &str, records: Records) -> io::Result<Reply> {
    match by_udp(server, name, records).await? {
        Reply::Truncated => by_tcp(server, name, records).await,
        reply => Ok(reply),
    }
}

/// From a port of its own, of the kernel's choice, that takes datagrams of the
/// server only: who wants to forge a reply must guess port and number.
async fn by_udp(server: SocketAddr, name: &str, records: Records) -> io::Result<Reply> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let id = random_id();
    socket.send(&query(id, name, records)?).await?;
    let mut buffer = [0; message::MAX_DATAGRAM as usize];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(reply) = message::reply(&buffer[..length], id, name, records) {
            return Ok(reply);
        }
    }
}

async fn by_tcp(server: SocketAddr, name: &str, records: Records) -> io::Result<Reply> {
    let mut stream = TcpStream::connect(server).await?;
    let id = random_id();
    let query = query(id, name, records)?;
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], &query].concat()).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    match message::reply(&buffer, id, name, records) {
        Some(Reply::Truncated) | None => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "what came by TCP is no whole reply"))
        }
        Some(reply) => Ok(reply),
    }
}

fn query(id: u16, name: &str, records: Records) -> io::Result<Vec<u8>> {
    let cannot = || io::Error::new(io::ErrorKind::InvalidInput, "the name is too long");
    message::query(id, name, records).ok_or_else(cannot)
}

/// The standard library's hash keys are random.
fn random_id() -> u16 {
    RandomState::new().build_hasher().finish() as u16
}
