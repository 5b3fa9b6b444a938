//! `cargo xtask compare`: builds the daemon and the comparison (`tests/compare`), installs
//! what it is compared with, and runs it.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::setup::{self, Part};
use crate::{build, repo, sh, todo};

/// Compare the balancer with nginx, HAProxy and nftables on the same hosts (as root)
#[derive(clap::Args)]
pub struct Args {
    /// Print the figures as JSON, and all else on standard error
    #[arg(long)]
    json: bool,
    /// A few short windows: whether it works, no figures to keep
    #[arg(long)]
    quick: bool,
    /// Only the subjects whose name begins so
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// How often everything is measured [default: 5]
    #[arg(long, conflicts_with = "quick")]
    rounds: Option<u32>,
    /// The CPU for everything when CPU time is measured [default: the last]
    #[arg(long)]
    cpu: Option<usize>,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    todo::require_root("compare", "hosts are made of network namespaces")?;
    let stdout = if args.json { Some(sh::progress_to_stderr()?) } else { None };
    let tools = setup::ensure(&[Part::Compare])?;
    let daemon = build::all(&tools, false)?;
    sh::heading("Comparison");
    let mut command = Command::new(build::tool("lb-compare")?);
    command
        .env("LB_DAEMON", daemon)
        .env("LB_PASS_OBJECT", repo::bpf_objects().join("pass.o"))
        .args(args.json.then_some("--json"))
        .args(args.quick.then_some("--quick"))
        .args(args.only.iter().flat_map(|name| ["--only", name]))
        .args(args.rounds.map(|rounds| format!("--rounds={rounds}")))
        .args(args.cpu.map(|cpu| format!("--cpu={cpu}")));
    if let Some(stdout) = stdout {
        command.stdout(Stdio::from(stdout));
    }
    let status = command.status().context("cannot start the comparison")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
