//! Real clients: curl for the web service, dig for the name service.

use std::net::IpAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};
use lb_test_lab::Host;

use super::ledger::Ledger;

/// Requests over HTTP, each on a connection of its own.
pub fn curl(client: &Host, vip: impl Into<IpAddr>, times: usize) -> Result<Ledger> {
    let url = match vip.into() {
        IpAddr::V4(vip) => format!("http://{vip}/?[1-{times}]"),
        IpAddr::V6(vip) => format!("http://[{vip}]/?[1-{times}]"),
    };
    let mut command = client.command("curl");
    command.args(["--silent", "--max-time", "5", "--write-out", "exit %{exitcode}\n", &url]);
    let out = command.stdin(Stdio::null()).output().context("cannot start curl")?;
    let mut ledger = Ledger::default();
    for line in String::from_utf8_lossy(&out.stdout).lines() {
        match line.strip_prefix("exit ") {
            Some("0") => {}
            Some(_) => ledger.failed += 1,
            None => ledger.answer(line),
        }
    }
    ledger.failed = times - ledger.answered().min(times);
    Ok(ledger)
}

/// Questions over UDP, each from a port of its own.
pub fn dig(client: &Host, vip: impl Into<IpAddr>, times: usize) -> Result<Ledger> {
    let mut command = client.command("dig");
    command.arg(format!("@{}", vip.into())).args(["+short", "+tries=1", "+time=2"]);
    for _ in 0..times {
        command.args(["whoami.lab", "TXT"]);
    }
    let out = command.stdin(Stdio::null()).output().context("cannot start dig")?;
    let mut ledger = Ledger::default();
    let text = String::from_utf8_lossy(&out.stdout);
    for name in text.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"')) {
        ledger.answer(name);
    }
    ledger.failed = times - ledger.answered().min(times);
    Ok(ledger)
}

/// Requests without pause, until it is stopped.
pub struct Stream {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Ledger>>,
}

impl Stream {
    pub fn start(client: &Host, vip: IpAddr) -> Self {
        let (client, stop) = (client.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut all = Ledger::default();
            while !stopped.load(Ordering::Relaxed) {
                all.add(&curl(&client, vip, 20)?);
            }
            Ok(all)
        });
        Self { stop, thread }
    }

    pub fn stop(self) -> Result<Ledger> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
