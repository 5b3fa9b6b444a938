//! Probes against servers on this host that behave and that do not.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

use super::{testing::target, *};

const PATIENT: &str = "interval: 1h, timeout: 20s";

async fn probe(address: SocketAddr, keys: &str) -> Outcome {
    Checks::new(None).probe(&target(address, keys)).await
}

fn works(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Works(_))
}

fn fails(why: &str) -> Outcome {
    Outcome::Fails(why.into())
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A server that does `serve` with every connection.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Takes the request and answers it with `answer`.
async fn answering(answer: &'static [u8]) -> SocketAddr {
    server(move |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await.unwrap();
        // The probe may have seen enough.
        let _ = stream.write_all(answer).await;
    })
    .await
}

mod tcp {
    use super::*;

    #[tokio::test]
    async fn a_listener_works_even_before_it_accepts() {
        let (_listener, address) = listener().await;
        assert!(works(&probe(address, PATIENT).await));
    }

    #[tokio::test]
    async fn ipv6_works() {
        let listener = TcpListener::bind("[::1]:0").await.unwrap();
        assert!(works(&probe(listener.local_addr().unwrap(), PATIENT).await));
    }

    #[tokio::test]
    async fn the_connection_is_closed_with_a_reset() {
        let (listener, address) = listener().await;
        assert!(works(&probe(address, PATIENT).await));
        let (mut connection, _) = listener.accept().await.unwrap();
        let error = connection.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[tokio::test]
    async fn a_closed_port_is_gone() {
        let (listener, address) = listener().await;
        drop(listener);
        assert_eq!(probe(address, PATIENT).await, Outcome::Gone("connection refused".into()));
    }

    #[tokio::test]
    async fn a_full_backlog_fails_but_is_not_gone() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        // The backlog takes one or two connections; they must stay open to fill it.
        let mut held = Vec::new();
        let connect = || TcpStream::connect(listener.local_addr().unwrap());
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), connect()).await {
            held.push(stream.unwrap());
            assert!(held.len() < 16, "the backlog does not fill");
        }
        let outcome = probe(listener.local_addr().unwrap(), "timeout: 200ms").await;
        assert_eq!(outcome, fails("no answer within 200 ms"));
    }
}

mod http {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_judged() {
        let address = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n").await;
        for (keys, expected) in [
            ("", None),
            ("body: ok", None),
            ("body: '/^ok$/'", Some("HTTP 200, but 3 bytes of body do not have \"/^ok$/\"")),
            ("status: 204", Some("HTTP 200, expected 204")),
        ] {
            let outcome = probe(address, &format!("{PATIENT}, type: http, {keys}")).await;
            match expected {
                None => assert!(works(&outcome), "{keys}: {outcome:?}"),
                Some(why) => assert_eq!(outcome, fails(why), "{keys}"),
            }
        }
    }

    #[tokio::test]
    async fn servers_that_do_not_behave() {
        let http = format!("type: http, {PATIENT}");
        let cut = answering(b"HTTP/1.1 200").await;
        assert_eq!(probe(cut, &http).await, fails("the answer was cut at 12 bytes"));
        let closing = answering(b"").await;
        assert_eq!(
            probe(closing, &http).await,
            fails("it closed the connection without an answer")
        );
        let garbage = answering(b"\x00\x01\x02").await;
        assert_eq!(probe(garbage, &http).await, fails("not an HTTP answer: \"\\x00\\x01\\x02\""));
        let resetting = server(|stream| async move {
            stream.readable().await.unwrap();
            stream.set_zero_linger().unwrap();
        })
        .await;
        assert_eq!(
            probe(resetting, &http).await,
            fails("it reset the connection instead of an answer")
        );
    }

    #[tokio::test]
    async fn a_server_that_hangs_says_where() {
        let silent = server(|stream| async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        })
        .await;
        let slow = |keys: &str| format!("timeout: 300ms, {keys}");
        assert_eq!(
            probe(silent, &slow("type: http")).await,
            fails("connected, but no answer within 300 ms")
        );
        assert_eq!(
            probe(silent, &slow("type: https")).await,
            fails("connected, but no TLS handshake within 300 ms")
        );
        let half = server(|mut stream| async move {
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(
            probe(half, &slow("type: http")).await,
            fails("no complete answer within 300 ms")
        );
    }

    #[tokio::test]
    async fn a_flood_ends_with_the_first_bytes_that_are_looked_at() {
        let flooding = server(|mut stream| async move {
            let head = b"HTTP/1.1 200 OK\r\n\r\n";
            let mut sent = stream.write_all(head).await;
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 65_536]).await;
            }
        })
        .await;
        assert_eq!(
            probe(flooding, &format!("type: http, body: ok, {PATIENT}")).await,
            fails("HTTP 200, but the first 65536 bytes of body do not have \"ok\"")
        );
    }
}

mod udp {
    use super::*;

    /// Answers every datagram with `answer`.
    async fn answering(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                socket.send_to(&answer(&buffer[..length]), from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn an_answer_is_compared() {
        let echo = answering(<[u8]>::to_vec).await;
        let keys = |keys: &str| format!("type: udp, {PATIENT}, send: 'hex:00 70 69 6e 67', {keys}");
        assert!(works(&probe(echo, &keys("")).await));
        assert!(works(&probe(echo, &keys("expect: ping")).await));
        assert!(works(&probe(echo, &keys("expect: 'hex:0070'")).await));
        assert_eq!(
            probe(echo, &keys("expect: pong")).await,
            fails("5 bytes of answer do not have \"pong\"")
        );
    }

    #[tokio::test]
    async fn silence_fails_and_a_closed_port_is_gone() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let outcome = probe(address, "type: udp, send: ping, timeout: 300ms").await;
        assert_eq!(outcome, fails("no answer within 300 ms"));
        drop(socket);
        let outcome = probe(address, &format!("type: udp, send: ping, {PATIENT}")).await;
        assert_eq!(outcome, Outcome::Gone("port unreachable".into()));
    }

    #[tokio::test]
    async fn dns_that_is_no_dns() {
        let keys = format!("type: dns, query: example.com, {PATIENT}");
        let echo = answering(<[u8]>::to_vec).await;
        assert_eq!(probe(echo, &keys).await, fails("it sent a query back, not an answer"));
        let strays = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = strays.local_addr().unwrap();
        tokio::spawn(async move {
            let (_, from) = strays.recv_from(&mut [0; 512]).await.unwrap();
            for _ in 0..1000 {
                // Nobody may listen any more.
                let _ = strays.send_to(b"x", from).await;
            }
        });
        assert_eq!(probe(address, &keys).await, fails("16 datagrams, and none is the answer"));
    }
}

#[test]
fn a_shortage_on_this_host_proves_nothing() {
    for code in [libc::EMFILE, libc::ENOBUFS, libc::EADDRNOTAVAIL] {
        let failure = Failure::from(io::Error::from_raw_os_error(code));
        assert!(matches!(failure, Failure::NotMade(_)), "{failure:?}");
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
        let failure = Failure::from(io::Error::from_raw_os_error(code));
        assert_eq!(matches!(failure, Failure::Gone(_)), gone, "{failure:?}");
        assert_eq!(matches!(failure, Failure::Fails(_)), !gone, "{failure:?}");
    }
}
