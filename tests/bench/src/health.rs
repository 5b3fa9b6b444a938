//! What probes cost: CPU time of the daemon's own prober, of everything it does
//! in user space and in the kernel on its behalf, for each probe and at a rate.
//!
//! Targets are addresses of the loopback network of a network namespace of this
//! process's own. The server is another process, so that its time is not
//! counted; but over loopback much of what the kernel does for it happens in the
//! prober's time, so that real figures are lower.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use lb_daemon::config;
use lb_daemon::control::targets;
use lb_daemon::health::{Prober, State, Target};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use crate::reaction::{self, Reaction};

const TARGETS: u32 = 5000;
const INTERVAL: Duration = Duration::from_secs(1);
/// Cores that 5,000 TCP probes a second may take.
const MOST_CORES: f64 = 0.5;
const BACKLOG: u32 = 4096;
/// Until all targets have been probed `rise` times.
const PATIENCE: Duration = Duration::from_secs(60);

/// A type of check, and its keys.
const CHECKS: [(&str, &str); 3] = [
    ("tcp", "type: tcp"),
    ("http", "type: http, path: /healthz, body: ok"),
    ("icmp", "type: icmp"),
];

struct Cost {
    check: &'static str,
    probes: u64,
    cpu: Duration,
    wall: Duration,
}

impl Cost {
    fn per_probe(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.probes as f64
    }

    fn cores(&self) -> f64 {
        self.cpu.as_secs_f64() / self.wall.as_secs_f64()
    }

    fn per_second(&self) -> f64 {
        self.probes as f64 / self.wall.as_secs_f64()
    }
}

/// Measures reactions and all checks, and prints.
pub fn run(json: bool, quick: bool) -> Result<()> {
    let reactions = reaction::measure(if quick { 2 } else { 10 })?;
    unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    ensure!(up.context("cannot start ip")?.success(), "cannot set lo up");
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 0").context("ping_group_range")?;
    let (server, port) = Server::start()?;
    let wall = Duration::from_secs(if quick { 3 } else { 10 });
    let runtime = runtime::Builder::new_multi_thread().enable_all().build()?;
    let measured = CHECKS.iter().map(|(check, keys)| {
        eprintln!("{TARGETS} targets, {check}");
        runtime.block_on(measure(check, keys, port, wall))
    });
    let costs: Vec<Cost> = measured.collect::<Result<_>>()?;
    drop(server);
    if json {
        println!("{:#}", as_json(&costs, &reactions))
    } else {
        print(&costs);
        reaction::print(&reactions);
    }
    Ok(())
}

async fn measure(check: &'static str, keys: &str, port: u16, wall: Duration) -> Result<Cost> {
    let (sender, mut events) = mpsc::unbounded_channel();
    let prober = Prober::new(sender, None);
    let all = all_targets(keys, port)?;
    prober.set_targets(all.iter().cloned());
    for _ in 0..TARGETS {
        let event = timeout(PATIENCE, events.recv()).await.context("targets do not come up")?;
        let event = event.context("the prober ended")?;
        ensure!(event.state == State::Up, "{}: {}", event.target, event.reason);
    }
    let (begun, probes, cpu) = (Instant::now(), prober.probes(), cpu_time()?);
    sleep(wall).await;
    let cost = Cost {
        check,
        probes: prober.probes() - probes,
        cpu: cpu_time()? - cpu,
        wall: begun.elapsed(),
    };
    ensure!(events.is_empty(), "targets did not stay up: the figure is of failures, too");
    Ok(cost)
}

/// Addresses that a file could not name: those of this host.
fn all_targets(keys: &str, port: u16) -> Result<Vec<Target>> {
    let text = format!(
        "interfaces: [lo]\nservices:\n- {{name: s, vip: 203.0.113.1, port: {port}, mode: dsr, \
         health: {{interval: {}s, {keys}}}, backends: [{{name: b, address: 192.0.2.1}}]}}\n",
        INTERVAL.as_secs()
    );
    let config = config::parse("bench", &text).map_err(|why| anyhow::anyhow!("{why}"))?.config;
    let one = targets(&config).into_iter().next().context("it is probed")?;
    let address = |number: u32| IpAddr::V4(Ipv4Addr::from_bits(0x7f01_0001 + number));
    Ok((0..TARGETS)
        .map(|number| Target { address: address(number), path: None, ..one.clone() })
        .collect())
}

/// Of this process, in user space and kernel.
fn cpu_time() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let duration = |time: TimeVal| {
        Duration::from_secs(time.tv_sec() as u64) + Duration::from_micros(time.tv_usec() as u64)
    };
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

fn print(costs: &[Cost]) {
    println!("\nProbes of {TARGETS} targets at intervals of {INTERVAL:?}, over loopback\n");
    println!("{:<8} {:>10} {:>14} {:>8}", "check", "probes/s", "µs CPU/probe", "cores");
    for cost in costs {
        println!(
            "{:<8} {:>10.0} {:>14.1} {:>8.2}",
            cost.check,
            cost.per_second(),
            cost.per_probe(),
            cost.cores()
        );
    }
    let cores = costs[0].cores();
    let verdict = if cores <= MOST_CORES { "met" } else { "MISSED" };
    println!(
        "\n{:<52} {cores:>6.2} {:<5} (≤ {MOST_CORES:.2})  {verdict}",
        format!("{TARGETS} TCP targets at intervals of {INTERVAL:?}"),
        "cores"
    );
}

fn as_json(costs: &[Cost], reactions: &[Reaction]) -> Value {
    let each = costs.iter().map(|cost| {
        json!({
            "check": cost.check, "targets": TARGETS, "per_second": cost.per_second(),
            "us_per_probe": cost.per_probe(), "cores": cost.cores(),
        })
    });
    let cores = costs[0].cores();
    json!({
        "version": 1,
        "probes": each.collect::<Vec<_>>(),
        "reactions": reaction::as_json(reactions),
        "targets": [{
            "what": "5,000 TCP targets at 1 s", "is": cores, "at_most": MOST_CORES,
            "unit": "cores", "met": cores <= MOST_CORES,
        }],
    })
}

/// Ends with this.
struct Server(Child);

impl Server {
    fn start() -> Result<(Self, u16)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("health-server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let output = child.stdout.take().context("its output is a pipe")?;
        let server = Self(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Ok((server, line.trim().parse().context("the server did not say its port")?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other process: answers requests on a port that it prints, until its
/// standard input is closed.
pub fn serve() -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))?;
        let listener = socket.listen(BACKLOG)?;
        println!("{}", listener.local_addr()?.port());
        loop {
            // A probe that ended early is an error of its own.
            if let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        }
    })
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 1024];
    if stream.read(&mut request).await? > 0 {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
    }
    Ok(())
}
