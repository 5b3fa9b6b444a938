//! Running other programs: quietly, with progress while they take long, and with
//! their whole output when they fail.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use anyhow::{Context, Result, bail};
use nix::unistd::{dup, dup2_stdout};

/// How often a long step is heard of where the output is not a terminal.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How often the line of a long step changes on a terminal.
const REWRITE: Duration = Duration::from_millis(200);

/// What a captured program wrote (standard output and error as they came) and did.
pub struct Captured {
    pub text: String,
    pub ok: bool,
    pub elapsed: Duration,
}

pub fn heading(text: &str) {
    println!("\n==> {text}");
}

pub fn say(text: &str) {
    println!("    {text}");
}

/// From now on what this program prints goes to standard error; returns the
/// standard output, for figures that a program will read.
pub fn progress_to_stderr() -> Result<OwnedFd> {
    let stdout = dup(io::stdout()).context("cannot duplicate standard output")?;
    dup2_stdout(io::stderr()).context("cannot redirect standard output")?;
    Ok(stdout)
}

/// The standard output of a short program.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", describe(command)))?;
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        bail!("`{}` failed ({}): {}", describe(command), out.status, stderr.trim());
    }
    String::from_utf8(out.stdout).with_context(|| format!("`{}` wrote no text", describe(command)))
}

/// Runs one long step: progress, then a line that it is done. On failure everything
/// it wrote is shown.
pub fn step(what: &str, command: &mut Command) -> Result<()> {
    let result = attempt(what, command)?;
    if !result.ok {
        eprint!("{}", result.text);
        bail!("{what} failed; the command was `{}`", describe(command));
    }
    Ok(())
}

/// Runs a step that may fail, and says whether it did.
pub fn attempt(what: &str, command: &mut Command) -> Result<Captured> {
    let result = capture(what, command)?;
    let verdict = if result.ok { "done" } else { "FAILED" };
    say(&format!("{what}: {verdict} ({})", seconds(result.elapsed)));
    Ok(result)
}

/// Runs a program and keeps what it writes, showing progress while it takes long.
pub fn capture(what: &str, command: &mut Command) -> Result<Captured> {
    let start = Instant::now();
    let (mut reader, writer) = io::pipe().context("cannot make a pipe")?;
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone().context("cannot share a pipe")?).stderr(writer);
    let child = command.spawn();
    // The pipe ends when its last writer closes: `command` must not hold one.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.with_context(|| format!("cannot start `{}`", describe(command)))?;

    let (sender, chunks) = mpsc::channel();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            if sender.send(buffer[..n].to_vec()).is_err() {
                return;
            }
        }
    });

    let mut progress = Progress::new(what, start);
    let mut bytes = Vec::new();
    loop {
        match chunks.recv_timeout(Duration::from_secs(1)) {
            Ok(chunk) => bytes.extend(chunk),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        progress.show(&bytes);
    }
    let status =
        child.wait().with_context(|| format!("cannot wait for `{}`", describe(command)))?;
    progress.clear();
    Ok(Captured { text: plain_text(&bytes), ok: status.success(), elapsed: start.elapsed() })
}

/// The line that shows a step while it runs: rewritten in place on a terminal, said
/// once it takes long and repeated now and then elsewhere.
struct Progress<'a> {
    what: &'a str,
    start: Instant,
    next: Instant,
    terminal: bool,
}

impl<'a> Progress<'a> {
    fn new(what: &'a str, start: Instant) -> Self {
        let terminal = io::stdout().is_terminal();
        let first = if terminal { Duration::ZERO } else { Duration::from_secs(3) };
        Self { what, start, next: start + first, terminal }
    }

    fn show(&mut self, bytes: &[u8]) {
        if Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + if self.terminal { REWRITE } else { HEARTBEAT };
        let seconds = self.start.elapsed().as_secs();
        let tail = plain_text(&bytes[bytes.len().saturating_sub(400)..]);
        let last = tail.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        let last: String = last.chars().take(60).collect();
        if self.terminal {
            print!("\r\x1b[K    {} … {seconds} s  \x1b[2m{last}\x1b[0m", self.what);
            let _ = io::stdout().flush();
        } else {
            println!("    {} … {seconds} s  {last}", self.what);
        }
    }

    fn clear(&self) {
        if self.terminal {
            print!("\r\x1b[K");
        }
    }
}

/// A duration for people.
pub fn seconds(duration: Duration) -> String {
    let s = duration.as_secs_f64();
    if s < 60.0 {
        format!("{s:.1} s")
    } else {
        format!("{}:{:02} min", s as u64 / 60, s as u64 % 60)
    }
}

/// Text without terminal control sequences; carriage returns become line ends.
fn plain_text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_escape(&mut chars),
            '\r' if chars.as_str().starts_with('\n') => {}
            '\r' => plain.push('\n'),
            c if c == '\n' || c == '\t' || !c.is_control() => plain.push(c),
            _ => {}
        }
    }
    plain
}

/// Skips the rest of an escape sequence: `[ … letter`, `( letter`, or one character.
fn skip_escape(chars: &mut std::str::Chars<'_>) {
    match chars.next() {
        Some('[') => {
            chars.find(|c| ('@'..='~').contains(c));
        }
        Some('(' | ')') => {
            chars.next();
        }
        _ => {}
    }
}

/// A command as one would type it, without its environment.
pub fn describe(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| quote(&arg.to_string_lossy())));
    words.join(" ")
}

/// A word quoted for a shell where it must be.
pub fn quote(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Finds a program as a shell would, and where only root's `PATH` has it.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|p| is_executable(p))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_sequences_leave_no_trace() {
        assert_eq!(plain_text(b"\x1b[1mbold\x1b(B\x1b[0m\r\nnext\x1bc\rlast"), "bold\nnext\nlast");
    }

    #[test]
    fn words_are_quoted_only_where_a_shell_would_read_more() {
        assert_eq!(quote("--root=/tmp/x"), "--root=/tmp/x");
        assert_eq!(quote("it's here"), r"'it'\''s here'");
        assert_eq!(quote(""), "''");
    }

    #[test]
    fn a_failing_program_is_captured_with_both_its_outputs() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let captured = capture("a failing program", &mut command).unwrap();
        assert!(!captured.ok);
        assert_eq!(captured.text, "out\nerr\n");
    }
}
