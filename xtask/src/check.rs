//! `cargo xtask check`: formatting and lints, on the host's crates with the compiler
//! at hand and on the eBPF crate with the one that builds it.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};

use crate::setup::{self, EbpfTools};
use crate::suite::Outcome;
use crate::{build, repo, sh, toolchain};

/// Check formatting and lints of everything
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_: &Args) -> Result<()> {
    let outcome = all(&setup::ensure(&[])?)?;
    for skipped in &outcome.skipped {
        sh::say(&format!("skipped: {skipped}"));
    }
    if !outcome.failed.is_empty() {
        bail!("failed: {}", outcome.failed.join(", "));
    }
    Ok(())
}

/// Runs every check, also after one has failed.
pub fn all(tools: &EbpfTools) -> Result<Outcome> {
    sh::heading("Formatting and lints");
    let start = Instant::now();
    let mut outcome = Outcome::default();
    let cargo = toolchain::host_cargo();
    if has_component("fmt") {
        let mut fmt = Command::new(&cargo);
        fmt.current_dir(repo::root()).args(["fmt", "--all", "--", "--check"]);
        check(&mut outcome, "cargo fmt", &mut fmt)?;
    } else {
        outcome.skipped.push("cargo fmt: not installed (rustup component add rustfmt)".into());
    }
    if has_component("clippy") {
        check(&mut outcome, "cargo clippy", &mut clippy(&cargo))?;
    } else {
        outcome.skipped.push("cargo clippy: not installed (rustup component add clippy)".into());
    }
    match &tools.toolchain.cargo_clippy {
        Some(cargo_clippy) => {
            check(&mut outcome, "cargo clippy for eBPF", &mut ebpf_clippy(tools, cargo_clippy))?;
        }
        None => outcome.skipped.push(format!(
            "cargo clippy for eBPF: {} has none (its warnings still are errors)",
            tools.toolchain.name
        )),
    }
    outcome.elapsed = start.elapsed();
    Ok(outcome)
}

fn check(outcome: &mut Outcome, name: &str, command: &mut Command) -> Result<()> {
    let captured = sh::attempt(name, command)?;
    if captured.ok {
        outcome.passed += 1;
    } else {
        eprintln!("{}", captured.text);
        eprintln!("the command was `{}`", sh::describe(command));
        outcome.failed.push(name.to_owned());
    }
    Ok(())
}

fn clippy(cargo: &Path) -> Command {
    let mut command = Command::new(cargo);
    command
        .current_dir(repo::root())
        .args(["clippy", "--workspace", "--exclude", "lb-ebpf", "--all-targets"])
        .args(["--", "-D", "warnings"]);
    command
}

/// cargo-clippy takes the place of cargo; it finds clippy-driver beside itself.
fn ebpf_clippy(tools: &EbpfTools, cargo_clippy: &Path) -> Command {
    let mut command = build::ebpf_cargo(tools, cargo_clippy, "clippy");
    command.env("CARGO", &tools.toolchain.cargo).args(["--", "-D", "warnings"]);
    command
}

fn has_component(name: &str) -> bool {
    sh::output(Command::new(toolchain::host_cargo()).args([name, "--version"])).is_ok()
}
