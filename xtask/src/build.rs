//! `cargo xtask build`: the eBPF objects, then the daemon with its object inside.
//!
//! The objects are built apart from the rest: another compiler (see [`crate::toolchain`]),
//! another target, another target directory, so that neither build spoils the other's
//! cache. Every binary of `lb-ebpf` becomes `target/bpf/NAME.o`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::{self, EbpfTools};
use crate::{repo, sh, toolchain};

/// Build the eBPF objects and the daemon that carries one
#[derive(clap::Args)]
pub struct Args {
    /// The daemon without optimisation (the eBPF objects are always optimised)
    #[arg(long)]
    debug: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let tools = setup::ensure(&[])?;
    all(&tools, args.debug)?;
    Ok(())
}

/// Builds objects and daemon; returns the daemon's path.
pub fn all(tools: &EbpfTools, debug: bool) -> Result<PathBuf> {
    sh::heading("eBPF objects");
    for object in objects(tools)? {
        let size = fs::metadata(&object).map_or(0, |m| m.len().div_ceil(1024));
        sh::say(&format!("{} ({size} KiB)", repo::short(&object)));
    }
    sh::heading("Daemon");
    let daemon = daemon(debug)?;
    sh::say(&repo::short(&daemon));
    Ok(daemon)
}

/// What the compiler and the linker are told beyond cargo's profile.
fn ebpf_flags(tools: &EbpfTools) -> String {
    let flags = [
        format!("-Clinker={}", tools.linker.display()),
        // v3 has 32-bit arithmetic and jumps (kernel 5.1).
        "-Ctarget-cpu=v3".into(),
        // BTF describes maps and functions to the loader; it is made from debug info.
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // Code is made by the linker, so these go there. Packet headers lie at any
        // alignment and the kernel's machines read them at once; without the second
        // feature each u32 is four loads, three shifts and three ors. alu32 is named
        // since atomics that return a value are refused without it, v3 or not.
        "-Clink-arg=--cpu-features=+alu32,+allows-misaligned-mem-access".into(),
        "-Dwarnings".into(),
    ];
    // A space may be part of a path: cargo's separator is 0x1f.
    flags.join("\x1f")
}

/// Cargo on lb-ebpf for the BPF target: `cargo`, `subcommand`, and all it needs.
pub fn ebpf_cargo(tools: &EbpfTools, cargo: &Path, subcommand: &str) -> Command {
    let mut command = Command::new(cargo);
    command
        .current_dir(repo::root())
        .args([subcommand, "--package", "lb-ebpf", "--bins", "--release"])
        .args(["--target", "bpfel-unknown-none", "-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(repo::target().join("ebpf"))
        .env("RUSTC", &tools.toolchain.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", ebpf_flags(tools))
        .env("LD_LIBRARY_PATH", &tools.llvm_dir)
        // Wrappers such as sccache know nothing of this target.
        .env("RUSTC_WRAPPER", "");
    command
}

/// Builds every binary of lb-ebpf and copies it to `target/bpf/NAME.o`.
pub fn objects(tools: &EbpfTools) -> Result<Vec<PathBuf>> {
    let mut command = ebpf_cargo(tools, &tools.toolchain.cargo, "build");
    let mut objects = Vec::new();
    for artifact in artifacts(&mut command).context("the eBPF program does not build")? {
        let object = repo::bpf_objects().join(format!("{}.o", artifact.name));
        copy_if_changed(&artifact.executable, &object)?;
        objects.push(object);
    }
    if objects.is_empty() {
        bail!("lb-ebpf has no binary");
    }
    Ok(objects)
}

/// Builds the daemon around the object in `target/bpf`.
fn daemon(debug: bool) -> Result<PathBuf> {
    let mut command = Command::new(toolchain::host_cargo());
    command
        .current_dir(repo::root())
        .args(["build", "--package", "lb-daemon", "--bin", "lb-daemon"])
        .args((!debug).then_some("--release"))
        .env("LB_EBPF_OBJECT", repo::lb_object());
    let built = artifacts(&mut command).context("the daemon does not build")?;
    let daemon = built.into_iter().find(|artifact| artifact.name == "lb-daemon");
    Ok(daemon.context("cargo built no lb-daemon")?.executable)
}

/// An executable that cargo made.
pub struct Artifact {
    pub name: String,
    pub executable: PathBuf,
    pub manifest: PathBuf,
}

/// Builds a program of this workspace that xtask runs, of the same name as its
/// package.
pub fn tool(package: &str) -> Result<PathBuf> {
    let mut command = Command::new(toolchain::host_cargo());
    command.current_dir(repo::root()).args(["build", "--release", "--package", package]);
    let built = artifacts(&mut command).with_context(|| format!("{package} does not build"))?;
    let tool = built.into_iter().find(|artifact| artifact.name == package);
    Ok(tool.with_context(|| format!("cargo built no {package}"))?.executable)
}

/// Runs a cargo build, its messages on this terminal, and lists its executables.
pub fn artifacts(command: &mut Command) -> Result<Vec<Artifact>> {
    command.arg("--message-format=json-render-diagnostics");
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", sh::describe(command)))?;
    let out = child.wait_with_output().context("cannot wait for cargo")?;
    if !out.status.success() {
        bail!("`{}` failed; the compiler's words are above", sh::describe(command));
    }
    let messages = String::from_utf8_lossy(&out.stdout);
    Ok(messages.lines().filter_map(executable).collect())
}

/// The executable that one of cargo's messages speaks of.
fn executable(message: &str) -> Option<Artifact> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    Some(Artifact {
        executable: message["executable"].as_str()?.into(),
        name: message["target"]["name"].as_str()?.to_owned(),
        manifest: message["manifest_path"].as_str()?.into(),
    })
}

/// Copies a file unless the copy is the same already: an unchanged object must not
/// make cargo build the daemon again.
fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    repo::create_dir(to.parent().expect("an object lies in a directory"))?;
    fs::write(to, new).with_context(|| format!("cannot write {}", to.display()))
}
