//! `lb-daemon check`: everything about a file, without touching anything.

use std::{fmt, path::Path};

use super::{
    host::Comparison,
    load,
    model::Config,
    problem::{Loaded, Problem},
    read_backends,
};

/// What `check` found. Displayed: one problem or warning a line, then a summary.
#[derive(Debug)]
pub struct CheckOutcome {
    /// `None`: there are problems.
    pub config: Option<Config>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
}

impl CheckOutcome {
    pub fn is_good(&self) -> bool {
        self.config.is_some()
    }

    /// For the process that ran the check.
    pub fn exit_code(&self) -> u8 {
        if self.is_good() { 0 } else { 2 }
    }

    /// One line, such as "ok: 3 services, 7 backends".
    pub fn summary(&self) -> String {
        match &self.config {
            Some(config) => good(config, self.warnings.len()),
            None => format!("not ok: {}", count(self.problems.len(), "problem")),
        }
    }
}

/// Reads and checks the file at `path`, against a host if there is one, and
/// the files of backends that it names.
pub fn check(path: &Path, host: Option<&Comparison>) -> CheckOutcome {
    match load(path, host) {
        Ok(Loaded { config, warnings }) => {
            let problems = backends_files(&config);
            CheckOutcome { config: problems.is_empty().then_some(config), problems, warnings }
        }
        Err(refused) => {
            CheckOutcome { config: None, problems: refused.problems, warnings: Vec::new() }
        }
    }
}

fn backends_files(config: &Config) -> Vec<Problem> {
    let files = config.services.iter().filter_map(|service| {
        read_backends(service.discovery.file.as_ref()?, config, service).err()
    });
    files.flat_map(|refused| refused.problems).collect()
}

fn good(config: &Config, warnings: usize) -> String {
    let backends = config.services.iter().map(|service| service.backends.len()).sum();
    let mut parts = vec![
        count(config.services.len(), "service"),
        count(config.vips().len(), "VIP"),
        count(backends, "backend"),
        count(config.interfaces.len(), "interface"),
    ];
    if warnings > 0 {
        parts.push(count(warnings, "warning"));
    }
    format!("ok: {}", parts.join(", "))
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

impl fmt::Display for CheckOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        f.write_str(&self.summary())
    }
}
