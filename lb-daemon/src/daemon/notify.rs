//! What the service manager is told (sd_notify): one datagram each.

use std::{
    env,
    os::linux::net::SocketAddrExt,
    os::unix::net::{SocketAddr, UnixDatagram},
};

use nix::{
    sys::time::TimeValLike,
    time::{ClockId, clock_gettime},
};
use tracing::debug;

#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// Started, or done with a reload, whatever came of it.
    Ready,
    Reloading,
    Stopping,
}

/// Does nothing where no service manager asked for it.
pub fn notify(notice: Notice) {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return };
    let text = match notice {
        Notice::Ready => "READY=1".to_owned(),
        Notice::Reloading => format!("RELOADING=1\nMONOTONIC_USEC={}", microseconds()),
        Notice::Stopping => "STOPPING=1".to_owned(),
    };
    let path = path.to_string_lossy();
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&*path),
    };
    let sent = address
        .and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    if let Err(error) = sent {
        debug!("the service manager at {path} cannot be told {text}: {error}");
    }
}

/// By the clock that the service manager dates reloads with.
fn microseconds() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every kernel has this clock");
    now.num_microseconds()
}
