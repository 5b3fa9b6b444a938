//! `lb-daemon check`.

use super::{Failure, args::Check, failure::Code};
use crate::{
    config::{self, Comparison, Config, Severity},
    discovery,
};

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
    match &outcome.config {
        Some(config) if arguments.resolve => resolve(config),
        _ => Ok(()),
    }
}

/// Says what names have now; one without an answer is a failure.
fn resolve(config: &Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    let report = runtime.block_on(discovery::resolve(config));
    for line in report.found.iter().chain(&report.left_out) {
        eprintln!("{line}");
    }
    match report.failed.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(Code::Failed, report.failed.join("\n"))),
    }
}
