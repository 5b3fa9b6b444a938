//! The scenes of the demo: each does something to the balancer and counts what clients
//! see of it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;

use super::config::{ADDED, DNS, WEB, WEB6, WEIGHTS, file, line, name, with_added};
use super::stage::{Stage, serve};
use super::traffic::{Stream, curl, dig};
use crate::sh;

/// The backend that fails and returns.
const VICTIM: usize = 2;

/// Traffic by weight, and the statistics of it.
pub fn spread(stage: &mut Stage) -> Result<()> {
    sh::heading("Traffic, spread by weight");
    let weights: Vec<String> =
        WEIGHTS.iter().map(|(number, weight)| format!("{} {weight}", name(*number))).collect();
    sh::say(&format!("weights: {}", weights.join(", ")));
    stage.count("curl over IPv4", curl(&stage.lab.client, WEB, 300)?);
    stage.count("curl over IPv6", curl(&stage.lab.client, WEB6, 100)?);
    stage.count("dig over UDP", dig(&stage.lab.client, DNS, 100)?);

    sh::heading("Statistics");
    // The daemon samples its counters each second.
    sleep(Duration::from_millis(1200));
    stage.show("stats")
}

/// A backend's servers are killed, and return.
pub fn failover(stage: &mut Stage) -> Result<()> {
    let victim = name(VICTIM);
    sh::heading(&format!("{victim} fails: its servers are killed"));
    let killed = Instant::now();
    stage.servers.remove(&VICTIM);
    stage.daemon.wait_for("the failed backend is out", |stats| {
        ["web", "dns"].iter().all(|service| {
            stats.state(service, &victim) == "dead" && stats.share(service, &victim) == 0.0
        })
    })?;
    sh::say(&format!("{victim} is dead and has no share after {}", sh::seconds(killed.elapsed())));
    let web = curl(&stage.lab.client, WEB, 150)?;
    let dns = dig(&stage.lab.client, DNS, 50)?;
    ensure!(web.of(&victim) + dns.of(&victim) == 0, "{victim} is dead and still got traffic");
    stage.count("curl without web-2", web);
    stage.count("dig without web-2", dns);

    sh::heading(&format!("{victim} returns"));
    stage.servers.insert(VICTIM, serve(stage.lab, VICTIM)?);
    let started = Instant::now();
    stage.daemon.wait_for("the backend is back", |stats| {
        ["web", "dns"].iter().all(|service| {
            stats.state(service, &victim) == "up" && stats.share(service, &victim) > 0.2
        })
    })?;
    sh::say(&format!("{victim} is up and has its share after {}", sh::seconds(started.elapsed())));
    let web = curl(&stage.lab.client, WEB, 150)?;
    ensure!(web.of(&victim) > 0, "{victim} is up and gets no traffic");
    stage.count("curl with web-2 back", web);
    Ok(())
}

/// A backend is added to the file.
pub fn grow(stage: &mut Stage) -> Result<()> {
    let added = name(ADDED);
    sh::heading(&format!("{added} is added to the file, in both services"));
    sh::say(&format!("+   {}", line(ADDED, 1)));
    stage.daemon.write_config(&with_added(&file()))?;
    stage.show("check")?;
    stage.show("reload")?;
    stage.daemon.wait_for("the new backend has its share", |stats| {
        stats.state("web", &added) == "up" && stats.share("web", &added) > 0.15
    })?;
    let web = curl(&stage.lab.client, WEB, 200)?;
    ensure!(web.of(&added) > 0, "{added} is up and gets no traffic");
    stage.count("curl with web-4", web);
    Ok(())
}

/// The daemon is killed under traffic, and started again.
pub fn kill_daemon(stage: &mut Stage) -> Result<()> {
    sh::heading("The daemon is killed with SIGKILL, under traffic");
    let stream = Stream::start(&stage.lab.client, WEB.into());
    let stream6 = Stream::start(&stage.lab.client, WEB6.into());
    sleep(Duration::from_secs(1));
    let before = stage.daemon.stats()?;
    stage.daemon.stop(Signal::SIGKILL)?;
    sh::say(&format!("process {} is gone; traffic goes on for 3 s without a daemon", before.pid()));
    sleep(Duration::from_secs(3));
    stage.daemon.start_again()?;
    let after = stage.daemon.stats()?;
    sh::say(&format!(
        "process {} has adopted program and counters: {} packets were forwarded before, {} now",
        after.pid(),
        before.total("forwarded"),
        after.total("forwarded")
    ));
    sleep(Duration::from_secs(1));
    let mut ledger = stream.stop()?;
    ledger.add(&stream6.stop()?);
    stage.count("curl while the daemon was killed", ledger);
    Ok(())
}

/// The summary; says whether nothing was lost.
pub fn conclude(stage: &Stage) -> Result<bool> {
    sh::heading("Summary");
    let mut sound = true;
    for (what, ledger) in &stage.summary {
        sh::say(&format!("{what:<34} {:>6} ok {:>4} failed", ledger.answered(), ledger.failed));
        sound &= ledger.failed == 0 && ledger.answered() > 0;
    }
    let stats =
        stage.daemon.wait_for("packets are counted", |stats| stats.total("residual") == 0)?;
    sh::say(&format!(
        "balancer: {} packets received = {} forwarded + {} passed to the kernel + {} dropped",
        stats.total("received"),
        stats.total("forwarded"),
        stats.total("passed"),
        stats.total("dropped")
    ));
    Ok(sound)
}
