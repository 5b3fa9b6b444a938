//! One probe, and what its outcome means.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use super::{
    state::Outcome,
    target::{Check, Target},
    tcp,
};

/// How a target is probed; tests have their own.
pub trait Probe: Send + Sync + 'static {
    fn probe(&self, target: &Target) -> impl Future<Output = Outcome> + Send;
}

/// Probes over the network.
pub struct Sockets;

impl Probe for Sockets {
    async fn probe(&self, target: &Target) -> Outcome {
        let attempt = match target.check {
            Check::Tcp { port } => tcp::connect(SocketAddr::new(target.address, port)),
        };
        match tokio::time::timeout(target.timeout, attempt).await {
            Ok(Ok(())) => Outcome::Works,
            Ok(Err(error)) => classify(&error),
            Err(_) => Outcome::Fails(format!("no answer within {}", milliseconds(target.timeout))),
        }
    }
}

fn classify(error: &io::Error) -> Outcome {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => Outcome::Gone("connection refused".into()),
        Some(libc::EHOSTUNREACH) => Outcome::Gone("host unreachable".into()),
        Some(libc::ENETUNREACH) => Outcome::Gone("network unreachable".into()),
        // This host is short of something. No reason to take every backend out.
        Some(
            libc::EMFILE
            | libc::ENFILE
            | libc::ENOBUFS
            | libc::ENOMEM
            | libc::EADDRNOTAVAIL
            | libc::EAGAIN,
        ) => Outcome::NotMade(error.to_string()),
        Some(libc::EPERM | libc::EACCES) => {
            Outcome::Fails(format!("{error}; does a firewall on this host forbid the probe?"))
        }
        _ => Outcome::Fails(error.to_string()),
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const PATIENT: Duration = Duration::from_secs(20);

    fn target(address: SocketAddr, timeout: Duration) -> Target {
        Target {
            address: address.ip(),
            check: Check::Tcp { port: address.port() },
            interval: Duration::from_secs(1),
            timeout,
            rise: 1,
            fall: 1,
        }
    }

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_listener_works_even_before_it_accepts() {
        let (_listener, address) = listener().await;
        assert_eq!(Sockets.probe(&target(address, PATIENT)).await, Outcome::Works);
    }

    #[tokio::test]
    async fn ipv6_works() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(Sockets.probe(&target(address, PATIENT)).await, Outcome::Works);
    }

    #[tokio::test]
    async fn the_connection_is_closed_with_a_reset() {
        use tokio::io::AsyncReadExt;
        let (listener, address) = listener().await;
        assert_eq!(Sockets.probe(&target(address, PATIENT)).await, Outcome::Works);
        let (mut connection, _) = listener.accept().await.unwrap();
        let error = connection.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_closed_port_is_gone() {
        let (listener, address) = listener().await;
        drop(listener);
        let outcome = Sockets.probe(&target(address, PATIENT)).await;
        assert_eq!(outcome, Outcome::Gone("connection refused".into()));
    }

    #[tokio::test]
    async fn a_full_backlog_fails_but_is_not_gone() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let target = target(listener.local_addr().unwrap(), Duration::from_millis(200));
        // The backlog takes one or two connections; they must stay open to fill it.
        let mut held = Vec::new();
        let connect = || tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), connect()).await {
            held.push(stream.unwrap());
            assert!(held.len() < 16, "the backlog does not fill");
        }
        let outcome = Sockets.probe(&target).await;
        assert_eq!(outcome, Outcome::Fails("no answer within 200 ms".into()));
    }

    #[test]
    fn a_shortage_on_this_host_proves_nothing() {
        for code in [libc::EMFILE, libc::ENOBUFS, libc::EADDRNOTAVAIL] {
            let outcome = classify(&io::Error::from_raw_os_error(code));
            assert!(matches!(outcome, Outcome::NotMade(_)), "{outcome:?}");
        }
    }

    #[test]
    fn unreachable_is_gone_and_other_errors_fail() {
        for (code, gone) in [
            (libc::EHOSTUNREACH, true),
            (libc::ENETUNREACH, true),
            (libc::ECONNRESET, false),
            (libc::EPERM, false),
        ] {
            let outcome = classify(&io::Error::from_raw_os_error(code));
            assert_eq!(matches!(outcome, Outcome::Gone(_)), gone, "{outcome:?}");
            assert_eq!(matches!(outcome, Outcome::Fails(_)), !gone, "{outcome:?}");
        }
    }
}
