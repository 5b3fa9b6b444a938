//! How soon clients are spared a server that is in trouble: real hosts, the daemon
//! as it is installed, and a client that opens one connection after another.
//!
//! What counts is when the last connection began that still met the server.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lb_test_lab::{Daemon, Stats};
use lb_test_netns::{HEALTH, Site, WEB};
use serde_json::{Value, json};

use crate::median;

/// As in the site's configuration.
const INTERVAL: Duration = Duration::from_millis(200);
const TIMEOUT: Duration = Duration::from_millis(200);
const FALL: u32 = 2;
/// Beyond what probes take.
const GRACE: Duration = Duration::from_millis(10);
/// For a client, a server that says nothing for so long is not there.
const PATIENCE: Duration = Duration::from_millis(100);
/// Connections after which the server is out for good.
const ENOUGH: usize = 300;
/// Longer than any of this may take.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Clone, Copy)]
pub enum Trouble {
    /// Its processes are killed: its ports refuse.
    Killed,
    /// Its probes get no answer; it serves on.
    Slow,
    /// Its cable is pulled.
    Gone,
}

impl Trouble {
    const ALL: [Self; 3] = [Self::Killed, Self::Slow, Self::Gone];

    const fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Slow => "slow",
            Self::Gone => "gone",
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Killed => "its processes are killed, its ports refuse",
            Self::Slow => "probes get no answer in time, it serves on",
            Self::Gone => "its cable is pulled",
        }
    }

    /// Whether a connection met the server, given who answered it, if anybody did.
    fn is_met(self, answered: Option<&str>) -> bool {
        match (self, answered) {
            (_, Some(name)) => name == "web-2",
            (Self::Slow, None) => false,
            (Self::Killed | Self::Gone, None) => true,
        }
    }

    /// What the probes' settings allow. The next one may be an interval away.
    fn at_most(self) -> Duration {
        let probes = INTERVAL * FALL + GRACE;
        if matches!(self, Self::Killed) { probes } else { probes + TIMEOUT }
    }

    fn begin(self, site: &Site) -> Result<()> {
        match self {
            Self::Killed => site.stop(2),
            Self::Slow => silence(site)?,
            Self::Gone => site.lab.set_cable(2, false)?,
        }
        Ok(())
    }
}

/// What the server says to probes is lost from now on.
fn silence(site: &Site) -> Result<()> {
    let rule = format!("rule add ipproto tcp sport {HEALTH} blackhole");
    site.lab.backends[1].ip(&format!("{rule}\n-6 {rule}"))
}

/// Seconds until the last connection began that met the server, of each run.
pub struct Reaction {
    trouble: Trouble,
    seconds: Vec<f64>,
}

impl Reaction {
    fn median(&self) -> f64 {
        median(&mut self.seconds.clone())
    }

    fn longest(&self) -> f64 {
        self.seconds.iter().copied().fold(0.0, f64::max)
    }

    fn met(&self) -> bool {
        self.longest() <= self.trouble.at_most().as_secs_f64()
    }
}

pub fn measure(runs: u32) -> Result<Vec<Reaction>> {
    let mut reactions = Vec::new();
    for trouble in Trouble::ALL {
        let mut seconds = Vec::new();
        for run in 1..=runs {
            eprintln!("a server is {}, {run} of {runs}", trouble.name());
            // Hosts and tables of its own: connections that the last run left unfinished
            // hold their client's ports at the server that was in trouble.
            let site = Site::new(3);
            let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1), (3, 1)]))?;
            daemon.wait_for("all serve", Stats::all_serve)?;
            // Each time at another moment between two probes.
            thread::sleep(INTERVAL * run / runs);
            seconds.push(one(&site, trouble)?.as_secs_f64());
        }
        reactions.push(Reaction { trouble, seconds });
    }
    Ok(reactions)
}

fn one(site: &Site, trouble: Trouble) -> Result<Duration> {
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let client = &site.lab.client;
        let visits = scope.spawn(move || client.enter(|| visit_on(&sender)));
        // It is met as long as it works.
        ensure!(receiver.recv_timeout(LONGEST).is_ok(), "nobody answers");
        let begun = Instant::now();
        trouble.begin(site)?;
        let mut last = begun;
        let mut spared = 0;
        for (at, who) in receiver.iter().filter(|(at, _)| *at >= begun) {
            let met = trouble.is_met(who.as_deref());
            ensure!(begun.elapsed() < LONGEST, "a server that is {} is met on", trouble.name());
            (last, spared) = if met { (at, 0) } else { (last, spared + 1) };
            if spared == ENOUGH {
                break;
            }
        }
        // Which ends the visits.
        drop(receiver);
        visits.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
        Ok(last - begun)
    })
}

/// Opens connections until nobody listens; tells when each began, and who answered.
fn visit_on(told: &mpsc::Sender<(Instant, Option<String>)>) {
    loop {
        let at = Instant::now();
        if told.send((at, who_answers())).is_err() {
            return;
        }
    }
}

fn who_answers() -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((WEB, 80)), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"who are you?\n").ok()?;
    let mut name = String::new();
    BufReader::new(stream).read_line(&mut name).ok().filter(|length| *length > 0)?;
    Some(name.trim_end().to_owned())
}

pub fn print(reactions: &[Reaction]) {
    println!(
        "\nA server in trouble (dsr, interval {INTERVAL:?}, timeout {TIMEOUT:?}, fall {FALL}): \
         ms until the last new connection met it\n"
    );
    println!("{:<8} {:<44} {:>6} {:>8}", "server", "", "median", "longest");
    for one in reactions {
        let (name, meaning) = (one.trouble.name(), one.trouble.meaning());
        let at_most = one.trouble.at_most().as_millis();
        let verdict = if one.met() { "met" } else { "MISSED" };
        let (median, longest) = (one.median() * 1e3, one.longest() * 1e3);
        println!("{name:<8} {meaning:<44} {median:>6.0} {longest:>8.0}  (≤ {at_most})  {verdict}");
    }
}

pub fn as_json(reactions: &[Reaction]) -> Value {
    let one = |one: &Reaction| {
        let value = json!({
            "median_s": one.median(), "longest_s": one.longest(), "runs": one.seconds,
            "at_most_s": one.trouble.at_most().as_secs_f64(), "met": one.met(),
        });
        (one.trouble.name(), value)
    };
    json!(reactions.iter().map(one).collect::<BTreeMap<_, _>>())
}
