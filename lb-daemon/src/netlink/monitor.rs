//! The handle to the thread that follows the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    net::IpAddr,
    os::unix::net::UnixStream,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

use tokio::sync::{oneshot, watch};

use super::{
    LinkStatistics, Links, LocalAddresses, NextHops,
    worker::{Command, Publishers, Worker},
};

#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    #[error("cannot open a netlink socket: {0}")]
    Open(#[source] io::Error),
    #[error("cannot list interfaces, addresses and neighbours through netlink: {0}")]
    List(#[source] io::Error),
    #[error("cannot start the netlink thread: {0}")]
    Thread(#[source] io::Error),
    #[error("cannot read the interfaces' counters through netlink: {0}")]
    Statistics(#[source] io::Error),
    #[error("the netlink thread has ended; its last log line says why")]
    Ended,
}

/// Follows interfaces, addresses, routes and neighbours.
///
/// Everything is published as state, not as a stream of events: a receiver
/// sees the latest, and compares it with what it acted on last
/// ([`Links::changes_since`]). If the thread ends, receivers see their channel
/// closed.
pub struct Monitor {
    commands: mpsc::Sender<Command>,
    waker: UnixStream,
    thread: JoinHandle<()>,
    next_hops: watch::Receiver<Arc<NextHops>>,
    links: watch::Receiver<Arc<Links>>,
    addresses: watch::Receiver<Arc<LocalAddresses>>,
}

impl Monitor {
    /// Opens the sockets, in the network namespace of the calling thread, and
    /// lists what is there, so that the receivers start out complete.
    pub fn start() -> Result<Self, MonitorError> {
        let (commands, inbox) = mpsc::channel();
        let (waker, woken) = UnixStream::pair().map_err(MonitorError::Open)?;
        for end in [&waker, &woken] {
            end.set_nonblocking(true).map_err(MonitorError::Open)?;
        }
        let (publishers, receivers) = Publishers::new();
        let mut worker = Worker::open(inbox, woken, publishers).map_err(MonitorError::Open)?;
        worker.list().map_err(MonitorError::List)?;
        let thread = std::thread::Builder::new().name("netlink".into());
        let thread = thread.spawn(move || worker.run()).map_err(MonitorError::Thread)?;
        let (next_hops, links, addresses) = receivers;
        Ok(Self { commands, waker, thread, next_hops, links, addresses })
    }

    /// Makes `targets` the addresses whose next hops are resolved and kept
    /// fresh. Neighbours of those no longer among them are released.
    pub fn watch(&self, targets: impl IntoIterator<Item = IpAddr>) {
        self.send(Command::Watch(targets.into_iter().collect::<BTreeSet<_>>()));
    }

    /// Packets for `target` find no next hop: resolve it now.
    pub fn hurry(&self, target: IpAddr) {
        self.send(Command::Hurry(target));
    }

    /// An address is in the map once it has been looked up.
    pub fn next_hops(&self) -> watch::Receiver<Arc<NextHops>> {
        self.next_hops.clone()
    }

    pub fn links(&self) -> watch::Receiver<Arc<Links>> {
        self.links.clone()
    }

    pub fn addresses(&self) -> watch::Receiver<Arc<LocalAddresses>> {
        self.addresses.clone()
    }

    /// Reads the interfaces' counters, by index, and brings [`Self::links`] up
    /// to date: the kernel does not announce programs attached through links.
    pub async fn statistics(&self) -> Result<BTreeMap<u32, LinkStatistics>, MonitorError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Statistics(reply));
        let statistics = answer.await.map_err(|_| MonitorError::Ended)?;
        statistics.map_err(MonitorError::Statistics)
    }

    /// Ends the thread when it has done what it was told. Neighbours stay as
    /// they are: an empty [`Self::watch`] before releases them.
    pub fn stop(self) {
        self.send(Command::Stop);
        if self.thread.join().is_err() {
            tracing::error!("the netlink thread had panicked");
        }
    }

    fn send(&self, command: Command) {
        // Fails only when the thread has ended, which the receivers show.
        if self.commands.send(command).is_ok() {
            // A full pipe wakes it as well.
            let _ = (&self.waker).write(&[0]);
        }
    }
}
