//! How a command fails: a message with a next step, and an exit code.

use std::{fmt, io, process::ExitCode};

use crate::{
    api::{Instance, RuntimeDir, client, protocol::ErrorCode},
    config::Problems,
};

/// Documented in `--help` and docs/stats.md.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    Failed = 1,
    Wrong = 2,
    NotRunning = 3,
    NotPermitted = 4,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The daemon could not be asked, or would not do it.
    pub fn asking(error: client::Error, instance: &Instance, dir: &RuntimeDir) -> Self {
        match error {
            client::Error::NotRunning(_) => {
                Self::new(Code::NotRunning, not_running(&error, instance, &dir.running()))
            }
            client::Error::NotPermitted(_) => Self::new(
                Code::NotPermitted,
                format!(
                    "{error}\ntry it with sudo; `control: {{ group: NAME }}` in the configuration \
                     lets a group read statistics"
                ),
            ),
            client::Error::Refused(refusal) => {
                let code = match refusal.code {
                    ErrorCode::BadConfiguration | ErrorCode::NotFound => Code::Wrong,
                    ErrorCode::NotPermitted => Code::NotPermitted,
                    _ => Code::Failed,
                };
                Self::new(code, [refusal.problems, vec![refusal.message]].concat().join("\n"))
            }
            client::Error::Broken { .. } => Self::new(
                Code::Failed,
                format!("{error}\nits log says what it is doing: journalctl -u lb-daemon"),
            ),
            client::Error::NotUnderstood(_) => Self::new(Code::Failed, error.to_string()),
        }
    }
}

fn not_running(error: &client::Error, instance: &Instance, running: &[String]) -> String {
    let mut text =
        format!("{error}: instance {instance:?} is not running", instance = instance.as_str());
    if running.is_empty() {
        text.push_str("\nstart it with: systemctl start lb-daemon, or lb-daemon run --config PATH");
    } else {
        text.push_str(&format!("\nrunning instances: {}", running.join(", ")));
        text.push_str("; choose one with --instance NAME");
    }
    text
}

/// What the daemon or the loader reports when it cannot go on.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        if let Some(problems) = error.downcast_ref::<Problems>() {
            return Self::new(Code::Wrong, problems.to_string());
        }
        if error.chain().any(is_missing_permission) {
            return Self::new(
                Code::NotPermitted,
                format!("{error:#}\nit needs root: try it with sudo"),
            );
        }
        Self::new(Code::Failed, format!("{error:#}"))
    }
}

fn is_missing_permission(cause: &(dyn std::error::Error + 'static)) -> bool {
    // EPERM is `PermissionDenied` too.
    let kind = cause.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::PermissionDenied) && !nix::unistd::geteuid().is_root()
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::protocol::Error as Refusal;

    fn asking(error: client::Error, dir: &RuntimeDir) -> Failure {
        Failure::asking(error, &Instance::default(), dir)
    }

    #[test]
    fn no_daemon_names_the_instances_that_run() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::new(dir.path());
        let not_running = || client::Error::NotRunning("/run/x.sock".into());
        let alone = asking(not_running(), &runtime);
        assert_eq!(alone.code, Code::NotRunning);
        assert!(alone.to_string().contains("lb-daemon run --config"), "{alone}");
        let _edge = std::os::unix::net::UnixListener::bind(dir.path().join("edge.sock")).unwrap();
        let other = asking(not_running(), &runtime).to_string();
        assert!(other.contains("running instances: edge"), "{other}");
    }

    #[test]
    fn a_refused_reload_shows_every_problem_and_is_the_files_fault() {
        let refusal = Refusal::bad_configuration("lb.yaml", vec!["a".into(), "b".into()]);
        let failure = asking(refusal.into(), &RuntimeDir::default());
        assert_eq!(failure.code, Code::Wrong);
        assert!(failure.to_string().starts_with("a\nb\nlb.yaml was not loaded"), "{failure}");
    }

    #[test]
    fn every_exit_code_is_documented() {
        let page = include_str!("../../../docs/stats.md");
        let table = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
        let documented: Vec<_> = table.filter_map(|(code, _)| code.parse::<u8>().ok()).collect();
        assert_eq!(documented, [0, 1, 2, 3, 4]);
        assert_eq!(
            [Code::Failed, Code::Wrong, Code::NotRunning, Code::NotPermitted]
                .map(|code| code as u8),
            [1, 2, 3, 4]
        );
    }

    #[test]
    fn a_bad_file_at_start_is_told_from_other_failures() {
        let problems = crate::config::parse("x.yaml", "services: 3").unwrap_err();
        let expected = problems.to_string();
        let failure = Failure::from(anyhow::Error::from(problems).context("cannot start"));
        assert_eq!((failure.code, failure.to_string()), (Code::Wrong, expected));
        assert_eq!(Failure::from(anyhow::anyhow!("no")).code, Code::Failed);
    }
}
