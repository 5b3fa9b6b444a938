//! The binary: the command line of the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    lb_daemon::cli::main()
}
