//! `cargo xtask setup`: everything the other commands need, found or installed.
//!
//! Each part can be asked for alone, and each command asks for its own parts, so a
//! second run only looks.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::todo::{Todo, is_root};
use crate::toolchain::Toolchain;
use crate::{bpf_linker, kernels, packages, sh, toolchain};

/// Find or install what the other commands need
#[derive(clap::Args)]
pub struct Args {
    /// What to set up beside the tools to build [default: all]
    #[arg(value_enum)]
    parts: Vec<Part>,
}

/// A part of set-up, named after what needs it.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Servers and clients for tests between real hosts, and bpffs
    Test,
    /// Servers and clients for the demonstration, and bpffs
    Demo,
    /// What the balancer is compared with, and bpffs
    Compare,
    /// A virtual machine with another kernel
    Kernels,
}

/// What builds eBPF objects.
pub struct EbpfTools {
    pub toolchain: Toolchain,
    pub linker: PathBuf,
    /// The directory that bpf-linker opens LLVM from.
    pub llvm_dir: PathBuf,
}

pub fn run(args: &Args) -> Result<()> {
    let all = [Part::Test, Part::Demo, Part::Compare, Part::Kernels];
    ensure(if args.parts.is_empty() { &all } else { &args.parts })?;
    sh::say("ready");
    Ok(())
}

/// Sets up what building needs and the parts named, or fails with a list of all that
/// is left to the person.
pub fn ensure(parts: &[Part]) -> Result<EbpfTools> {
    sh::heading("Set-up");
    let mut todo = Todo::default();
    let tools = ebpf_tools(&mut todo)?;
    let wants = |part| parts.contains(&part);
    if wants(Part::Test) {
        packages::ensure("test tools", packages::TEST, &mut todo)?;
    }
    if wants(Part::Demo) {
        packages::ensure("demo tools", packages::DEMO, &mut todo)?;
    }
    if wants(Part::Compare) {
        packages::ensure("compared programs", packages::COMPARE, &mut todo)?;
    }
    if parts.iter().any(|part| *part != Part::Kernels) {
        bpffs(&mut todo)?;
    }
    if wants(Part::Kernels) {
        kernels::ensure(&mut todo)?;
    }
    todo.finish()?;
    tools.context("there is no eBPF compiler, and no word how to get one")
}

fn ebpf_tools(todo: &mut Todo) -> Result<Option<EbpfTools>> {
    let Some(toolchain) = toolchain::ensure(todo)? else { return Ok(None) };
    let linker = bpf_linker::ensure()?;
    let llvm_dir = bpf_linker::llvm_dir(&toolchain.llvm)?;
    Ok(Some(EbpfTools { toolchain, linker, llvm_dir }))
}

const BPFFS: &str = "/sys/fs/bpf";

/// The file system that pinned programs and maps live in.
fn bpffs(todo: &mut Todo) -> Result<()> {
    if statfs(BPFFS).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC) {
        sh::say(&format!("{BPFFS}: mounted"));
        return Ok(());
    }
    if !is_root() {
        todo.add(format!("sudo mount -t bpf bpf {BPFFS}"));
        return Ok(());
    }
    if !Path::new(BPFFS).exists() {
        todo.add(format!("# boot a kernel with CONFIG_BPF_SYSCALL: this one has no {BPFFS}"));
        return Ok(());
    }
    mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), None::<&str>)
        .with_context(|| format!("cannot mount bpffs on {BPFFS}"))?;
    sh::say(&format!("{BPFFS}: mounted just now"));
    Ok(())
}
