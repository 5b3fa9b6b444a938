//! The exec check: a program of the operator's, which ends with status 0 if the
//! backend works.

use tokio::{
    process::Command,
    sync::{Semaphore, SemaphorePermit},
};

use super::Failure;
use crate::{
    config::ExecCheck,
    health::Target,
    program::{self, Unsuccessful},
};

/// Programs that run at a time.
const AT_ONCE: usize = 16;

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
    program::run(command(check, target)).await.map_err(|failure| match failure {
        Unsuccessful::NotRun(why) => Failure::NotMade(why),
        Unsuccessful::Failed(why) => Failure::Fails(why),
    })
}

fn command(check: &ExecCheck, target: &Target) -> Command {
    let mut command = program::command(&check.command);
    command.env("LB_ADDRESS", target.address.to_string());
    if target.port != 0 {
        command.env("LB_PORT", target.port.to_string());
    }
    if let Some(names) = &target.names {
        command.env("LB_SERVICE", &names.service).env("LB_BACKEND", &names.backend);
    }
    command
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
