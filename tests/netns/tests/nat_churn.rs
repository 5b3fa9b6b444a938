//! Many connections opened and closed while backends come and go.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lb_test_lab::{Daemon, Host, nginx, wait_until};
use lb_test_netns::{NatSite, OTHER, OTHER6, WEB, WEB6, living_flows};

const CONNECTIONS: usize = 100_000;
const THREADS: usize = 8;
const VIPS: [IpAddr; 4] =
    [IpAddr::V4(WEB), IpAddr::V6(WEB6), IpAddr::V4(OTHER), IpAddr::V6(OTHER6)];
/// Four addresses of each family, so that a port need not be used twice in the test:
/// nginx closes first, and remembers each connection for a minute.
const POOL: &str = "defaults:\n  snat: { addresses: [10.0.1.101, 10.0.1.102, 10.0.1.103, \
    10.0.1.104, \"2001:db8:3::101\", \"2001:db8:3::102\", \"2001:db8:3::103\", \
    \"2001:db8:3::104\"], rest: 5s }\n";

/// Visitors that ask one page on each connection.
#[derive(Default)]
struct Visits {
    done: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Visits {
    fn run(&self, client: &Host) {
        let each = || {
            for number in 0..CONNECTIONS / THREADS {
                let vip = VIPS[number % VIPS.len()];
                if let Err(error) = visit(SocketAddr::new(vip, 80)) {
                    self.failures.lock().unwrap().push(format!("{vip}: {error}"));
                }
                self.done.fetch_add(1, Ordering::Relaxed);
            }
        };
        let all = || thread::scope(|scope| (0..THREADS).for_each(|_| drop(scope.spawn(each))));
        client.enter(all).expect("the client is there");
    }

    fn wait_for_more(&self, connections: usize) {
        let goal = CONNECTIONS.min(self.done.load(Ordering::Relaxed) + connections);
        wait_until("connections are made", || self.done.load(Ordering::Relaxed) >= goal).unwrap();
    }

    fn go_on(&self) -> bool {
        self.done.load(Ordering::Relaxed) < CONNECTIONS
    }
}

fn visit(to: SocketAddr) -> io::Result<()> {
    let patience = Duration::from_secs(20);
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    if page.ends_with('\n') && page.contains("web-") {
        return Ok(());
    }
    Err(io::Error::other(format!("half a page: {page:?}")))
}

/// Backends leave, return and fail their probes, again and again.
fn disturb(site: &NatSite, daemon: &Daemon, configs: [&str; 2], visits: &Visits) {
    let [all, few] = configs;
    while visits.go_on() {
        daemon.reconfigure(few).unwrap();
        visits.wait_for_more(2_000);
        daemon.reconfigure(all).unwrap();
        visits.wait_for_more(2_000);
        site.stall(2, true);
        visits.wait_for_more(4_000);
        site.stall(2, false);
        visits.wait_for_more(4_000);
    }
}

/// Claims: none of 100,000 connections is lost while backends are removed, added and taken
/// out by their probes; afterwards no flow is left.
#[test]
fn a_hundred_thousand_connections_under_churn() {
    let site = NatSite::behind(3);
    let (lab, mut servers) = (&site.lab, Vec::new());
    lab.steer_flows().unwrap();
    for number in 1..=3 {
        site.answer_probes_only(number);
        servers.push(nginx(lab, &lab.backends[number - 1]).unwrap());
    }
    for number in 101..=104 {
        let v4 = format!("addr add 10.0.1.{number}/24 dev eth1");
        lab.balancer.ip(&format!("{v4}\naddr add 2001:db8:3::{number}/64 dev eth1 nodad")).unwrap();
    }
    let config = |backends: &[usize]| {
        site.nat(backends).replace(", port: 81", "").replacen("defaults:\n", POOL, 1)
    };
    let (all, few) = (config(&[1, 2, 3]), config(&[1, 2]));
    let daemon = site.balance(&all);
    let visits = Visits::default();
    thread::scope(|scope| {
        scope.spawn(|| visits.run(&lab.client));
        disturb(&site, &daemon, [&all, &few], &visits);
    });
    let failures = visits.failures.into_inner().unwrap();
    let stats = daemon.stats().unwrap();
    assert!(failures.is_empty(), "{} of them: {:?}; {stats:?}", failures.len(), failures.first());
    wait_until("no flow is left", || living_flows(lab) == 0).unwrap();
}
