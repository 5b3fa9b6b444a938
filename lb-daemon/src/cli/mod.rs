//! The commands: `run`, `check`, `reload`, `stats`, `flows`, `unload`.

mod args;
mod check;
mod failure;
mod flows;
mod reload;
mod render;
mod run;
mod screen;
mod stats;
mod unload;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use failure::Failure;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let Cli { instance, command } = Cli::parse();
    let done = match command {
        Command::Run(arguments) => run::run(instance, arguments),
        Command::Check(arguments) => check::check(&arguments),
        Command::Reload(_) => reload::reload(&instance),
        Command::Stats(arguments) => stats::stats(&instance, &arguments),
        Command::Flows(arguments) => flows::flows(&instance, &arguments),
        Command::Unload(_) => unload::unload(&instance),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.code.into()
        }
    }
}
