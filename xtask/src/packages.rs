//! Debian packages, in sets by what needs them, so that each command installs only
//! what it uses.
//!
//! Most are looked for by the command they bring: a machine that has the command,
//! from whatever source, needs no package. So this works on other distributions too,
//! where missing ones are named instead of installed.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::sh;
use crate::todo::{Todo, is_root};

/// A Debian package and how to tell that it is not needed.
pub struct Package {
    name: &'static str,
    proof: Proof,
}

enum Proof {
    Command(&'static str),
    /// Only the package itself will do.
    Installed,
}

const fn command(name: &'static str, command: &'static str) -> Package {
    Package { name, proof: Proof::Command(command) }
}

/// The compiler for eBPF and the standard library's source, where rustup has none.
pub const EBPF_TOOLCHAIN: &[Package] = &[
    Package { name: "rustc-web", proof: Proof::Installed },
    Package { name: "rust-web-src", proof: Proof::Installed },
];

/// Hosts in network namespaces: servers, clients and tools to look with.
pub const TEST: &[Package] = &[
    command("iproute2", "ip"),
    command("ethtool", "ethtool"),
    command("nginx-light", "nginx"),
    command("wrk", "wrk"),
    command("dnsmasq-base", "dnsmasq"),
    command("bind9-dnsutils", "dig"),
    command("curl", "curl"),
    command("iperf3", "iperf3"),
    command("hping3", "hping3"),
    command("tcpdump", "tcpdump"),
    command("jq", "jq"),
];

/// The hosts of `cargo xtask demo`.
pub const DEMO: &[Package] = &[
    command("iproute2", "ip"),
    command("ethtool", "ethtool"),
    command("nginx-light", "nginx"),
    command("dnsmasq-base", "dnsmasq"),
    command("bind9-dnsutils", "dig"),
    command("curl", "curl"),
    command("wrk", "wrk"),
];

/// What the balancer is compared with, and the hosts to do it between.
pub const COMPARE: &[Package] = &[
    command("iproute2", "ip"),
    command("ethtool", "ethtool"),
    command("nginx-light", "nginx"),
    Package { name: "libnginx-mod-stream", proof: Proof::Installed },
    command("haproxy", "haproxy"),
    command("nftables", "nft"),
];

/// Booting another kernel in a virtual machine.
pub const KERNELS: &[Package] = &[
    command("qemu-system-x86", "qemu-system-x86_64"),
    Package { name: "busybox-static", proof: Proof::Installed },
    command("kmod", "modprobe"),
    command("udev", "udevadm"),
    command("bpftool", "bpftool"),
    Package { name: "python3-venv", proof: Proof::Installed },
];

impl Package {
    fn is_present(&self) -> bool {
        match self.proof {
            Proof::Command(command) => sh::which(command).is_some(),
            Proof::Installed => is_installed(self.name),
        }
    }

    /// What to look for where packages have other names.
    fn elsewhere(&self) -> String {
        match self.proof {
            Proof::Command(command) => format!("the command `{command}`"),
            Proof::Installed => format!("what Debian calls {}", self.name),
        }
    }
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    sh::output(&mut query).is_ok_and(|status| status == "installed")
}

/// Whether packages can be installed here at all.
pub fn have_apt() -> bool {
    Path::new("/etc/debian_version").exists() && sh::which("apt-get").is_some()
}

/// The distribution's own name for itself.
fn distribution() -> String {
    fs::read_to_string("/etc/os-release")
        .ok()
        .and_then(|text| {
            let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
            Some(name.trim_matches('"').to_owned())
        })
        .unwrap_or_else(|| "an unknown distribution".to_owned())
}

/// Installs what is missing of a set, or notes what the person has to install.
/// Says whether all of it is there now.
pub fn ensure(what: &str, set: &[Package], todo: &mut Todo) -> Result<bool> {
    let missing: Vec<&Package> = set.iter().filter(|package| !package.is_present()).collect();
    if missing.is_empty() {
        sh::say(&format!("{what}: all packages present"));
        return Ok(true);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !have_apt() {
        let wanted: Vec<String> = missing.iter().map(|package| package.elsewhere()).collect();
        todo.add(format!(
            "# {what}, with the package manager of {}: {}",
            distribution(),
            wanted.join(", ")
        ));
        return Ok(false);
    }
    if !is_root() {
        todo.add(format!("sudo apt-get install --no-install-recommends {}", names.join(" ")));
        return Ok(false);
    }
    install(what, &names)?;
    Ok(true)
}

fn install(what: &str, names: &[&str]) -> Result<()> {
    update_lists()?;
    let no_service = NoServiceStart::hold()?;
    let new_servers: Vec<&str> =
        SERVERS.iter().copied().filter(|server| sh::which(server).is_none()).collect();
    let label = format!("{what}: installing {}", names.join(" "));
    sh::step(
        &label,
        apt_get().args(["install", "--yes", "--no-install-recommends"]).args(names),
    )
    .context("apt's own words are above; is the network there, and /etc/apt/sources.list right?")?;
    drop(no_service);
    for server in new_servers {
        keep_off(server)?;
    }
    Ok(())
}

/// Programs whose packages also make them services of this host.
const SERVERS: &[&str] = &["nginx", "haproxy"];

/// Only the program is wanted: no server may appear on this host at the next boot.
fn keep_off(server: &str) -> Result<()> {
    if sh::which(server).is_none() || !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    sh::step(
        &format!("keeping {server} off this host"),
        Command::new("systemctl").args(["disable", "--now", server]),
    )
}

/// Has apt look what there is, once. A repository that cannot be reached may not
/// matter: the install will tell.
fn update_lists() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let update = sh::attempt("apt-get update", apt_get().arg("update"))?;
    if !update.ok {
        eprint!("{}", update.text);
    }
    Ok(())
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-o", "DPkg::Lock::Timeout=300"]);
    command
}

/// While it lives, packages do not start the services they bring (Debian asks
/// policy-rc.d first). A policy that the system has already is left alone.
struct NoServiceStart {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServiceStart {
    fn hold() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt;
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")
            .with_context(|| format!("cannot write {POLICY}"))?;
        let guard = Self { ours: true };
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("cannot make {POLICY} executable"))?;
        Ok(guard)
    }
}

impl Drop for NoServiceStart {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!(
                "warning: cannot remove {POLICY} ({error}): remove it, or no package can start services"
            );
        }
    }
}
