//! The hosts, and one window of load on them.

use std::net::SocketAddrV4;

use anyhow::{Context, Result};
use lb_test_lab::{Lab, Process, Settings, Tools, backend, nginx_kept_alive, wait_until};

use crate::load::{self, Load, Window};
use crate::subject::{PORT, Running, Subject, VIP};
use crate::{config, cpu};

pub const BACKENDS: usize = 3;

/// Of hosts that open connections, so that they do not run out of ports.
const PORTS: &[&str] = &[
    // A port is free a second after its connection; a minute would leave 500 connections
    // per second.
    "net.ipv4.tcp_tw_reuse=1",
    "net.ipv4.ip_local_port_range=10240 65535",
    // A backend takes a new connection for one in TIME-WAIT if its timestamp is newer. Behind
    // one address it sees the client's timestamps, or the balancer's, by turns: they must
    // run by the same clock, without an offset for each host.
    "net.ipv4.tcp_timestamps=2",
];

pub struct Stage {
    pub lab: Lab,
    /// The CPU that carries everything when CPU time is measured.
    pub cpu: usize,
}

impl Stage {
    pub fn new(cpu: usize) -> Result<Self> {
        let settings = Settings {
            prefix: "lb-compare",
            backends: BACKENDS,
            vips: &[VIP.into()],
            behind: false,
        };
        let lab = Lab::new(&settings, &Tools::from_env()?).context("cannot make the hosts")?;
        lab.carry_xdp(false)?;
        for host in [&lab.client, &lab.balancer] {
            host.sysctl(PORTS)?;
        }
        // Packets leave a balancer with one interface where they came in.
        lab.balancer.sysctl(&[
            "net.ipv4.conf.all.send_redirects=0",
            "net.ipv4.conf.eth0.send_redirects=0",
        ])?;
        lab.balancer.ip(&format!("route add local {} dev lo", config::POOL))?;
        Ok(Self { lab, cpu })
    }

    /// Puts this process on some CPUs and starts the backends' servers there too.
    pub fn cast(&self, cpus: &[usize]) -> Result<Vec<Process>> {
        cpu::pin(cpus)?;
        self.lab.backends.iter().map(|host| nginx_kept_alive(&self.lab, host)).collect()
    }

    /// Starts a subject, and waits until it serves.
    pub fn start(&self, subject: &Subject, workers: usize) -> Result<Running<'_>> {
        let running = subject
            .start(&self.lab, workers)
            .with_context(|| format!("cannot start {}", subject.what))?;
        let serves = || load::answers(&self.lab.client, target());
        wait_until("the VIP answers", serves)
            .with_context(|| format!("{} does not serve: {}", subject.what, running.log()))?;
        Ok(running)
    }

    /// Loads the backends themselves, in turn.
    pub fn direct(&self, load: &Load, threads: usize) -> Result<Window> {
        let targets = (1..=BACKENDS).map(|number| SocketAddrV4::new(backend(number), PORT));
        self.window(load, targets.collect(), threads)
    }

    /// Loads the subject at work.
    pub fn through(&self, load: &Load, threads: usize) -> Result<Window> {
        self.window(load, vec![target()], threads)
    }

    fn window(&self, load: &Load, targets: Vec<SocketAddrV4>, threads: usize) -> Result<Window> {
        let load = Load { targets, cpu: self.cpu, ..load.clone() };
        load::run(&self.lab.client, &load, threads)
    }
}

fn target() -> SocketAddrV4 {
    SocketAddrV4::new(VIP, PORT)
}
