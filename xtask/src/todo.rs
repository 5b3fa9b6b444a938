//! What set-up may not do itself: commands for the person to run.
//!
//! Without root, or on a system without apt, set-up goes on as far as it can and
//! then lists everything that is missing at once, as commands to copy.

use anyhow::{Result, bail};
use nix::unistd::geteuid;

/// Commands that remain for the person.
#[derive(Default)]
pub struct Todo {
    lines: Vec<String>,
}

impl Todo {
    pub fn add(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// An error that lists the commands, if there are any.
    pub fn finish(self) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        bail!(
            "set-up is not complete. Run:\n\n    {}\n\nand then this command again",
            self.lines.join("\n    ")
        )
    }
}

pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Refuses to go on without root, with the command that has it.
///
/// `sudo` replaces `PATH` and `HOME` on most systems, and with them rustup's cargo.
pub fn require_root(command: &str, why: &str) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    bail!(
        "`cargo xtask {command}` needs root: {why}. Run:\n\n    \
         sudo env \"PATH=$PATH\" \"HOME=$HOME\" cargo xtask {command}\n"
    )
}
