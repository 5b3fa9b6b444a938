//! The thread between the kernel and the resolver.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    net::IpAddr,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{oneshot, watch};

use super::{
    LinkStatistics, Links, LocalAddresses, NextHops,
    event::{self, Event},
    kernel::Kernel,
    neighbour::NeighbourKey,
    request_error::RequestError,
    resolver::Resolver,
    socket::{EventSocket, Received},
    wanted::Request,
};

/// Events come in bursts: so long after the first, routes are looked up.
const SETTLING: Duration = Duration::from_millis(5);
/// Lookups take at most one part in this many of the thread's time, and no
/// more than [`LONGEST_PAUSE`] lies between two rounds.
const LOOKUP_SHARE: u32 = 5;
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Datagrams read before other work has its turn.
const EVENTS_AT_ONCE: usize = 1024;
/// Discovered path MTUs come and expire without an event.
const REFRESH: Duration = Duration::from_secs(30);
/// After a failure to talk to the kernel.
const RETRY: Duration = Duration::from_secs(1);

pub enum Command {
    Watch(BTreeSet<IpAddr>),
    Hurry(IpAddr),
    Statistics(oneshot::Sender<io::Result<BTreeMap<u32, LinkStatistics>>>),
    Stop,
}

/// Where the results go.
pub struct Publishers {
    next_hops: watch::Sender<Arc<NextHops>>,
    links: watch::Sender<Arc<Links>>,
    addresses: watch::Sender<Arc<LocalAddresses>>,
}

type Receivers = (
    watch::Receiver<Arc<NextHops>>,
    watch::Receiver<Arc<Links>>,
    watch::Receiver<Arc<LocalAddresses>>,
);

impl Publishers {
    pub fn new() -> (Self, Receivers) {
        let (next_hops, a) = watch::channel(Arc::default());
        let (links, b) = watch::channel(Arc::default());
        let (addresses, c) = watch::channel(Arc::default());
        (Self { next_hops, links, addresses }, (a, b, c))
    }
}

pub struct Worker {
    kernel: Kernel,
    events: EventSocket,
    inbox: mpsc::Receiver<Command>,
    woken: UnixStream,
    publishers: Publishers,
    resolver: Resolver,
    /// Earliest time of the next round of lookups.
    lookups_at: Instant,
    refresh_at: Instant,
    /// A listing is due: events were lost, or the last listing failed.
    list_at: Option<Instant>,
    /// Neighbours that the kernel would not take: said once, not at every attempt.
    refused: BTreeSet<NeighbourKey>,
}

impl Worker {
    pub fn open(
        inbox: mpsc::Receiver<Command>,
        woken: UnixStream,
        publishers: Publishers,
    ) -> io::Result<Self> {
        let now = Instant::now();
        Ok(Self {
            kernel: Kernel::open()?,
            events: EventSocket::open()?,
            inbox,
            woken,
            publishers,
            resolver: Resolver::default(),
            lookups_at: now,
            refresh_at: now + REFRESH,
            list_at: None,
            refused: BTreeSet::new(),
        })
    }

    pub fn run(mut self) {
        loop {
            self.wait();
            self.hear();
            let stop = self.obey();
            self.list_if_due();
            self.look_up_if_due();
            self.settle();
            self.publish();
            if stop {
                return;
            }
        }
    }

    fn wait(&self) {
        let mut fds = [
            PollFd::new(self.events.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.woken.as_fd(), PollFlags::POLLIN),
        ];
        let lookups = self.resolver.has_stale().then_some(self.lookups_at);
        let deadlines = [self.resolver.deadline(), lookups, self.list_at, Some(self.refresh_at)];
        let timeout = deadlines.into_iter().flatten().min().map_or(PollTimeout::NONE, |at| {
            // Rounded up, so that the deadline has passed when it returns.
            let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
            PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX)
        });
        // An interrupted poll is a wake-up with nothing to read.
        let _ = poll(&mut fds, timeout);
    }

    fn hear(&mut self) {
        let quiet = !self.resolver.has_stale();
        let now = Instant::now();
        for _ in 0..EVENTS_AT_ONCE {
            match self.events.receive() {
                Ok(Received::Datagram(datagram)) => {
                    for event in event::decode_datagram(&datagram) {
                        self.resolver.event(event, now);
                    }
                }
                Ok(Received::Nothing) => break,
                Ok(Received::Overflow) => {
                    tracing::warn!("too many netlink events at once; listing everything again");
                    self.list_at = Some(now);
                }
                Err(error) => {
                    tracing::error!("cannot read netlink events: {error}; trying again");
                    self.list_at = Some(now + RETRY);
                    break;
                }
            }
        }
        if quiet && self.resolver.has_stale() {
            self.lookups_at = self.lookups_at.max(now + SETTLING);
        }
    }

    /// Does what the handle asked for. True at the end.
    fn obey(&mut self) -> bool {
        // Emptied before the inbox: a command sent meanwhile wakes again.
        while matches!(self.woken.read(&mut [0; 64]), Ok(1..)) {}
        loop {
            match self.inbox.try_recv() {
                Ok(Command::Watch(targets)) => {
                    self.resolver.watch(&targets);
                    self.lookups_at = Instant::now();
                }
                Ok(Command::Hurry(target)) => self.resolver.hurry(target, Instant::now()),
                Ok(Command::Statistics(reply)) => {
                    // The caller may have given up.
                    let _ = reply.send(self.statistics());
                }
                Err(mpsc::TryRecvError::Empty) => return false,
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return true,
            }
        }
    }

    fn list_if_due(&mut self) {
        let now = Instant::now();
        if self.list_at.is_some_and(|at| at <= now) {
            self.list_at = None;
            if let Err(error) = self.list() {
                tracing::error!("cannot list the network's state: {error}; trying again");
                self.list_at = Some(now + RETRY);
            }
        }
        if self.refresh_at <= now {
            self.refresh_at = now + REFRESH;
            self.resolver.all_stale();
        }
    }

    /// Lists interfaces, addresses and neighbours, and publishes them.
    pub fn list(&mut self) -> io::Result<()> {
        let listing = self.kernel.list()?;
        self.resolver.resynchronise(listing, Instant::now());
        self.publish();
        Ok(())
    }

    fn statistics(&mut self) -> io::Result<BTreeMap<u32, LinkStatistics>> {
        let (links, statistics) = self.kernel.links_and_statistics()?;
        let now = Instant::now();
        links.into_iter().for_each(|event| self.resolver.event(event, now));
        Ok(statistics)
    }

    fn look_up_if_due(&mut self) {
        let start = Instant::now();
        if !self.resolver.has_stale() || self.lookups_at > start {
            return;
        }
        for target in self.resolver.stale() {
            let lookup = self.kernel.look_up(target);
            self.resolver.looked_up(target, lookup);
        }
        let pause = start.elapsed() * (LOOKUP_SHARE - 1);
        self.lookups_at = Instant::now() + pause.min(LONGEST_PAUSE);
    }

    /// Until there is nothing more to ask: an answer may bring a next hop.
    fn settle(&mut self) {
        let requests = self.resolver.settle(Instant::now());
        if requests.is_empty() {
            return;
        }
        for request in requests {
            self.perform(request);
        }
        for request in self.resolver.settle(Instant::now()) {
            self.perform(request);
        }
    }

    fn perform(&mut self, request: Request) {
        let (key, performed) = match request {
            Request::Manage(key) => (key, self.kernel.manage(key)),
            Request::Resolve(key) => (key, self.kernel.resolve(key)),
            Request::Release(key) => {
                self.kernel.release(key);
                self.refused.remove(&key);
                return;
            }
        };
        match performed {
            Ok(()) => {
                self.refused.remove(&key);
                if matches!(request, Request::Manage(_)) {
                    self.confirm(key);
                }
            }
            Err(error) if self.refused.insert(key) => self.warn_refused(key, &error),
            Err(_) => {}
        }
    }

    /// Reads back what became of a neighbour.
    fn confirm(&mut self, key: NeighbourKey) {
        // Otherwise the event has to bring it.
        let Some(sighting) = self.kernel.neighbour(key) else {
            return;
        };
        self.resolver.event(Event::Neighbour(key, sighting), Instant::now());
        if !sighting.fixed && self.resolver.wanted().outcome(sighting.managed) {
            tracing::warn!(
                "this kernel cannot keep neighbours fresh by itself (NTF_EXT_MANAGED, \
                 Linux 5.16): asking for them every few seconds instead"
            );
        }
    }

    fn warn_refused(&self, key: NeighbourKey, error: &RequestError) {
        let NeighbourKey { ifindex, address } = key;
        let interface = self.resolver.links().get(ifindex).map_or("?", |link| &link.name);
        let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
        let hint = if error.raw_os_error() == Some(libc::ENOBUFS) {
            format!(": the table is full, raise net.{family}.neigh.default.gc_thresh3")
        } else {
            String::new()
        };
        tracing::warn!("cannot resolve neighbour {address} on {interface}: {error}{hint}");
    }

    fn publish(&mut self) {
        let changed = self.resolver.take_changed();
        if changed.links {
            self.publishers.links.send_replace(Arc::new(self.resolver.links().clone()));
        }
        if changed.addresses {
            self.publishers.addresses.send_replace(Arc::new(self.resolver.addresses().clone()));
        }
        if changed.next_hops {
            self.publishers.next_hops.send_replace(Arc::new(self.resolver.next_hops().clone()));
        }
    }
}
