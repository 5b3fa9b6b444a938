//! Scheduling against a fake probe on a paused clock; then real sockets.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::AtomicUsize,
};

use tokio::{
    net::TcpListener,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{advance, sleep, timeout},
};

use super::*;
use crate::config::Check;

const SECOND: Duration = Duration::from_secs(1);

/// Counts probes. Addresses 10.1.x.x work, 10.2.x.x hang, all others are gone.
#[derive(Default)]
struct Fake {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    running: AtomicUsize,
    most_running: Arc<AtomicUsize>,
    takes: Duration,
}

impl Probe for Fake {
    async fn probe(&self, target: &Target) -> Outcome {
        *self.counts.lock().unwrap().entry(target.address).or_default() += 1;
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_running.fetch_max(running, Ordering::Relaxed);
        let IpAddr::V4(address) = target.address else { panic!("{target}") };
        let outcome = match address.octets()[1] {
            1 => {
                sleep(self.takes).await;
                Outcome::Works(self.takes)
            }
            2 => {
                sleep(target.timeout).await;
                Outcome::Fails("no answer".into())
            }
            _ => Outcome::Gone("refused".into()),
        };
        self.running.fetch_sub(1, Ordering::Relaxed);
        outcome
    }
}

fn target(kind: u8, number: u8) -> Target {
    Target {
        address: Ipv4Addr::new(10, kind, 0, number).into(),
        port: 80,
        check: Arc::new(Check::Tcp),
        names: None,
        interval: SECOND,
        timeout: SECOND / 2,
        rise: 2,
        fall: 3,
    }
}

fn works(number: u8) -> Target {
    target(1, number)
}

fn hangs(number: u8) -> Target {
    target(2, number)
}

fn gone(number: u8) -> Target {
    target(3, number)
}

struct Bench {
    prober: Prober<Fake>,
    events: UnboundedReceiver<HealthEvent>,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most_running: Arc<AtomicUsize>,
}

impl Bench {
    fn new(concurrency: usize, takes: Duration) -> Self {
        let fake = Fake { takes, ..Fake::default() };
        let (counts, most_running) = (fake.counts.clone(), fake.most_running.clone());
        let (sender, events) = unbounded_channel();
        Self { prober: Prober::with(fake, concurrency, sender), events, counts, most_running }
    }

    fn count(&self, target: &Target) -> usize {
        self.counts.lock().unwrap().get(&target.address).copied().unwrap_or(0)
    }

    fn events(&mut self) -> Vec<(IpAddr, State)> {
        let next = || self.events.try_recv().ok();
        std::iter::from_fn(next).map(|event| (event.target.address, event.state)).collect()
    }
}

fn bench() -> Bench {
    Bench::new(1000, Duration::ZERO)
}

#[tokio::test(start_paused = true)]
async fn a_target_in_doubt_is_probed_at_once_and_not_too_often() {
    let bench = bench();
    let slow = Target { interval: 600 * SECOND, ..works(1) };
    bench.prober.set_targets([slow.clone()]);
    // The first probes come soon, to know the state; then the gaps are long.
    sleep(3600 * SECOND).await;
    let before = bench.count(&slow);
    for _ in 0..20 {
        bench.prober.hurry(&slow);
        sleep(SECOND / 10).await;
    }
    let hurried = bench.count(&slow) - before;
    assert!((2..=3).contains(&hurried), "{hurried} probes in two seconds");
    // Its schedule is as before: as many as there would have been.
    sleep(3600 * SECOND).await;
    let scheduled = bench.count(&slow) - before - hurried;
    assert!((4..=8).contains(&scheduled), "{scheduled} probes in an hour");
    bench.prober.hurry(&works(2));
}

#[tokio::test(start_paused = true)]
async fn equal_targets_are_probed_once() {
    let bench = bench();
    bench.prober.set_targets((0..1000).map(|_| works(1)));
    sleep(10 * SECOND).await;
    let count = bench.count(&works(1));
    assert!((8..=12).contains(&count), "{count}");
}

#[tokio::test(start_paused = true)]
async fn each_state_is_reported_once() {
    let mut bench = bench();
    bench.prober.set_targets([works(1), hangs(1), gone(1)]);
    sleep(20 * SECOND).await;
    let mut events = bench.events();
    events.sort_by_key(|event| event.0);
    assert_eq!(
        events,
        [
            (works(1).address, State::Up),
            (hangs(1).address, State::Failing),
            (gone(1).address, State::Dead),
        ]
    );
    let status = bench.prober.status(&gone(1)).unwrap();
    assert_eq!((status.state, &*status.reason), (State::Dead, "refused (3 failures in a row)"));
}

#[tokio::test(start_paused = true)]
async fn a_reload_leaves_unchanged_targets_alone() {
    let mut bench = bench();
    bench.prober.set_targets([works(1), works(2)]);
    sleep(10 * SECOND).await;
    assert_eq!(bench.events().len(), 2);
    // Reloads more frequent than the interval must not put the probes off.
    let before = bench.count(&works(1));
    for _ in 0..40 {
        bench.prober.set_targets([works(1), works(3)]);
        assert_eq!(bench.prober.status(&works(1)).unwrap().state, State::Up);
        advance(SECOND / 4).await;
        tokio::task::yield_now().await;
    }
    let probed = bench.count(&works(1)) - before;
    assert!((8..=12).contains(&probed), "{probed}");
    assert_eq!(bench.events(), [(works(3).address, State::Up)]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_parameter_makes_another_target() {
    let mut bench = bench();
    bench.prober.set_targets([works(1)]);
    sleep(5 * SECOND).await;
    let slower = Target { interval: 2 * SECOND, ..works(1) };
    bench.prober.set_targets([slower.clone()]);
    assert_eq!(bench.prober.status(&works(1)), None);
    assert_eq!(bench.prober.status(&slower).unwrap().state, State::Unknown);
    sleep(10 * SECOND).await;
    assert_eq!(bench.events().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_removed_target_is_probed_no_more() {
    let mut bench = bench();
    bench.prober.set_targets([works(1), hangs(1)]);
    sleep(10 * SECOND).await;
    bench.events();
    let before = (bench.count(&works(1)), bench.count(&hangs(1)));
    bench.prober.set_targets([]);
    sleep(10 * SECOND).await;
    assert_eq!((bench.count(&works(1)), bench.count(&hangs(1))), before);
    assert_eq!(bench.events(), []);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_prober_stops() {
    let Bench { prober, mut events, counts, .. } = bench();
    prober.set_targets([works(1)]);
    sleep(5 * SECOND).await;
    drop(prober);
    let before = counts.lock().unwrap()[&works(1).address];
    sleep(10 * SECOND).await;
    assert_eq!(counts.lock().unwrap()[&works(1).address], before);
    while let Some(event) = events.recv().await {
        assert_eq!(event.state, State::Up);
    }
}

#[tokio::test(start_paused = true)]
async fn hanging_targets_stall_nobody() {
    let bench = Bench::new(101, Duration::ZERO);
    bench.prober.set_targets((0..100).map(hangs).chain([works(1)]));
    sleep(20 * SECOND).await;
    let count = bench.count(&works(1));
    assert!((17..=23).contains(&count), "{count}");
}

#[tokio::test(start_paused = true)]
async fn turns_are_bounded_and_fair() {
    // Each probe takes a tenth of a second: 30 per second for 200 targets.
    let bench = Bench::new(3, SECOND / 10);
    bench.prober.set_targets((0..200).map(works));
    sleep(100 * SECOND).await;
    assert_eq!(bench.most_running.load(Ordering::Relaxed), 3);
    for number in 0..200 {
        let count = bench.count(&works(number));
        assert!((13..=16).contains(&count), "target {number}: {count}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_probes_do_not_come_together() {
    let bench = Bench::new(1000, SECOND / 100);
    bench.prober.set_targets((0..200).map(works));
    sleep(5 * SECOND).await;
    // 200 probes of 10 ms in a second: 2 at a time on average.
    let most = bench.most_running.load(Ordering::Relaxed);
    assert!(most < 20, "{most}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_neighbour_takes_all_targets_of_its_address() {
    let mut bench = bench();
    let other_port = Target { port: 81, ..works(1) };
    bench.prober.set_targets([works(1), other_port.clone(), works(2)]);
    sleep(10 * SECOND).await;
    bench.events();
    bench.prober.neighbour_failed(works(1).address);
    let dead = (works(1).address, State::Dead);
    assert_eq!(bench.events(), [dead, dead]);
    assert_eq!(bench.prober.status(&works(2)).unwrap().state, State::Up);
    sleep(10 * SECOND).await;
    let up = (works(1).address, State::Up);
    assert_eq!(bench.events(), [up, up]);
}

#[tokio::test(start_paused = true)]
async fn a_restored_state_is_no_event_and_probes_go_on_from_it() {
    let mut bench = bench();
    bench.prober.set_targets([works(1), gone(1)]);
    bench.prober.restore(&works(1), State::Up);
    bench.prober.restore(&gone(1), State::Up);
    assert_eq!(bench.prober.status(&gone(1)).unwrap().state, State::Up);
    sleep(10 * SECOND).await;
    assert_eq!(bench.events(), [(gone(1).address, State::Dead)]);
    bench.prober.restore(&gone(1), State::Up);
    assert_eq!(bench.prober.status(&gone(1)).unwrap().state, State::Dead);
}

fn real_target(address: SocketAddr) -> Target {
    Target {
        address: address.ip(),
        port: address.port(),
        check: Arc::new(Check::Tcp),
        names: None,
        interval: Duration::from_millis(20),
        timeout: 10 * SECOND,
        rise: 2,
        fall: 3,
    }
}

async fn next_state(events: &mut UnboundedReceiver<HealthEvent>) -> State {
    let event = timeout(30 * SECOND, events.recv()).await.expect("an event in time");
    event.expect("the prober lives").state
}

#[tokio::test]
async fn a_real_server_that_comes_and_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut events) = unbounded_channel();
    let prober = Prober::new(sender);
    prober.set_targets([real_target(address)]);
    assert_eq!(next_state(&mut events).await, State::Up);
    drop(listener);
    assert_eq!(next_state(&mut events).await, State::Dead);
    let _listener = TcpListener::bind(address).await.unwrap();
    assert_eq!(next_state(&mut events).await, State::Up);
}

#[tokio::test]
async fn many_probes_leave_no_socket_behind() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, _events) = unbounded_channel();
    let prober = Prober::new(sender);
    prober.set_targets([Target { interval: Duration::from_millis(1), ..real_target(address) }]);
    for _ in 0..200 {
        timeout(30 * SECOND, listener.accept()).await.expect("a probe in time").unwrap();
    }
    drop(prober);
    drop(listener);
    // Column 3 is the remote address, column 4 the state; 06 is TIME_WAIT.
    let remote = format!("0100007F:{:04X}", address.port());
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let waiting = sockets.lines().filter(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.get(2) == Some(&&*remote) && fields.get(3) == Some(&"06")
    });
    assert_eq!(waiting.count(), 0);
}
