//! The daemon's end of the control socket.
//!
//! One request per connection. A client that sends nothing, reads nothing or
//! sends too much costs one of a bounded number of places, for a bounded time,
//! and never the control loop's attention.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nix::unistd::{Gid, Uid, User, chown, getegid, geteuid};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixSocket, UnixStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    InstanceLock,
    denials::{self, Denials},
    protocol::{Command, DaemonVersion, Error, ErrorCode, Reloaded, Reply, Request, Response},
    types::{Change, EventPage, EventQuery, Stats, Who},
};
use crate::nat::{Page, Query};

/// Longest request, newline included.
const REQUEST_LIMIT: u64 = 4096;
/// How long a client may take to send its request.
const REQUEST_TIME: Duration = Duration::from_secs(5);
/// How long it may take to read the response.
const RESPONSE_TIME: Duration = Duration::from_secs(30);
/// How long the name of a user may take to be found.
const NAME_TIME: Duration = Duration::from_secs(2);
/// Connections served at once; others wait in the backlog.
const CONNECTIONS: usize = 64;

/// What the daemon does when it is asked. Who may ask has been checked.
pub trait Handler: Send + Sync + 'static {
    fn stats(&self) -> impl Future<Output = Result<Stats, Error>> + Send;
    /// `by`: nobody over the socket. `now`: removed backends are not drained.
    fn reload(
        &self,
        by: Option<Who>,
        now: bool,
    ) -> impl Future<Output = Result<Reloaded, Error>> + Send;
    fn events(&self, query: EventQuery) -> impl Future<Output = Result<EventPage, Error>> + Send;
    /// `command`: `drain`, `undrain` or `set-weight`.
    fn change(
        &self,
        command: Command,
        change: Change,
        by: Who,
    ) -> impl Future<Output = Result<Reloaded, Error>> + Send;
    fn flows(&self, query: Query) -> impl Future<Output = Result<Page, Error>> + Send;
    /// Somebody was refused; `what`: in words. Called seldom, however often that is.
    fn denied(&self, by: Who, what: String) -> impl Future<Output = ()> + Send;
}

/// Listens until dropped, which also removes the socket.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
    version: DaemonVersion,
}

impl Server {
    /// Makes the socket. Members of `readers` may read statistics; everything
    /// else is root's. A socket file that is there is a dead daemon's: the lock
    /// proves it.
    pub fn bind(lock: &InstanceLock, readers: Option<Gid>) -> io::Result<Self> {
        let path = lock.socket();
        remove_stale(&path)?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(&path)?;
        // Nobody can connect before `listen`, so nobody can before this.
        SocketAccess(path.clone()).grant(readers)?;
        let listener = socket.listen(128)?;
        let version = DaemonVersion {
            daemon: env!("CARGO_PKG_VERSION").to_owned(),
            instance: lock.instance().to_string(),
            pid: std::process::id(),
        };
        Ok(Self { listener, path, version })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Decides who may connect, also while it serves.
    pub fn access(&self) -> SocketAccess {
        SocketAccess(self.path.clone())
    }

    /// Serves clients for ever.
    pub async fn serve(self, handler: impl Handler) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let denials = Denials::default();
        let service = Arc::new(Service { handler, version: self.version.clone(), denials });
        loop {
            let place = places.clone().acquire_owned().await.expect("places are never closed");
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let service = service.clone();
                    tokio::spawn(async move {
                        if let Err(error) = service.clone().serve(stream).await {
                            debug!("control client: {error}");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    warn!("control socket: cannot accept a client: {error}; trying again");
                    sleep(Duration::from_millis(200)).await;
                }
            }
        }
    }
}

/// Who may connect to the control socket: its mode and group.
#[derive(Debug)]
pub struct SocketAccess(PathBuf);

impl SocketAccess {
    /// Root, and the members of `readers`.
    pub fn grant(&self, readers: Option<Gid>) -> io::Result<()> {
        // Closed before it is opened to others.
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o600))?;
        chown(&self.0, None, Some(readers.unwrap_or_else(getegid)))?;
        if readers.is_some() {
            fs::set_permissions(&self.0, fs::Permissions::from_mode(0o660))?;
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            debug!("{}: cannot be removed: {error}", self.path.display());
        }
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

struct Service<H> {
    handler: H,
    version: DaemonVersion,
    denials: Denials,
}

impl<H: Handler> Service<H> {
    async fn serve(self: Arc<Self>, mut stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?.uid();
        let reply = match timeout(REQUEST_TIME, read_request(&mut stream)).await {
            Ok(request) => match request? {
                Ok(request) => self.answer(request, peer).await,
                Err(refusal) => Reply::Error(refusal),
            },
            Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "it sent no request")),
        };
        let mut line = serde_json::to_vec(&Response::from(reply))?;
        line.push(b'\n');
        timeout(RESPONSE_TIME, stream.write_all(&line)).await?
    }

    async fn answer(self: &Arc<Self>, request: Request, peer: u32) -> Reply {
        let Request { command, query, events, change, now, .. } = request;
        if command.changes_something() && peer != 0 && peer != geteuid().as_raw() {
            self.tell_of_denial(peer, command, change.as_ref());
            let message = format!("{} is root's to ask for; try it with sudo", command.name());
            return Reply::Error(Error::new(ErrorCode::NotPermitted, message));
        }
        let reply = match command {
            Command::Stats => self.handler.stats().await.map(|s| Reply::Stats(Box::new(s))),
            Command::Reload => {
                self.handler.reload(Some(who(peer).await), now).await.map(Reply::Reload)
            }
            Command::Events => {
                self.handler.events(events.unwrap_or_default()).await.map(Reply::Events)
            }
            Command::Drain | Command::Undrain | Command::SetWeight => {
                let (change, by) = (change.unwrap_or_default(), who(peer).await);
                self.handler.change(command, change, by).await.map(Reply::Changed)
            }
            Command::Flows => self.handler.flows(query.unwrap_or_default()).await.map(Reply::Flows),
            Command::Version => Ok(Reply::Daemon(self.version.clone())),
        };
        reply.unwrap_or_else(Reply::Error)
    }
}

impl<H: Handler> Service<H> {
    /// The first of many at once, how many more there were after a minute.
    fn tell_of_denial(self: &Arc<Self>, peer: u32, command: Command, change: Option<&Change>) {
        let Some(ticket) = self.denials.first(peer, command) else { return };
        let what = in_words(command, change);
        let service = self.clone();
        tokio::spawn(async move {
            let by = who(peer).await;
            service.handler.denied(by.clone(), what).await;
            sleep(denials::SILENCE).await;
            let repeated = service.denials.end(ticket);
            if repeated > 0 {
                let what = format!("{}, {repeated} times more in a minute", command.name());
                service.handler.denied(by, what).await;
            }
        });
    }
}

/// What was asked for: of what a stranger wrote, only so much.
fn in_words(command: Command, change: Option<&Change>) -> String {
    const SHOWN: usize = 64;
    let short =
        |text: &String| text.chars().filter(|c| !c.is_control()).take(SHOWN).collect::<String>();
    let change = change.cloned().unwrap_or_default();
    let subject = [change.service, change.backend, change.host];
    let parts = subject.iter().flatten().map(short);
    std::iter::once(command.name().to_owned()).chain(parts).collect::<Vec<_>>().join(" ")
}

/// The peer's name may be in a directory far away.
async fn who(uid: u32) -> Who {
    let find = move || User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    let found = timeout(NAME_TIME, tokio::task::spawn_blocking(find)).await;
    Who { uid, user: found.ok().and_then(Result::ok).flatten() }
}

async fn read_request(stream: &mut UnixStream) -> io::Result<Result<Request, Error>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(REQUEST_LIMIT)).read_until(b'\n', &mut line).await?;
    if line.len() as u64 == REQUEST_LIMIT && line.last() != Some(&b'\n') {
        let message = format!("a request has at most {REQUEST_LIMIT} bytes");
        return Ok(Err(Error::new(ErrorCode::BadRequest, message)));
    }
    Ok(Request::parse(&line))
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
