//! Programs of the operator's: started without a shell, with little around them,
//! and gone when their time is up.
//!
//! One runs in a process group of its own, which is killed when the program has
//! ended, and when whoever waits for it does not any more, so that nothing
//! it started stays behind (unless it made a group for itself).

use std::{
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    process::{Child, Command},
};

/// Of a program's output, what may become the reason.
const MOST_KEPT: usize = 4096;
/// What is read at all. A program that writes more waits until its time is up.
const MOST_READ: usize = 1 << 20;
/// Characters of a reason.
const MOST_SHOWN: usize = 200;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Why a program did not succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unsuccessful {
    /// It could not be started, for a reason of this host.
    NotRun(String),
    /// It ended otherwise than with status 0.
    Failed(String),
}

/// The program and arguments of `words`, in a bare environment.
pub fn command(words: &[String]) -> Command {
    let mut command = Command::new(words.first().map_or("", String::as_str));
    command
        .args(words.iter().skip(1))
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    command
}

/// Waits until it has ended.
pub async fn run(mut command: Command) -> Result<(), Unsuccessful> {
    let program = command.as_std().get_program().display().to_string();
    let cannot =
        |error: std::io::Error| Unsuccessful::NotRun(format!("cannot run {program}: {error}"));
    let (reader, writer) = std::io::pipe().map_err(cannot)?;
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
    if status.success() { Ok(()) } else { Err(Unsuccessful::Failed(reason(status, &output.kept))) }
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
