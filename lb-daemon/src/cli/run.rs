//! `lb-daemon run`.

use std::{env, io::IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

use super::{Failure, args::Run};
use crate::{
    api::Instance,
    daemon::{self, RunOptions},
};

pub fn run(instance: Instance, arguments: Run) -> Result<(), Failure> {
    start_logging(&arguments.log_level);
    daemon::run(RunOptions { instance, config_path: arguments.config.path })?;
    Ok(())
}

/// To stderr; the journal adds its own time stamps.
fn start_logging(filter: &str) {
    let log = fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    if env::var_os("JOURNAL_STREAM").is_some() {
        log.without_time().init();
    } else {
        log.init();
    }
}
