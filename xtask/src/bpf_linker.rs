//! bpf-linker: links the compiler's bitcode into an eBPF object.
//!
//! It opens an LLVM at run time: the first `libLLVM*` in `LD_LIBRARY_PATH` that loads,
//! whichever version that is. So it is given a directory with exactly one, the LLVM of
//! the compiler in use.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{repo, sh, toolchain};

/// The LLVM that bpf-linker 0.10 speaks to; from 0.11 on it wants LLVM 23.
pub const LLVM: u32 = 22;

const SERIES: &str = "0.10.";
const PATCH: u32 = 3;

/// Finds a bpf-linker that fits, or builds one for this repository alone.
pub fn ensure() -> Result<PathBuf> {
    let ours = repo::tools().join("bin/bpf-linker");
    let found =
        [Some(ours.clone()), sh::which("bpf-linker")].into_iter().flatten().find(|p| fits(p));
    if let Some(linker) = found {
        sh::say(&format!("eBPF linker: {}", linker.display()));
        return Ok(linker);
    }
    install()?;
    if !fits(&ours) {
        bail!("{} was just installed and does not run: try it with --version", ours.display());
    }
    sh::say(&format!("eBPF linker: {}", ours.display()));
    Ok(ours)
}

fn install() -> Result<()> {
    let mut cargo = Command::new(toolchain::host_cargo());
    cargo
        .args(["install", "bpf-linker", "--locked", "--version", &format!("{SERIES}{PATCH}")])
        .arg("--root")
        .arg(repo::tools())
        // Its build would otherwise mix with ours.
        .env_remove("CARGO_TARGET_DIR");
    sh::step("building bpf-linker (a minute or two)", &mut cargo)
        .context("bpf-linker could not be built; `cargo install` needs the network and a C linker (apt-get install gcc)")
}

fn fits(linker: &Path) -> bool {
    let version = sh::output(Command::new(linker).arg("--version")).unwrap_or_default();
    version_fits(version.trim())
}

fn version_fits(version: &str) -> bool {
    version
        .strip_prefix("bpf-linker ")
        .and_then(|version| version.strip_prefix(SERIES))
        .and_then(|patch| patch.parse::<u32>().ok())
        .is_some_and(|patch| patch >= PATCH)
}

/// A directory that holds nothing but a link to this LLVM.
pub fn llvm_dir(llvm: &Path) -> Result<PathBuf> {
    let dir = repo::tools().join("llvm");
    repo::create_dir(&dir)?;
    let link = dir.join("libLLVM.so");
    if fs::read_link(&link).is_ok_and(|target| target == llvm) {
        return Ok(dir);
    }
    let _ = fs::remove_file(&link);
    symlink(llvm, &link)
        .with_context(|| format!("cannot link {} to {}", link.display(), llvm.display()))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_series_made_for_our_llvm_fits() {
        assert!(version_fits("bpf-linker 0.10.3"));
        assert!(version_fits("bpf-linker 0.10.12"));
        for other in ["bpf-linker 0.10.2", "bpf-linker 0.11.0", "bpf-linker 0.9.15", ""] {
            assert!(!version_fits(other), "{other}");
        }
    }
}
