//! The hosts of the demo, and the order of its scenes.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result};
use lb_test_lab::{Daemon, Lab, Process, Settings, Tools, dnsmasq, nginx};

use super::config::{DNS, WEB, WEB6};
use super::ledger::Ledger;
use super::{config, keep, scenes};
use crate::sh;

/// Everything on stage.
pub struct Stage<'a> {
    pub lab: &'a Lab,
    pub daemon: Daemon<'a>,
    /// The servers of each backend, by its number.
    pub servers: BTreeMap<usize, Vec<Process>>,
    /// What happened, for the end.
    pub summary: Vec<(&'static str, Ledger)>,
}

pub fn perform(tools: Tools, keep: bool) -> Result<()> {
    let start = Instant::now();
    sh::heading("Hosts, as network namespaces");
    let vips = [WEB.into(), WEB6.into(), DNS.into()];
    let settings =
        Settings { prefix: "lb-demo", backends: config::ADDED, vips: &vips, behind: false };
    let lab = Lab::new(&settings, &tools).context("cannot make the hosts")?;
    sh::say(
        "client 198.51.100.2 ── router ── LAN 10.0.0.0/24: balancer .2, web-1 to web-4 .11 to .14",
    );
    sh::say(&format!("the router sends {}, {} and {} to the balancer", WEB, WEB6, DNS));

    let mut servers = BTreeMap::new();
    for number in 1..=config::ADDED {
        servers.insert(number, serve(&lab, number)?);
    }
    sh::say("nginx and dnsmasq run on web-1 to web-4; each answers with its host's name");

    sh::heading("The configuration file");
    for line in config::file().lines() {
        sh::say(&format!("│ {line}"));
    }
    sh::heading("The daemon");
    let daemon = Daemon::start(&lab, &config::file())?;
    sh::say("running on the balancer: its XDP program is attached, all backends are probed");

    let mut stage = Stage { lab: &lab, daemon, servers, summary: Vec::new() };
    scenes::spread(&mut stage)?;
    scenes::failover(&mut stage)?;
    scenes::grow(&mut stage)?;
    scenes::kill_daemon(&mut stage)?;
    let sound = scenes::conclude(&stage)?;
    sh::say(&format!("({} of showing)", sh::seconds(start.elapsed())));

    if keep {
        keep::explain(&lab)?;
        stage.daemon.leave_running();
        for process in stage.servers.into_values().flatten() {
            process.leave_running();
        }
    } else {
        sh::say("removing the hosts");
    }
    anyhow::ensure!(sound, "something was lost that should not have been; see above");
    Ok(())
}

/// Starts the servers of a backend.
pub fn serve(lab: &Lab, number: usize) -> Result<Vec<Process>> {
    let host = &lab.backends[number - 1];
    Ok(vec![nginx(lab, host)?, dnsmasq(lab, host)?])
}

impl Stage<'_> {
    /// Shows what was counted, and remembers it for the end.
    pub fn count(&mut self, what: &'static str, ledger: Ledger) {
        sh::say(&format!("{what}:"));
        for line in ledger.lines() {
            sh::say(&format!("  {line}"));
        }
        self.summary.push((what, ledger));
    }

    /// Runs a command of `lb-daemon` and shows it with what it prints.
    pub fn show(&self, subcommand: &str) -> Result<()> {
        sh::say(&format!("$ lb-daemon {subcommand}"));
        let mut command = self.daemon.command(subcommand);
        if subcommand == "check" {
            command.arg("--config").arg(self.daemon.config_path());
        }
        let out = command.stdin(Stdio::null()).output().context("cannot start lb-daemon")?;
        for text in [out.stdout, out.stderr] {
            for line in String::from_utf8_lossy(&text).lines() {
                sh::say(&format!("  {line}"));
            }
        }
        anyhow::ensure!(out.status.success(), "lb-daemon {subcommand} failed");
        Ok(())
    }
}
