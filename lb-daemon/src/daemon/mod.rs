//! The daemon: brings the parts together, and runs until it is told to stop.
//!
//! - [`start`]: from a configuration file to a running data path, in the order
//!   in which packets may see it.
//! - [`events`]: the loop that hands news to the controller.
//! - [`discovered`]: backends that were found, on their way into that loop.
//! - [`inspection`]: what drivers say, beside the loop.
//! - [`requests`]: the control socket's and SIGHUP's way into that loop.
//! - [`answers`]: what comes back.

mod answers;
mod discovered;
mod events;
mod inspection;
mod notify;
mod own_host;
mod path;
mod program_log;
mod requests;
mod start;
mod traffic;
mod turn;

use std::path::PathBuf;

use anyhow::Context;

use crate::{api::Instance, capability::give_up_sys_admin, health::path::Namespace};

#[derive(Clone, Debug)]
pub struct RunOptions {
    pub instance: Instance,
    pub config_path: PathBuf,
}

/// Balances until SIGTERM or SIGINT.
pub fn run(options: RunOptions) -> anyhow::Result<()> {
    // Before there are other threads: they are not to have the capability that
    // this takes.
    let namespace = Namespace::make();
    give_up_sys_admin().context("CAP_SYS_ADMIN cannot be given up")?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async { start::start(options, namespace).await?.run().await })
}
