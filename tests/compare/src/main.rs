//! Compares this balancer with what else would do its job: nginx `stream`, HAProxy in TCP
//! mode and nftables, one after another between the same hosts. `cargo xtask compare`
//! builds what it needs and runs it.
//!
//! CPU time is the figure that counts, and the hardest to get: a difference of a few µs
//! under the noise of a whole request. So client, balancer and backends share one CPU
//! (between two, wake-ups across CPUs drown it), the rate is fixed and lower than any
//! subject can take, and each window of a subject stands beside one without it.

mod config;
mod cpu;
mod effort;
mod load;
mod machine;
mod measure;
mod report;
mod spread;
mod stage;
mod subject;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

use crate::effort::Effort;
use crate::machine::Machine;
use crate::measure::Run;
use crate::report::Report;
use crate::stage::Stage;
use crate::subject::{SUBJECTS, Subject};

/// Compare the balancer with nginx, HAProxy and nftables.
#[derive(Parser)]
struct Args {
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
    /// A few short windows: whether it works, no figures to keep
    #[arg(long)]
    quick: bool,
    /// Only the subjects whose name begins so
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// How often everything is measured
    #[arg(long, default_value_t = 5, conflicts_with = "quick", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The CPU for everything when CPU time is measured [default: the last]
    #[arg(long)]
    cpu: Option<usize>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let effort = if args.quick { Effort::quick() } else { Effort::full(args.rounds) };
    let subjects = subjects(args.only.as_deref())?;
    let cpus = cpu::available()?;
    let cpu = args.cpu.or(cpus.last().copied()).context("this process has no CPU")?;
    ensure!(cpus.contains(&cpu), "CPU {cpu} is not among those of this process: {cpus:?}");

    let start = Instant::now();
    let stage = Stage::new(cpu)?;
    let machine = Machine::look(cpus.len(), &stage.lab.tools.daemon)?;
    let mut run = Run::new(&stage, &effort, &subjects);
    run.paced()?;
    run.saturated(&cpus)?;
    let Run { direct, measured, background, .. } = run;
    eprintln!("measured in {} s; removing the hosts", start.elapsed().as_secs());
    drop(stage);

    let report = Report { machine, subjects: &subjects, direct, measured, background, cpu };
    if args.json {
        println!("{:#}", report.json());
    } else {
        report.print();
    }
    let failures = report.failures();
    for failure in &failures {
        eprintln!("FAILED: {failure}");
    }
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn subjects(only: Option<&str>) -> Result<Vec<&'static Subject>> {
    let wanted = |subject: &&Subject| only.is_none_or(|only| subject.name.starts_with(only));
    let subjects: Vec<&Subject> = SUBJECTS.iter().filter(wanted).collect();
    if subjects.is_empty() {
        let names: Vec<&str> = SUBJECTS.iter().map(|subject| subject.name).collect();
        bail!("no subject's name begins so; there are {}", names.join(", "));
    }
    Ok(subjects)
}
