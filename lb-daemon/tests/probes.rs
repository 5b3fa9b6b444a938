//! Probes as a whole process sees them: descriptors, processes, memory. In a
//! binary of its own, since descriptors and memory are those of all tests in it.

use std::{
    collections::HashSet,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lb_daemon::{
    config,
    health::{HealthEvent, Prober, State, Target},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::{Mutex, mpsc},
    time::{sleep, timeout},
};

/// Both tests look at the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());
const PATIENCE: Duration = Duration::from_secs(60);

/// A target at `address`, which a file could not name, as it is this host's.
fn target(address: SocketAddr, keys: &str) -> Target {
    let text = format!(
        "interfaces: [eth0]\nallow_exec: true\nservices:\n- {{name: web, vip: 192.0.2.1, port: 80, \
         mode: dsr, health: {{interval: 100ms, {keys}}}, \
         backends: [{{name: a, address: 192.0.2.9}}]}}\n"
    );
    let config = config::parse("lb.yaml", &text).unwrap_or_else(|why| panic!("{why}")).config;
    let service = &config.services[0];
    let target = Target::for_backend(service, &service.backends[0]).expect("it is probed");
    Target { address: address.ip(), port: address.port(), path: None, ..target }
}

/// A server that does `serve` with every connection.
async fn server<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// Holds a connection until the client goes.
async fn hang(mut stream: TcpStream) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
}

fn descriptors() -> HashSet<PathBuf> {
    let all = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    // That of the directory itself is gone by now.
    all.filter(|path| fs::read_link(path).is_ok()).collect()
}

fn children() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let of_task = |task: fs::DirEntry| fs::read_to_string(task.path().join("children"));
    let lists = tasks.filter_map(|task| of_task(task.unwrap()).ok());
    lists.map(|list| list.split_whitespace().count()).sum()
}

fn resident_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_reload_storm_leaks_no_descriptor_and_no_process() {
    let _alone = ALONE.lock().await;
    let hanging = server(hang).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    let (sender, _events) = mpsc::unbounded_channel();
    let prober = Prober::new(sender, None);
    // Each round other targets, of all types; most of the probes are abandoned.
    let targets = |round: u32| {
        let distinct = format!("rise: {}", 1 + round % 100);
        let tcp = ["tcp", "http", "https", "exec, command: [/bin/sleep, '1000']"];
        let udp = ["udp, send: a", "dns, query: a.example", "icmp"];
        let tcp = tcp.map(|kind| target(hanging, &format!("type: {kind}, {distinct}")));
        let udp = udp.map(|kind| target(silent_address, &format!("type: {kind}, {distinct}")));
        tcp.into_iter().chain(udp)
    };
    // What is made once, such as the runtime's own, is there after a first round.
    prober.set_targets(targets(0));
    sleep(Duration::from_millis(500)).await;
    prober.set_targets([]);
    until("the first round's programs end", || children() == 0).await;
    sleep(Duration::from_millis(500)).await;
    let before = descriptors().len();
    for round in 0..300 {
        prober.set_targets(targets(round));
        sleep(Duration::from_millis(u64::from(round % 20))).await;
    }
    prober.set_targets([]);
    until("descriptors are left", || descriptors().len() <= before).await;
    until("programs are left", || children() == 0).await;
}

/// Answers like a server that works, and counts.
async fn good_server(probes: Arc<AtomicUsize>) -> SocketAddr {
    server(move |mut stream| {
        let probes = probes.clone();
        async move {
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_ok() {
                probes.fetch_add(1, Ordering::Relaxed);
            }
        }
    })
    .await
}

/// Servers that misbehave, and what is said of them.
async fn bad_servers() -> Vec<(SocketAddr, &'static str)> {
    let garbage = server(|mut stream| async move {
        let _ = stream.write_all(&[0xff; 4096]).await;
        hang(stream).await;
    });
    let half = server(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await;
        hang(stream).await;
    });
    let reset = server(|stream| async move {
        stream.readable().await.unwrap();
        stream.set_zero_linger().unwrap();
    });
    let head_flood = server(|stream| flood(stream, b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"));
    let body_flood = server(|stream| flood(stream, b"HTTP/1.1 200 OK\r\n\r\n", b"not so\n"));
    vec![
        (server(hang).await, "connected, but no answer within 100 ms"),
        (garbage.await, "not an HTTP answer"),
        (half.await, "no complete answer within 100 ms"),
        (reset.await, "it reset the connection"),
        (head_flood.await, "the head is longer than 16384 bytes"),
        (body_flood.await, "the first 65536 bytes of body do not have \"ok\""),
    ]
}

async fn flood(mut stream: TcpStream, head: &[u8], body: &[u8]) {
    let body = body.repeat(1000);
    let mut sent = stream.write_all(head).await;
    while sent.is_ok() {
        sent = stream.write_all(&body).await;
    }
}

#[tokio::test]
async fn bad_servers_stall_no_other_and_take_no_memory() {
    let _alone = ALONE.lock().await;
    let probes = Arc::new(AtomicUsize::new(0));
    let good = good_server(probes.clone()).await;
    let bad = bad_servers().await;
    let (sender, mut events) = mpsc::unbounded_channel();
    let prober = Prober::new(sender, None);
    let keys = |rise: u32| format!("type: http, body: ok, fall: 1, rise: {rise}");
    let of_bad =
        bad.iter().flat_map(|(address, _)| (1..=8).map(|rise| target(*address, &keys(rise))));
    prober.set_targets(of_bad.chain([target(good, &keys(1))]));

    let mut found: Vec<HealthEvent> = Vec::new();
    while found.len() < 8 * bad.len() + 1 {
        let event = timeout(PATIENCE, events.recv()).await.expect("a state in time").unwrap();
        let expected = bad.iter().find(|(address, _)| address.port() == event.target.port);
        match expected {
            None => assert_eq!(event.state, State::Up, "{event:?}"),
            // A busy machine may be slower than the timeout.
            Some((_, why)) => assert!(
                event.state == State::Failing
                    && (event.reason.contains(why) || event.reason.contains("within 100 ms")),
                "{event:?}, expected {why}"
            ),
        }
        found.push(event);
    }
    let enough = |count: usize| {
        let probes = probes.clone();
        until("the good server is stalled", move || probes.load(Ordering::Relaxed) >= count)
    };
    enough(20).await;
    let before = resident_bytes();
    enough(100).await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
}
