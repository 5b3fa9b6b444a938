//! The exec check: a program of the operator's, which ends with status 0 if the
//! backend works.
//!
//! It runs in a process group of its own, which is killed when the program has
//! ended, when its time is up and when the probe is abandoned, so that nothing
//! it started stays behind (unless it made a group for itself).

use std::{os::fd::OwnedFd, process::ExitStatus, process::Stdio};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
    sync::{Semaphore, SemaphorePermit},
};

use super::Failure;
use crate::{config::ExecCheck, health::Target};

/// Programs that run at a time.
const AT_ONCE: usize = 16;
/// Of a program's output, what may become the reason.
const MOST_KEPT: usize = 4096;
/// What is read at all. A program that writes more waits until its time is up.
const MOST_READ: usize = 1 << 20;
/// Characters of a reason.
const MOST_SHOWN: usize = 200;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A probe's time starts with its turn.
pub struct Turns(Semaphore);

impl Turns {
    pub fn new() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }

    pub async fn acquire(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect("turns are never closed")
    }
}

pub async fn run(check: &ExecCheck, target: &Target) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::NotMade(format!("cannot run {}: {error}", check.program().display()))
    };
    let (reader, writer) = std::io::pipe().map_err(cannot)?;
    let mut command = command(check, target);
    command.stdout(writer.try_clone().map_err(cannot)?).stderr(writer);
    let mut child = command.spawn().map_err(cannot)?;
    // Its ends of the pipe are to be the program's alone.
    drop(command);
    let _group = Group::of(&child);
    let mut output = Output::of(reader.into()).map_err(cannot)?;
    let status = tokio::select! {
        biased;
        status = child.wait() => status.map_err(cannot)?,
        () = output.collect() => child.wait().await.map_err(cannot)?,
    };
    output.rest();
    if status.success() { Ok(()) } else { Err(Failure::Fails(reason(status, &output.kept))) }
}

fn command(check: &ExecCheck, target: &Target) -> Command {
    let mut command = Command::new(check.program());
    command
        .args(check.command.iter().skip(1))
        .env_clear()
        .env("PATH", PATH)
        .env("LB_ADDRESS", target.address.to_string())
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    if target.port != 0 {
        command.env("LB_PORT", target.port.to_string());
    }
    if let Some(names) = &target.names {
        command.env("LB_SERVICE", &names.service).env("LB_BACKEND", &names.backend);
    }
    command
}

/// Killed when dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Most often all of it has ended.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

struct Output {
    pipe: Receiver,
    kept: Vec<u8>,
    read: usize,
}

impl Output {
    fn of(pipe: OwnedFd) -> std::io::Result<Self> {
        Ok(Self { pipe: Receiver::from_owned_fd(pipe)?, kept: Vec::new(), read: 0 })
    }

    /// Until it is closed, or too much.
    async fn collect(&mut self) {
        let mut buffer = vec![0; MOST_KEPT];
        while self.read < MOST_READ {
            match self.pipe.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => self.keep(&buffer[..length]),
            }
        }
    }

    /// What has been written and not been read.
    fn rest(&mut self) {
        let mut buffer = vec![0; MOST_KEPT];
        while self.kept.len() < MOST_KEPT {
            match self.pipe.try_read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(length) => self.keep(&buffer[..length]),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.read += bytes.len();
        let room = MOST_KEPT - self.kept.len();
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// How it ended, and the first line that it wrote.
fn reason(status: ExitStatus, output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    match text.lines().map(str::trim).find(|line| !line.is_empty()) {
        None => status.to_string(),
        Some(line) => {
            let line: String = line.chars().filter(|c| !c.is_control()).take(MOST_SHOWN).collect();
            format!("{status}: {line}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use crate::health::{
        check::{Checks, Probe, testing},
        state::Outcome,
    };

    async fn sh(script: &str, timeout: &str) -> Outcome {
        let script = serde_json::to_string(script).unwrap();
        let keys = format!(
            "type: exec, interval: 1h, timeout: {timeout}, command: [/bin/sh, -c, {script}]"
        );
        let target = testing::target("192.0.2.9:8080".parse().unwrap(), &keys);
        Checks::new(None).probe(&target).await
    }

    fn fails(why: &str) -> Outcome {
        Outcome::Fails(why.into())
    }

    #[tokio::test]
    async fn the_status_decides_and_the_output_says_why() {
        assert!(matches!(sh("exit 0", "30s").await, Outcome::Works(_)));
        assert_eq!(sh("exit 3", "30s").await, fails("exit status: 3"));
        let why = "exit status: 2: queue is too long";
        assert_eq!(sh("echo; echo ' queue is too long'; exit 2", "30s").await, fails(why));
        assert_eq!(sh("echo bad >&2; exit 1", "30s").await, fails("exit status: 1: bad"));
        assert_eq!(sh("kill -9 $$", "30s").await, fails("signal: 9 (SIGKILL)"));
    }

    #[tokio::test]
    async fn a_program_knows_whom_it_is_for_and_nothing_else() {
        let script = "echo $LB_SERVICE $LB_BACKEND $LB_ADDRESS $LB_PORT $(env | wc -l); exit 1";
        // PATH and PWD beside the four.
        let Outcome::Fails(why) = sh(script, "30s").await else { panic!() };
        assert!(why.starts_with("exit status: 1: web a 192.0.2.9 8080 "), "{why}");
        let count: u32 = why.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(count <= 8, "{why}");
    }

    #[tokio::test]
    async fn a_missing_program_proves_nothing() {
        let target = testing::target(
            "192.0.2.9:80".parse().unwrap(),
            "type: exec, command: [/nonexistent/check]",
        );
        let outcome = Checks::new(None).probe(&target).await;
        assert!(matches!(&outcome, Outcome::NotMade(why) if why.contains("/nonexistent/check")));
    }

    #[tokio::test]
    async fn floods_are_bounded() {
        assert_eq!(sh("yes | head -c 500000; exit 1", "30s").await, fails("exit status: 1: y"));
        assert_eq!(sh("yes", "300ms").await, fails("no answer within 300 ms"));
    }

    #[tokio::test]
    async fn nothing_is_left_when_the_time_is_up_or_the_program_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        for (script, timeout) in
            [("sleep 1000 & echo $! > F; wait", "300ms"), ("sleep 1000 & echo $! > F", "30s")]
        {
            let file = directory.path().join("pid");
            sh(&script.replace('F', file.to_str().unwrap()), timeout).await;
            let pid = std::fs::read_to_string(&file).unwrap();
            ended(pid.trim()).await;
        }
    }

    /// A process that was killed may take a moment, and may stay as a zombie
    /// where nobody reaps it.
    async fn ended(pid: &str) {
        let stat = Path::new("/proc").join(pid).join("stat");
        let is_running = || std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z "));
        for _ in 0..3000 {
            if !is_running() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("process {pid} still runs");
    }
}
