//! The HTTP checks: one request over HTTP/1.1, and as much of the answer as it
//! takes to judge it. No redirect is followed.

mod body;
mod response;

use std::{io, net::SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use self::response::{Judge, Verdict};
use super::{Endpoint, Failure, Stage, Step, tcp, tls};
use crate::config::{HttpCheck, HttpsCheck};

const READ_AT_ONCE: usize = 8192;

pub async fn plain(endpoint: &Endpoint, check: &HttpCheck, step: &Step) -> Result<(), Failure> {
    let stream = tcp::connect(endpoint).await?;
    exchange(stream, endpoint.name, 80, check, step).await
}

pub async fn over_tls(
    endpoint: &Endpoint,
    check: &HttpsCheck,
    trust: &tls::Trust,
    step: &Step,
) -> Result<(), Failure> {
    let config = trust.config(&check.verify).await?;
    let stream = tcp::connect(endpoint).await?;
    step.set(Stage::Handshaking);
    let name = check.server_name.as_deref().or(check.http.host.as_deref());
    let stream = tls::handshake(stream, config, name, endpoint.name.ip()).await?;
    exchange(stream, endpoint.name, 443, &check.http, step).await
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    address: SocketAddr,
    usual_port: u16,
    check: &HttpCheck,
    step: &Step,
) -> Result<(), Failure> {
    step.set(Stage::Waiting);
    stream.write_all(request(address, usual_port, check).as_bytes()).await?;
    stream.flush().await?;
    let mut judge = Judge::new(check);
    let mut buffer = vec![0; READ_AT_ONCE];
    loop {
        let read = match stream.read(&mut buffer).await {
            Ok(read) => read,
            // Over TLS: closed without a word of farewell, as many servers do.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Failure::Fails(judge.reset()));
            }
            Err(error) => return Err(error.into()),
        };
        step.set(Stage::Reading);
        let verdict = if read == 0 { judge.end() } else { judge.take(&buffer[..read]) };
        match verdict {
            Verdict::More => {}
            Verdict::Works => return Ok(()),
            Verdict::Fails(why) => return Err(Failure::Fails(why)),
        }
    }
}

fn request(address: SocketAddr, usual_port: u16, check: &HttpCheck) -> String {
    let host = match &check.host {
        Some(host) => host.clone(),
        None if address.port() != usual_port => address.to_string(),
        None if address.is_ipv6() => format!("[{}]", address.ip()),
        None => address.ip().to_string(),
    };
    let (method, path) = (check.method.name(), &check.path);
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: lb-daemon/{}\r\nAccept: */*\r\n\
         {length}Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::check::testing::http_check;

    #[test]
    fn a_request_names_the_host() {
        let v4: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        for (address, check, expected) in [
            (v4, "", "Host: 192.0.2.1\r\n"),
            (v6, "", "Host: [2001:db8::1]\r\n"),
            ("192.0.2.1:8080".parse().unwrap(), "", "Host: 192.0.2.1:8080\r\n"),
            (v4, "host: www.example.com", "Host: www.example.com\r\n"),
            (v4, "method: POST", "Content-Length: 0\r\n"),
            (v4, "method: HEAD, path: '/a?b=c'", "HEAD /a?b=c HTTP/1.1\r\n"),
        ] {
            let request = request(address, 80, &http_check(check));
            assert!(request.contains(expected), "{request}");
            assert!(request.ends_with("Connection: close\r\n\r\n"), "{request}");
        }
    }
}
