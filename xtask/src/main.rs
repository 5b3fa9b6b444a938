//! `cargo xtask`: set-up, build, check, demo, test, bench, compare and install, each one
//! module.
//!
//! Every command does the set-up it needs first, so that `cargo xtask test` is all
//! a fresh machine has to be told. What they share: [`sh`] runs programs and shows
//! progress, [`repo`] knows the paths, [`todo`] collects what only root can do.

mod bench;
mod bpf_linker;
mod build;
mod check;
mod compare;
mod demo;
mod install;
mod kernels;
mod packages;
mod repo;
mod setup;
mod sh;
mod suite;
mod summary;
mod test;
mod todo;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Set-up, build, demo, test, bench, compare and install of the load balancer.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Setup(setup::Args),
    Build(build::Args),
    Check(check::Args),
    Demo(demo::Args),
    Test(test::Args),
    Bench(bench::Args),
    Compare(compare::Args),
    Install(install::Args),
}

fn main() -> ExitCode {
    let success = |()| ExitCode::SUCCESS;
    let result = match Cli::parse().command {
        Command::Setup(args) => setup::run(&args).map(success),
        Command::Build(args) => build::run(&args).map(success),
        Command::Check(args) => check::run(&args).map(success),
        Command::Demo(args) => demo::run(&args).map(success),
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Install(args) => install::run(&args).map(success),
    };
    result.unwrap_or_else(|error| {
        eprintln!("\nerror: {error:#}");
        ExitCode::FAILURE
    })
}
