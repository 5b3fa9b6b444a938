//! A host: a network namespace, and ways to run something in it.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::tools::run;

#[derive(Clone, Debug)]
pub struct Host {
    /// What the host is called in the lab.
    pub name: String,
    /// What its namespace is called on this machine.
    pub namespace: String,
}

impl Host {
    pub(crate) fn create(lab: &str, name: &str) -> Result<Self> {
        let host = Self { name: name.to_owned(), namespace: format!("{lab}-{name}") };
        run(Command::new("ip").args(["netns", "add", &host.namespace]))?;
        host.ip("link set lo up")?;
        // Link-local addresses are ready at once, too.
        host.sysctl(&["net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0"])?;
        Ok(host)
    }

    fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.namespace)
    }

    /// A program in this host. Unlike under `ip netns exec` it sees the file systems of
    /// this machine, among them its bpffs.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display())).arg("--").arg(program);
        command
    }

    /// Runs `ip` with these words, several commands separated by lines.
    pub fn ip(&self, commands: &str) -> Result<()> {
        for line in commands.lines().map(str::trim).filter(|line| !line.is_empty()) {
            run(self.command("ip").args(line.split_whitespace()))?;
        }
        Ok(())
    }

    pub fn sysctl(&self, settings: &[&str]) -> Result<()> {
        run(self.command("sysctl").arg("-qw").args(settings))?;
        Ok(())
    }

    /// Calls a function on a thread of this host. Sockets made there stay there.
    pub fn enter<T: Send>(&self, call: impl FnOnce() -> T + Send) -> Result<T> {
        let path = self.path();
        let namespace =
            File::open(&path).with_context(|| format!("{} is no host", path.display()))?;
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the host")?;
                Ok(call())
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
