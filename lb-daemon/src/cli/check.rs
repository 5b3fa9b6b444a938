//! `lb-daemon check`.

use super::{Failure, args::Check, failure::Code};
use crate::config;

pub fn check(arguments: &Check) -> Result<(), Failure> {
    let outcome = config::check(&arguments.config.path);
    match &outcome.config {
        None => return Err(Failure::new(Code::Wrong, outcome.to_string())),
        // The YAML alone on stdout: it is a configuration file again.
        Some(config) if arguments.show => {
            eprintln!("{outcome}");
            print!("{}", config::effective_yaml(config));
        }
        Some(_) => println!("{outcome}"),
    }
    Ok(())
}
