//! The daemon under test, in the balancer host of a lab.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::lab::Lab;
use crate::process::Process;
use crate::wait::wait_until;

pub struct Daemon<'a> {
    lab: &'a Lab,
    /// A program that it is started by, and its arguments.
    through: &'static [&'static str],
    process: Option<Process>,
}

impl<'a> Daemon<'a> {
    /// Writes the configuration, starts the daemon and waits until it has attached its
    /// program and knows its backends.
    pub fn start(lab: &'a Lab, config: &str) -> Result<Self> {
        Self::start_through(lab, config, &[])
    }

    /// The same for a daemon that lacks CAP_SYS_ADMIN.
    pub fn start_without_sys_admin(lab: &'a Lab, config: &str) -> Result<Self> {
        let through = &["setpriv", "--bounding-set", "-sys_admin"];
        Self::start_through(lab, config, through)
    }

    fn start_through(lab: &'a Lab, config: &str, through: &'static [&'static str]) -> Result<Self> {
        let mut daemon = Self { lab, through, process: None };
        daemon.write_config(config)?;
        daemon.start_again()?;
        Ok(daemon)
    }

    pub fn config_path(&self) -> PathBuf {
        self.lab.file("lb.yaml")
    }

    pub fn write_config(&self, config: &str) -> Result<()> {
        std::fs::write(self.config_path(), config)
            .with_context(|| format!("cannot write {}", self.config_path().display()))
    }

    /// The daemon's command line, in the balancer host.
    pub fn command(&self, subcommand: &str) -> Command {
        self.command_through(&[], subcommand)
    }

    fn command_through(&self, through: &[&str], subcommand: &str) -> Command {
        let daemon = &self.lab.tools.daemon;
        let mut command = match through {
            [] => self.lab.balancer.command(daemon),
            [program, arguments @ ..] => {
                let mut command = self.lab.balancer.command(program);
                command.args(arguments).arg(daemon);
                command
            }
        };
        command.args(["--instance", &self.lab.name, subcommand]);
        command
    }

    /// Starts it with the configuration that is there.
    pub fn start_again(&mut self) -> Result<()> {
        let log = self.lab.file("lb-daemon.log");
        let mut command = self.command_through(self.through, "run");
        command.arg("--config").arg(self.config_path());
        // Heard by whoever binds it, as systemd does.
        command.env("NOTIFY_SOCKET", self.lab.file("notify"));
        let mut process = Process::spawn(&mut command, &log)?;
        let pid = u64::from(process.pid());
        let mut ended = false;
        let waited = wait_until("the daemon is ready", || {
            ended = !process.is_running();
            ended || self.stats().is_ok_and(|stats| stats.pid() == pid && stats.is_ready())
        });
        if ended || waited.is_err() {
            bail!("the daemon did not become ready; its log:\n{}", process.log());
        }
        self.process = Some(process);
        Ok(())
    }

    pub fn stats(&self) -> Result<Stats> {
        let out = self.output(self.command("stats").arg("--json"))?;
        if !out.status.success() {
            bail!("stats failed: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(Stats(serde_json::from_slice(&out.stdout).context("stats printed no JSON")?))
    }

    /// Waits for statistics that satisfy a condition.
    pub fn wait_for(&self, what: &str, holds: impl Fn(&Stats) -> bool) -> Result<Stats> {
        let mut last = None;
        let waited = wait_until(what, || {
            last = self.stats().ok();
            last.as_ref().is_some_and(&holds)
        });
        match (waited, last) {
            (Ok(()), Some(stats)) => Ok(stats),
            (Err(error), last) => {
                let last = last.map_or("none".to_owned(), |stats| stats.0.to_string());
                Err(error.context(format!("the last statistics: {last}\n{}", self.log())))
            }
            (Ok(()), None) => bail!("no statistics"),
        }
    }

    /// `lb-daemon reload`, whatever it says.
    pub fn reload(&self) -> Result<Output> {
        self.output(&mut self.command("reload"))
    }

    fn output(&self, command: &mut Command) -> Result<Output> {
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))
    }

    /// Writes a configuration and reloads it, which must succeed.
    pub fn reconfigure(&self, config: &str) -> Result<String> {
        self.write_config(config)?;
        let out = self.reload()?;
        if !out.status.success() {
            bail!("reload failed: {}", String::from_utf8_lossy(&out.stderr));
        }
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    }

    /// Ends it; with SIGKILL it has no chance to do anything more.
    pub fn stop(&mut self, signal: Signal) -> Result<ExitStatus> {
        self.process.take().context("the daemon is not running")?.stop(signal)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the daemon is not running")?.signal(signal)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.lab.file("lb-daemon.log")).unwrap_or_default()
    }

    /// Lets the process outlive this value.
    pub fn leave_running(mut self) {
        if let Some(process) = self.process.take() {
            process.leave_running();
        }
    }
}

/// What `lb-daemon stats --json` prints.
#[derive(Clone, Debug)]
pub struct Stats(pub Value);

impl Stats {
    pub fn pid(&self) -> u64 {
        self.0["pid"].as_u64().unwrap_or(0)
    }

    fn is_ready(&self) -> bool {
        let attached = |interface: &Value| interface["state"] == "attached";
        let known = |backend: &Value| {
            backend["state"] != "unknown"
                && (backend["state"] != "up" || backend["next_hop"].is_object())
        };
        items(&self.0["interfaces"]).all(attached) && self.backends().all(known)
    }

    pub fn total(&self, name: &str) -> i64 {
        self.0["totals"][name].as_i64().unwrap_or(-1)
    }

    pub fn drops(&self, reason: &str) -> u64 {
        self.0["drops"][reason].as_u64().unwrap_or(0)
    }

    pub fn all_drops(&self) -> u64 {
        self.0["drops"]
            .as_object()
            .map_or(0, |drops| drops.values().filter_map(Value::as_u64).sum())
    }

    pub fn answers(&self, kind: &str) -> u64 {
        self.0["answers"][kind].as_u64().unwrap_or(0)
    }

    pub fn service(&self, name: &str) -> &Value {
        items(&self.0["services"]).find(|s| s["name"] == name).unwrap_or(&Value::Null)
    }

    pub fn backend(&self, service: &str, name: &str) -> &Value {
        items(&self.service(service)["backends"])
            .find(|b| b["name"] == name)
            .unwrap_or(&Value::Null)
    }

    pub fn state(&self, service: &str, backend: &str) -> &str {
        self.backend(service, backend)["state"].as_str().unwrap_or("absent")
    }

    pub fn share(&self, service: &str, backend: &str) -> f64 {
        self.backend(service, backend)["share"].as_f64().unwrap_or(0.0)
    }

    /// Whether every backend takes its share of new connections.
    pub fn all_serve(&self) -> bool {
        self.backends().all(|backend| backend["share"].as_f64() > Some(0.0))
    }

    fn backends(&self) -> impl Iterator<Item = &Value> {
        items(&self.0["services"]).flat_map(|service| items(&service["backends"]))
    }
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
