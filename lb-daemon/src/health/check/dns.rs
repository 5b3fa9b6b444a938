//! The DNS check: a query over UDP.

use std::hash::{BuildHasher, RandomState};

use super::{
    Endpoint, Failure,
    dns_message::{Judged, judge, query},
    udp::{self, MOST_ANSWER},
};
use crate::config::DnsCheck;

/// Datagrams that are not the answer, before the probe is given up.
const MOST_STRAYS: u32 = 16;

pub async fn ask(endpoint: &Endpoint, check: &DnsCheck) -> Result<(), Failure> {
    let socket = udp::connect(endpoint).await?;
    // Keyed anew by the system for each `RandomState`.
    let id = RandomState::new().hash_one(endpoint.to) as u16;
    let query = query(id, check).map_err(Failure::NotMade)?;
    socket.send(&query).await.map_err(udp::failure)?;
    let mut answer = vec![0; MOST_ANSWER];
    for _ in 0..MOST_STRAYS {
        let length = socket.recv(&mut answer).await.map_err(udp::failure)?;
        match judge(id, check, &answer[..length]) {
            Judged::Stray => {}
            Judged::Works => return Ok(()),
            Judged::Fails(why) => return Err(Failure::Fails(why)),
        }
    }
    Err(Failure::Fails(format!("{MOST_STRAYS} datagrams, and none is the answer")))
}
