//! The commands: `run`, `check`, `reload`, `stats`, `flows`, `events`,
//! `drain`, `undrain`, `set-weight`, `unload`.

mod args;
mod check;
mod events;
mod failure;
mod flows;
mod order_args;
mod orders;
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
        Command::Reload(arguments) => reload::reload(&instance, arguments.now),
        Command::Stats(arguments) => stats::stats(&instance, &arguments),
        Command::Flows(arguments) => flows::flows(&instance, &arguments),
        Command::Events(arguments) => events::events(&instance, &arguments),
        Command::Drain(arguments) => orders::drain(&instance, &arguments),
        Command::Undrain(arguments) => orders::undrain(&instance, &arguments),
        Command::SetWeight(arguments) => orders::set_weight(&instance, &arguments),
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
