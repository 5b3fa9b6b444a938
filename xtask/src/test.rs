//! `cargo xtask test`: everything that can be checked, cheapest first.
//!
//! | layer | what it is | where it runs |
//! |---|---|---|
//! | formatting and lints | `cargo xtask check` | here |
//! | unit and property | the host's crates | here |
//! | packet tables | packets through the program, in the kernel | here, as root |
//! | real hosts | clients, servers and the daemon in network namespaces | here, as root |
//! | other kernel | the packet tables on Debian's 6.1 | in a virtual machine |
//!
//! A layer that fails does not keep the next ones from running.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Result;

use crate::setup::{self, Part};
use crate::suite::{self, Binary, Outcome};
use crate::summary::Summary;
use crate::{build, check, kernels, repo, sh, todo, toolchain};

/// Set up, build and run all tests (as root)
#[derive(clap::Args)]
pub struct Args {
    /// Leave out the tests on another kernel
    #[arg(long)]
    fast: bool,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    todo::require_root(
        "test",
        "programs are loaded into the kernel and hosts made of network namespaces \
         (`cargo test` alone runs what needs neither)",
    )?;
    let mut parts = vec![Part::Test, Part::Compare];
    parts.extend((!args.fast).then_some(Part::Kernels));
    let tools = setup::ensure(&parts)?;
    let daemon = build::all(&tools, false)?;
    let env = environment(&daemon);

    let mut summary = Summary::default();
    summary.add("formatting and lints", check::all(&tools)?);
    summary.add("unit and property", layer("Unit and property tests", unit)?);
    let mut tables = Vec::new();
    summary.add(
        "packet tables",
        layer("Packet tables", || {
            tables = suite::build(&["--package", "lb-test-packets"])?;
            run_all(&tables, &[], &env)
        })?,
    );
    summary.add("real hosts", layer("Real hosts", || real_hosts(&env))?);
    let other = if args.fast {
        Outcome::skip("all of it, for --fast")
    } else {
        layer("Packet tables on another kernel", || other_kernel(&tables, &env))?
    };
    summary.add("other kernel", other);
    summary.print();
    // No further word: the last line is the totals.
    Ok(if summary.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What tests have to know of the build.
fn environment(daemon: &Path) -> Vec<(String, String)> {
    let objects = repo::bpf_objects();
    [
        ("LB_DAEMON", daemon.to_path_buf()),
        ("LB_EBPF_OBJECT", repo::lb_object()),
        ("LB_HARNESS_OBJECT", objects.join("harness.o")),
        ("LB_PASS_OBJECT", objects.join("pass.o")),
    ]
    .map(|(name, path)| (name.to_owned(), path.display().to_string()))
    .to_vec()
}

/// Runs a layer under its heading and sees to its time. A layer in which no test ran
/// proves nothing, so it fails.
fn layer(heading: &str, tests: impl FnOnce() -> Result<Outcome>) -> Result<Outcome> {
    sh::heading(heading);
    let start = Instant::now();
    let mut outcome = tests().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        Outcome { failed: vec![format!("did not run: {error}")], ..Outcome::default() }
    });
    if outcome.is_empty() {
        outcome.failed.push("there was no test to run".to_owned());
    }
    outcome.elapsed = start.elapsed();
    sh::say(&format!("{heading}: {}", sh::seconds(outcome.elapsed)));
    Ok(outcome)
}

/// Everything but the eBPF crate and those that need the kernel or hosts.
const UNIT: &[&str] = &[
    "--workspace",
    "--exclude=lb-ebpf",
    "--exclude=lb-test-packets",
    "--exclude=lb-test-netns",
    "--exclude=lb-compare",
];

fn unit() -> Result<Outcome> {
    let mut outcome = run_all(&suite::build(UNIT)?, &[], &[])?;
    let mut doc = Command::new(toolchain::host_cargo());
    doc.current_dir(repo::root()).args(["test", "--doc"]).args(UNIT);
    outcome.add(suite::judge("examples in documentation", &mut doc)?);
    Ok(outcome)
}

fn real_hosts(env: &[(String, String)]) -> Result<Outcome> {
    let binaries = suite::build(&["--package", "lb-test-netns", "--package", "lb-compare"])?;
    // One at a time: each is several hosts with traffic, and counts on being served.
    run_all(&binaries, &["--test-threads=1"], env)
}

fn run_all(binaries: &[Binary], args: &[&str], env: &[(String, String)]) -> Result<Outcome> {
    let mut all = Outcome::default();
    for binary in binaries {
        all.add(suite::run(binary, args, env)?);
    }
    Ok(all)
}

fn other_kernel(tables: &[Binary], env: &[(String, String)]) -> Result<Outcome> {
    kernels::Machine::find()?.run_tests(tables, env)
}
