//! What is compared: each takes the place of the balancer, with the same backends behind
//! the same address.
//!
//! One runs at a time, so that none pays for another: XDP on the interface and connection
//! tracking in the host cost every packet something.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result};
use lb_test_lab::{Daemon, Lab, Process, vip};
use nix::sys::signal::Signal;

use crate::config;

/// Where clients ask.
pub const VIP: Ipv4Addr = vip(10);
pub const PORT: u16 = 80;

pub struct Subject {
    /// For `--only` and for programs.
    pub name: &'static str,
    /// For people.
    pub what: &'static str,
    way: Way,
}

enum Way {
    /// Our daemon in this mode.
    Daemon {
        mode: &'static str,
    },
    Nginx,
    Haproxy,
    Nftables,
}

pub const SUBJECTS: &[Subject] = &[
    Subject { name: "lb-dsr", what: "lb-daemon, dsr", way: Way::Daemon { mode: "dsr" } },
    Subject { name: "lb-nat", what: "lb-daemon, nat", way: Way::Daemon { mode: "nat" } },
    Subject { name: "nftables", what: "nftables, dnat + masquerade", way: Way::Nftables },
    Subject { name: "nginx", what: "nginx stream", way: Way::Nginx },
    Subject { name: "haproxy", what: "HAProxy, mode tcp", way: Way::Haproxy },
];

/// A subject at work, until it is stopped or its lab is removed.
pub enum Running<'a> {
    Daemon { daemon: Daemon<'a>, lab: &'a Lab },
    Proxy { process: Process, lab: &'a Lab },
    Rules { lab: &'a Lab },
}

impl Subject {
    /// Starts it on the balancer host, with as many workers as it has CPUs.
    pub fn start<'a>(&self, lab: &'a Lab, workers: usize) -> Result<Running<'a>> {
        match self.way {
            Way::Daemon { mode } => {
                // Only here: to the others' packets it would be a burden.
                lab.carry_xdp(true)?;
                let daemon = Daemon::start(lab, &config::daemon(lab, mode))?;
                Ok(Running::Daemon { daemon, lab })
            }
            Way::Nginx => proxy(lab, "nginx", &config::nginx(lab, workers), |command, file| {
                command.args(["-e", "stderr", "-p"]).arg(lab.dir()).arg("-c").arg(file);
            }),
            Way::Haproxy => {
                proxy(lab, "haproxy", &config::haproxy(lab, workers), |command, file| {
                    command.args(["-db", "-f"]).arg(file);
                })
            }
            Way::Nftables => {
                let file = lab.file("lb.nft");
                write(&file, &config::nftables(lab))?;
                lab.balancer.sysctl(&["net.ipv4.ip_forward=1"])?;
                lb_test_lab::run(lab.balancer.command("nft").arg("-f").arg(&file))?;
                Ok(Running::Rules { lab })
            }
        }
    }
}

fn proxy<'a>(
    lab: &'a Lab,
    program: &str,
    config: &str,
    arguments: impl FnOnce(&mut Command, &std::path::Path),
) -> Result<Running<'a>> {
    let file = lab.file(&format!("{program}.conf"));
    write(&file, config)?;
    // A proxy is addressed itself.
    lab.balancer.ip(&format!("addr add {VIP}/32 dev lo"))?;
    let mut command = lab.balancer.command(program);
    arguments(&mut command, &file);
    let process = Process::spawn(&mut command, &lab.file(&format!("{program}.log")))?;
    Ok(Running::Proxy { process, lab })
}

fn write(file: &std::path::Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

impl Running<'_> {
    /// What it has written, for when it does not serve.
    pub fn log(&self) -> String {
        match self {
            Self::Daemon { daemon, .. } => daemon.log(),
            Self::Proxy { process, .. } => process.log(),
            Self::Rules { .. } => String::new(),
        }
    }

    /// Leaves the balancer host as it was.
    pub fn stop(self) -> Result<()> {
        match self {
            Self::Daemon { mut daemon, lab } => {
                let status = daemon.stop(Signal::SIGTERM)?;
                anyhow::ensure!(
                    status.success(),
                    "lb-daemon ended with {status}: {}",
                    daemon.log()
                );
                lab.carry_xdp(false)
            }
            Self::Proxy { process, lab } => {
                process.stop(Signal::SIGTERM)?;
                lab.balancer.ip(&format!("addr del {VIP}/32 dev lo"))
            }
            Self::Rules { lab } => {
                lb_test_lab::run(lab.balancer.command("nft").args(["flush", "ruleset"]))?;
                lab.balancer.sysctl(&["net.ipv4.ip_forward=0"])
            }
        }
    }
}
