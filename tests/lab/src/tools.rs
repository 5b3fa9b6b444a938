//! What the hosts are made with: the files of the build, and commands of the system.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Files of the build.
#[derive(Clone)]
pub struct Tools {
    pub daemon: PathBuf,
    /// An object with a program `pass` that passes every packet.
    pub pass_object: PathBuf,
}

impl Tools {
    /// As `cargo xtask test` names them.
    pub fn from_env() -> Result<Self> {
        let file = |name: &str| -> Result<PathBuf> {
            let path = std::env::var_os(name).with_context(|| {
                format!("{name} is not set: run this with `cargo xtask test` or `compare`")
            })?;
            Ok(path.into())
        };
        Ok(Self { daemon: file("LB_DAEMON")?, pass_object: file("LB_PASS_OBJECT")? })
    }
}

/// Runs a short command to its end and returns what it wrote.
pub fn run(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    if !out.status.success() {
        bail!(
            "{command:?} failed ({}): {}{}",
            out.status,
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
