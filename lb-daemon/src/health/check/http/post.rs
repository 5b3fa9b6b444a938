//! A text posted to a web server: the HTTP of the checks, for what is no probe.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::{
    super::{Failure, Stage, Step, milliseconds, tls},
    exchange,
};
use crate::config::{HttpCheck, Method, StatusRange, Url, Verify};

/// Good answers.
const GOOD: StatusRange = StatusRange(200..=299);

/// Posts JSON, each time over a connection of its own.
#[derive(Default)]
pub struct Poster {
    trust: tls::Trust,
}

impl Poster {
    /// Until the answer's status is known, for `patience` at most; or why not.
    pub async fn post(
        &self,
        url: &Url,
        verify: &Verify,
        json: &str,
        patience: Duration,
    ) -> Result<(), String> {
        let step = Step::default();
        match timeout(patience, self.attempt(url, verify, json, (&step, patience))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Failure::Fails(why) | Failure::Gone(why) | Failure::NotMade(why))) => Err(why),
            Err(_) => Err(format!("{step} within {}", milliseconds(patience))),
        }
    }

    async fn attempt(
        &self,
        url: &Url,
        verify: &Verify,
        json: &str,
        (step, patience): (&Step, Duration),
    ) -> Result<(), Failure> {
        let judged_by = HttpCheck {
            method: Method::Post,
            path: url.path.clone(),
            host: None,
            status: vec![GOOD],
            body: None,
        };
        let request = request(url, json);
        let (stream, address) = connect(url, patience).await?;
        if !url.tls {
            step.set(Stage::Waiting);
            return exchange(stream, &request, &judged_by, step).await;
        }
        let config = self.trust.config(verify).await?;
        step.set(Stage::Handshaking);
        let name = url.address().is_none().then_some(url.host.as_str());
        let stream = tls::handshake(stream, config, name, address).await?;
        exchange(stream, &request, &judged_by, step).await
    }
}

fn request(url: &Url, json: &str) -> String {
    format!(
        "POST {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: lb-daemon/{}\r\nAccept: */*\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
        url.path,
        url.authority(),
        env!("CARGO_PKG_VERSION"),
        json.len()
    )
}

/// The first address of the host that accepts. One that is silent leaves time for
/// the others.
async fn connect(url: &Url, patience: Duration) -> Result<(TcpStream, IpAddr), Failure> {
    let found: Vec<SocketAddr> = match lookup_host((url.host.as_str(), url.port)).await {
        Ok(found) => found.collect(),
        Err(error) => return Err(Failure::NotMade(format!("{}: {error}", url.host))),
    };
    let share = patience / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = Failure::NotMade(format!("{} has no address", url.host));
    for address in found {
        failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address.ip())),
            Ok(Err(error)) => error.into(),
            Err(_) => Failure::Fails(format!("{address} does not answer")),
        }
    }
    Err(failure)
}
