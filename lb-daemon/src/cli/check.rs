//! `lb-daemon check`.

use super::{Failure, args::Check, failure::Code};
use crate::config::{self, Comparison, Severity};

pub fn check(arguments: &Check) -> Result<(), Failure> {
    let host = Comparison::with_this_host(Severity::Refuse);
    let host = (!arguments.file_only).then_some(&host);
    let outcome = config::check(&arguments.config.path, host);
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
