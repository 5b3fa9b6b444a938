//! `cargo xtask bench`: builds the objects and the bench (`tests/bench`), and runs it.

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::setup::{self, Part};
use crate::{build, repo, sh, todo};

/// Measure the data path, in ns per packet (as root)
#[derive(clap::Args)]
pub struct Args {
    /// Print the figures as JSON, and all else on standard error
    #[arg(long)]
    json: bool,
    /// Fewer and shorter runs: figures to glance at
    #[arg(long)]
    quick: bool,
    /// Only the floors and the cases whose name begins so; no targets
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Measure this instead of the data path
    #[arg(value_enum, conflicts_with = "only")]
    instead: Option<Instead>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Instead {
    /// What probes cost, in CPU time, and how soon a server in trouble is left alone
    Health,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    todo::require_root("bench", "programs are loaded into the kernel and run there")?;
    let stdout = if args.json { Some(sh::progress_to_stderr()?) } else { None };
    let mut command = match args.instead {
        None => data_path()?,
        Some(Instead::Health) => health()?,
    };
    command
        .args(args.json.then_some("--json"))
        .args(args.quick.then_some("--quick"))
        .args(args.only.iter().flat_map(|name| ["--only", name]));
    if let Some(stdout) = stdout {
        command.stdout(Stdio::from(stdout));
    }
    let status = command.status().context("cannot start the bench")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn data_path() -> Result<Command> {
    let tools = setup::ensure(&[])?;
    sh::heading("eBPF objects");
    build::objects(&tools)?;
    sh::heading("Bench");
    let mut command = Command::new(build::tool("lb-bench")?);
    command
        .env("LB_EBPF_OBJECT", repo::lb_object())
        .env("LB_HARNESS_OBJECT", repo::bpf_objects().join("harness.o"));
    Ok(command)
}

fn health() -> Result<Command> {
    let tools = setup::ensure(&[Part::Test])?;
    let daemon = build::all(&tools, false)?;
    sh::heading("Bench");
    let mut command = Command::new(build::tool("lb-bench")?);
    command
        .arg("health")
        .env("LB_DAEMON", daemon)
        .env("LB_PASS_OBJECT", repo::bpf_objects().join("pass.o"));
    Ok(command)
}
