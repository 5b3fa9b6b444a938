//! A program that runs in a host until it is dropped or killed.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it, its output going to a file. Ctrl-C does not reach it.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("cannot share a file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lets it outlive this value.
    pub fn leave_running(self) {
        std::mem::forget(self);
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal)
            .with_context(|| format!("cannot send {signal} to process {}", self.pid()))
    }

    /// Sends a signal and waits for the end.
    pub fn stop(mut self, signal: Signal) -> Result<ExitStatus> {
        self.signal(signal)?;
        self.child.wait().context("cannot wait for a process")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What has ended already is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
