//! `cargo xtask demo`: the balancer at work between hosts on this machine.
//!
//! The hosts are network namespaces, made by the lab that the tests use too. They are
//! removed whatever happens, unless `--keep` asks for them.

mod config;
mod keep;
mod ledger;
mod scenes;
mod stage;
mod traffic;

use anyhow::Result;

use crate::setup::{self, Part};
use crate::{build, repo, sh, todo};

/// Show the balancer at work between hosts in network namespaces (as root)
#[derive(clap::Args)]
pub struct Args {
    /// Leave the hosts up for playing, and say how to reach them
    #[arg(long)]
    keep: bool,

    /// Only remove the hosts that `--keep` left up
    #[arg(long, conflicts_with = "keep")]
    clean: bool,
}

pub fn run(args: &Args) -> Result<()> {
    todo::require_root("demo", "hosts are made of network namespaces")?;
    if args.clean {
        return clean();
    }
    let tools = setup::ensure(&[Part::Demo])?;
    let daemon = build::all(&tools, false)?;
    let tools = lb_test_lab::Tools { daemon, pass_object: repo::bpf_objects().join("pass.o") };
    stage::perform(tools, args.keep)
}

fn clean() -> Result<()> {
    let removed = lb_test_lab::clean_all()?;
    for name in &removed {
        sh::say(&format!("removed the hosts of {name}"));
    }
    if removed.is_empty() {
        sh::say("no hosts were left up");
    }
    Ok(())
}
