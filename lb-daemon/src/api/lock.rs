//! One daemon per instance: a lock that the kernel drops with its holder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::PathBuf,
};

use super::{Instance, RuntimeDir};

/// Held for as long as the daemon lives.
#[derive(Debug)]
pub struct InstanceLock {
    /// Its lock goes when it is closed.
    _file: File,
    instance: Instance,
    dir: RuntimeDir,
}

#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error(
        "a daemon for instance {instance:?} is already running{}; stop it first, or start this \
         one with another --instance NAME", pid.map_or(String::new(), |pid| format!(" (pid {pid})"))
    )]
    Running { instance: String, pid: Option<u32> },
    #[error("cannot use {path}")]
    Io { path: PathBuf, source: io::Error },
}

impl InstanceLock {
    /// Takes the lock and leaves this process's id in its file.
    pub fn acquire(dir: &RuntimeDir, instance: &Instance) -> Result<Self, LockError> {
        let path = dir.lock(instance);
        let io_error = |source| LockError::Io { path: path.clone(), source };
        dir.create().map_err(io_error)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Running {
                    instance: instance.to_string(),
                    pid: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        write_pid(&mut file).map_err(io_error)?;
        Ok(Self { _file: file, instance: instance.clone(), dir: dir.clone() })
    }

    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// Where the holder's control socket is.
    pub fn socket(&self) -> PathBuf {
        self.dir.socket(&self.instance)
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = RuntimeDir::new(dir.path().join("run"));
        let main = Instance::default();
        let first = InstanceLock::acquire(&runtime, &main).unwrap();
        let refused = InstanceLock::acquire(&runtime, &main).unwrap_err();
        assert!(refused.to_string().contains(&format!("pid {}", std::process::id())), "{refused}");
        InstanceLock::acquire(&runtime, &"other".parse().unwrap()).unwrap();
        drop(first);
        InstanceLock::acquire(&runtime, &main).unwrap();
    }
}
