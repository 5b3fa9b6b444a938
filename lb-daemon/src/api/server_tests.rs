//! Server and client over a real socket, without a kernel object.

use std::{
    os::unix::fs::{FileTypeExt, MetadataExt},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::task::spawn_blocking;

use super::*;
use crate::api::{Instance, RuntimeDir, client};

const PATIENT: Duration = Duration::from_secs(20);

#[derive(Clone, Default)]
struct Fake {
    reloads: Arc<AtomicUsize>,
    denied: Arc<Mutex<Vec<String>>>,
}

impl Handler for Fake {
    async fn stats(&self) -> Result<Stats, Error> {
        Ok(Stats { instance: "test".into(), ..Stats::default() })
    }

    async fn flows(&self, query: Query) -> Result<Page, Error> {
        Ok(Page { more: query.limit.unwrap_or_default() as u64, ..Page::default() })
    }

    async fn events(&self, query: EventQuery) -> Result<EventPage, Error> {
        Ok(EventPage { last: query.after, ..EventPage::default() })
    }

    async fn denied(&self, by: Who, what: String) {
        self.denied.lock().unwrap().push(format!("{}: {what}", by.uid));
    }

    async fn change(&self, command: Command, change: Change, by: Who) -> Result<Reloaded, Error> {
        let what = format!("{} {:?} by uid {}", command.name(), change.backend, by.uid);
        Ok(Reloaded { changes: vec![what], ..Reloaded::default() })
    }

    async fn reload(&self, by: Option<Who>, _now: bool) -> Result<Reloaded, Error> {
        assert!(by.is_some(), "over the socket, somebody asks");
        match self.reloads.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(Reloaded { changes: vec!["service web added".into()], ..Reloaded::default() }),
            _ => Err(Error::bad_configuration("lb.yaml", vec!["lb.yaml:3:1: no".into()])),
        }
    }
}

struct Bench {
    _dir: tempfile::TempDir,
    runtime: RuntimeDir,
    lock: InstanceLock,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::new(dir.path());
        let lock = InstanceLock::acquire(&runtime, &Instance::default()).unwrap();
        Self { _dir: dir, runtime, lock }
    }

    fn serve(&self) -> tokio::task::JoinHandle<()> {
        let server = Server::bind(&self.lock, None).unwrap();
        tokio::spawn(server.serve(Fake::default()))
    }

    async fn ask(&self, command: Command) -> Result<Reply, client::Error> {
        let path = self.lock.socket();
        spawn_blocking(move || client::ask(&path, command, PATIENT)).await.unwrap()
    }

    /// Sends raw bytes and returns the reply.
    async fn send(&self, bytes: &[u8]) -> Reply {
        let mut stream = UnixStream::connect(self.lock.socket()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        serde_json::from_str::<Response>(&line).unwrap().reply
    }
}

fn code(reply: Reply) -> ErrorCode {
    let Reply::Error(error) = reply else { panic!("{reply:?}") };
    error.code
}

#[tokio::test]
async fn every_command_is_answered() {
    let bench = Bench::new();
    bench.serve();
    let Ok(Reply::Stats(stats)) = bench.ask(Command::Stats).await else { panic!() };
    assert_eq!(stats.instance, "test");
    let Ok(Reply::Daemon(version)) = bench.ask(Command::Version).await else { panic!() };
    assert_eq!((version.pid, &*version.instance), (std::process::id(), "main"));
    let Ok(Reply::Reload(report)) = bench.ask(Command::Reload).await else { panic!() };
    assert_eq!(report.changes, ["service web added"]);
    let Err(client::Error::Refused(error)) = bench.ask(Command::Reload).await else { panic!() };
    assert_eq!((error.code, &*error.problems[0]), (ErrorCode::BadConfiguration, "lb.yaml:3:1: no"));
}

#[tokio::test]
async fn nonsense_is_refused_and_the_next_client_served() {
    let bench = Bench::new();
    bench.serve();
    assert_eq!(code(bench.send(b"hello\n").await), ErrorCode::BadRequest);
    assert_eq!(code(bench.send(b"\n").await), ErrorCode::BadRequest);
    assert_eq!(code(bench.send(&[b'x'; 5000]).await), ErrorCode::BadRequest);
    let newer = br#"{"version":9,"command":"stats"}"#;
    assert_eq!(
        code(bench.send(&[newer.as_slice(), b"\n"].concat()).await),
        ErrorCode::UnsupportedVersion
    );
    assert!(bench.ask(Command::Stats).await.is_ok());
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_out() {
    let bench = Bench::new();
    bench.serve();
    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS - 1 {
        silent.push(UnixStream::connect(bench.lock.socket()).await.unwrap());
    }
    assert!(bench.ask(Command::Stats).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn silent_clients_lose_their_places() {
    let bench = Bench::new();
    bench.serve();
    let mut silent = Vec::new();
    for _ in 0..2 * CONNECTIONS {
        silent.push(UnixStream::connect(bench.lock.socket()).await.unwrap());
    }
    let stats = bench.send(b"{\"version\":1,\"command\":\"stats\"}\n").await;
    assert!(matches!(stats, Reply::Stats(_)));
}

fn service() -> Arc<Service<Fake>> {
    let version = DaemonVersion { daemon: "1".into(), instance: "main".into(), pid: 1 };
    Arc::new(Service { handler: Fake::default(), version, denials: Denials::default() })
}

#[tokio::test(start_paused = true)]
async fn denials_are_told_and_a_peer_who_tries_in_a_loop_is_summed_up() {
    let service = service();
    let (ann, bob) = (geteuid().as_raw() + 1, geteuid().as_raw() + 2);
    let change = Change {
        service: Some("web\n".into()),
        backend: Some("b".repeat(1000)),
        reason: "because".into(),
        ..Change::default()
    };
    for _ in 0..1000 {
        let request = Request::change(Command::Drain, change.clone());
        assert_eq!(code(service.answer(request, ann).await), ErrorCode::NotPermitted);
    }
    service.answer(Request::reload(true), bob).await;
    sleep(2 * denials::SILENCE).await;
    let denied = || std::mem::take(&mut *service.handler.denied.lock().unwrap());
    let mut told = denied();
    told.sort();
    let first = format!("{ann}: drain web {}", "b".repeat(64));
    let rest = format!("{ann}: drain, 999 times more in a minute");
    assert_eq!(told, [first.clone(), rest, format!("{bob}: reload")]);
    service.answer(Request::change(Command::Drain, change), ann).await;
    sleep(2 * denials::SILENCE).await;
    assert_eq!(denied(), [first]);
}

#[tokio::test]
async fn only_root_may_change_something() {
    let service = service();
    let stranger = geteuid().as_raw() + 1;
    assert_eq!(
        code(service.answer(Request::new(Command::Reload), stranger).await),
        ErrorCode::NotPermitted
    );
    assert_eq!(service.handler.reloads.load(Ordering::Relaxed), 0);
    assert!(matches!(
        service.answer(Request::new(Command::Stats), stranger).await,
        Reply::Stats(_)
    ));
    assert!(matches!(service.answer(Request::new(Command::Reload), 0).await, Reply::Reload(_)));
    for command in [Command::Drain, Command::Undrain, Command::SetWeight] {
        let change = Change { backend: Some("a".into()), ..Change::default() };
        let request = Request::change(command, change);
        let refused = service.answer(request.clone(), stranger).await;
        assert_eq!(code(refused), ErrorCode::NotPermitted, "{command:?}");
        let Reply::Changed(done) = service.answer(request, 0).await else { panic!("{command:?}") };
        assert_eq!(done.changes, [format!("{} Some(\"a\") by uid 0", command.name())]);
    }
    let events = Request::events(EventQuery { after: 3, ..EventQuery::default() });
    let Reply::Events(page) = service.answer(events, stranger).await else { panic!() };
    assert_eq!(page.last, 3);
}

#[tokio::test]
async fn the_socket_is_private_unless_a_group_may_read() {
    let bench = Bench::new();
    let server = Server::bind(&bench.lock, None).unwrap();
    assert_eq!(fs::metadata(server.path()).unwrap().mode() & 0o777, 0o600);
    drop(server);
    let group = nix::unistd::getegid();
    let server = Server::bind(&bench.lock, Some(group)).unwrap();
    let metadata = fs::metadata(server.path()).unwrap();
    assert_eq!((metadata.mode() & 0o777, metadata.gid()), (0o660, group.as_raw()));
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced_and_ours_removed() {
    let bench = Bench::new();
    let path = bench.lock.socket();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(fs::metadata(&path).unwrap().file_type().is_socket());
    assert!(matches!(bench.ask(Command::Stats).await, Err(client::Error::NotRunning(_))));
    let serving = bench.serve();
    assert!(bench.ask(Command::Stats).await.is_ok());
    assert_eq!(bench.runtime.running(), ["main"]);
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled());
    assert!(!path.exists());
    assert!(matches!(bench.ask(Command::Stats).await, Err(client::Error::NotRunning(_))));
}
