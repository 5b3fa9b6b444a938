//! What remains to be removed, whatever happens.
//!
//! Each lab has a directory below `/run/lb-lab` with its files and a script that removes
//! the lab. A guardian process waits at a pipe from the lab's process and runs the script
//! when the pipe closes: on drop, after a panic, Ctrl-C, or SIGKILL alike. Should the
//! guardian die too, the next lab finds the directory with nobody holding its lock.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

const LABS: &str = "/run/lb-lab";
const TEARDOWN: &str = include_str!("teardown.sh");
const LOCK: &str = "lock";
/// Present in the directory of a lab that outlives its process on purpose.
const KEPT: &str = "kept";

pub(crate) struct State {
    pub dir: PathBuf,
    guardian: Child,
    _lock: Flock<File>,
}

impl State {
    pub fn create(lab: &str, daemon: &Path) -> Result<Self> {
        let dir = Path::new(LABS).join(lab);
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        // Under its final name only once it is locked: nobody takes this lab for a dead one.
        let new = dir.join("lock.new");
        let lock = lock(&File::create(&new).context("cannot create a lock")?)?;
        fs::rename(new, dir.join(LOCK)).context("cannot name the lock")?;
        let script = TEARDOWN
            .replace("@LAB@", lab)
            .replace("@DIR@", &dir.display().to_string())
            .replace("@DAEMON@", &daemon.display().to_string());
        fs::write(dir.join("teardown.sh"), script).context("cannot write the teardown")?;
        let guardian = guardian(&dir)?;
        Ok(Self { dir, guardian, _lock: lock })
    }

    /// Lets the lab outlive this process; returns the command that removes it.
    pub fn keep(&self) -> Result<String> {
        fs::write(self.dir.join(KEPT), "").context("cannot mark the lab as kept")?;
        Ok(format!("sh {}/teardown.sh", self.dir.display()))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}

/// Starts a process in a group of its own, where Ctrl-C does not reach it.
fn guardian(dir: &Path) -> Result<Child> {
    let script = "read -r _; [ -e \"$1/kept\" ] || exec sh \"$1/teardown.sh\"";
    Command::new("sh")
        .args(["-c", script, "guardian"])
        .arg(dir)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start the lab's guardian")
}

fn lock(file: &File) -> Result<Flock<File>> {
    let file = file.try_clone().context("cannot share a lock")?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, error)| error)
        .context("the lab is in use")
}

/// Removes what labs of dead processes left; returns their names.
pub fn sweep() -> Result<Vec<String>> {
    remove(|dir| !dir.join(KEPT).exists() && is_abandoned(dir))
}

/// Removes also the labs that were kept.
pub fn clean_all() -> Result<Vec<String>> {
    remove(is_abandoned)
}

fn is_abandoned(dir: &Path) -> bool {
    File::open(dir.join(LOCK)).is_ok_and(|file| lock(&file).is_ok())
}

fn remove(which: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(LABS) else { return Ok(Vec::new()) };
    let mut removed = Vec::new();
    for dir in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|dir| which(dir)) {
        Command::new("sh")
            .arg(dir.join("teardown.sh"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("cannot remove {}", dir.display()))?;
        removed.extend(dir.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    Ok(removed)
}
