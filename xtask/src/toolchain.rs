//! The compiler for eBPF.
//!
//! The target `bpfel-unknown-none` is not shipped: `core` is built from source, so
//! the toolchain needs `rust-src`; and bpf-linker reads the compiler's bitcode with
//! the compiler's own LLVM, so its LLVM must be the one that bpf-linker was made for.
//! A stable compiler will do: `RUSTC_BOOTSTRAP=1` unlocks `-Z build-std`.
//!
//! In order: a toolchain that has all of it; Debian's pair `rustc-web` and
//! `rust-web-src` if it is installed; a rustup toolchain that `rust-src` can be added
//! to; Debian's pair, installed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::Result;

use crate::bpf_linker::LLVM;
use crate::todo::Todo;
use crate::{packages, sh};

/// The oldest compiler for this workspace: `rust-version` in Cargo.toml.
const OLDEST: (u32, u32) = (1, 95);

/// A compiler that can build eBPF objects.
pub struct Toolchain {
    pub name: String,
    pub rustc: PathBuf,
    /// The toolchain's own cargo, or else the one that runs us.
    pub cargo: PathBuf,
    /// The toolchain's clippy, if it has one.
    pub cargo_clippy: Option<PathBuf>,
    /// The LLVM that wrote its bitcode.
    pub llvm: PathBuf,
}

/// A compiler found, and what it lacks to be a [`Toolchain`].
struct Candidate {
    name: String,
    rustc: PathBuf,
    version: String,
    sysroot: PathBuf,
    llvm: Option<PathBuf>,
    /// What `rustup component add --toolchain` calls it.
    rustup: Option<String>,
}

impl Candidate {
    fn inspect(name: String, rustc: PathBuf, rustup: Option<String>) -> Option<Self> {
        let about = sh::output(Command::new(&rustc).arg("-vV")).ok()?;
        let release = about.lines().find_map(|line| line.strip_prefix("release: "))?;
        let llvm_major = about.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
        let llvm_major: u32 = llvm_major.split('.').next()?.parse().ok()?;
        let sysroot = sh::output(Command::new(&rustc).args(["--print", "sysroot"])).ok()?;
        let sysroot = PathBuf::from(sysroot.trim());
        if major_minor(release)? < OLDEST || llvm_major != LLVM {
            return None;
        }
        let llvm = find_llvm(&sysroot, llvm_major);
        Some(Self { name, rustc, version: release.to_owned(), sysroot, llvm, rustup })
    }

    fn has_source(&self) -> bool {
        self.sysroot.join("lib/rustlib/src/rust/library/core/src/lib.rs").exists()
    }

    fn into_toolchain(self) -> Option<Toolchain> {
        if !self.has_source() {
            return None;
        }
        // The real one rather than rustup's proxy, which would choose again.
        let bin = self.sysroot.join("bin");
        let in_bin = |program: &str| Some(bin.join(program)).filter(|path| path.exists());
        Some(Toolchain {
            name: format!("{} (rustc {}, LLVM {LLVM})", self.name, self.version),
            cargo: in_bin("cargo").unwrap_or_else(host_cargo),
            cargo_clippy: in_bin("cargo-clippy"),
            rustc: in_bin("rustc").unwrap_or(self.rustc),
            llvm: self.llvm?,
        })
    }
}

/// The cargo that runs xtask.
pub fn host_cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Finds or makes a toolchain for eBPF. `None` if that is left to the person.
pub fn ensure(todo: &mut Todo) -> Result<Option<Toolchain>> {
    let found = ready(rustup_candidates()).or_else(|| ready(debian_candidates()));
    let found = match found.or_else(add_source) {
        Some(toolchain) => Some(toolchain),
        None => install_debian_pair(todo)?,
    };
    match &found {
        Some(toolchain) => sh::say(&format!("eBPF compiler: {}", toolchain.name)),
        None => todo.add(format!(
            "rustup toolchain install {}.{}.0 --profile minimal --component rust-src  \
             # or, on Debian: sudo apt-get install rustc-web rust-web-src",
            OLDEST.0, OLDEST.1
        )),
    }
    Ok(found)
}

fn ready(candidates: Vec<Candidate>) -> Option<Toolchain> {
    candidates.into_iter().find_map(Candidate::into_toolchain)
}

/// rustup's toolchains, the active one first.
fn rustup_candidates() -> Vec<Candidate> {
    let Ok(list) = sh::output(Command::new("rustup").args(["toolchain", "list"])) else {
        return Vec::new();
    };
    let (active, others): (Vec<&str>, Vec<&str>) =
        list.lines().partition(|line| line.contains("active"));
    active.into_iter().chain(others).filter_map(rustup_candidate).collect()
}

fn rustup_candidate(line: &str) -> Option<Candidate> {
    let toolchain = line.split_whitespace().next()?;
    let which = ["which", "--toolchain", toolchain, "rustc"];
    let rustc = sh::output(Command::new("rustup").args(which)).ok()?;
    let name = format!("rustup's {toolchain}");
    Candidate::inspect(name, PathBuf::from(rustc.trim()), Some(toolchain.to_owned()))
}

/// Compilers of the distribution.
fn debian_candidates() -> Vec<Candidate> {
    let rustc = PathBuf::from("/usr/bin/rustc");
    Candidate::inspect("the system's".to_owned(), rustc, None).into_iter().collect()
}

/// Adds `rust-src` to the first rustup toolchain that takes it.
fn add_source() -> Option<Toolchain> {
    rustup_candidates().into_iter().find_map(|candidate| {
        let toolchain = candidate.rustup.clone()?;
        let what = format!("adding rust-src to {}", candidate.name);
        let mut add = Command::new("rustup");
        add.args(["component", "add", "rust-src", "--toolchain", &toolchain]);
        let added = sh::attempt(&what, &mut add).ok()?;
        if !added.ok {
            let reason = added.text.lines().rfind(|line| !line.trim().is_empty());
            let reason: String = reason.unwrap_or_default().trim().chars().take(100).collect();
            sh::say(&format!("  no loss yet, Debian has it too: {reason} …"));
        }
        candidate.into_toolchain()
    })
}

fn install_debian_pair(todo: &mut Todo) -> Result<Option<Toolchain>> {
    if !packages::have_apt() || !packages::ensure("eBPF compiler", packages::EBPF_TOOLCHAIN, todo)?
    {
        return Ok(None);
    }
    let found = ready(debian_candidates());
    if found.is_none() {
        sh::say(&format!(
            "this release's rustc-web does not fit (wanted: rustc {}.{} or later with LLVM {LLVM})",
            OLDEST.0, OLDEST.1
        ));
    }
    Ok(found)
}

/// The shared library of a compiler's LLVM: beside it with rustup, among the
/// system's libraries with a distribution.
fn find_llvm(sysroot: &Path, major: u32) -> Option<PathBuf> {
    let multiarch = format!("lib/{}-linux-gnu", env::consts::ARCH);
    [sysroot.join("lib"), sysroot.join(multiarch), sysroot.join("lib64")]
        .iter()
        .filter_map(|dir| fs::read_dir(dir).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|n| is_llvm(&n.to_string_lossy(), major)))
}

/// `libLLVM-22-rust-1.95.0-stable.so`, `libLLVM.so.22.1`, `libLLVM-22.so`: one major.
fn is_llvm(file: &str, major: u32) -> bool {
    let Some(rest) = file.strip_prefix("libLLVM") else { return false };
    let digits: String =
        rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    file.contains(".so") && digits.parse() == Ok(major)
}

fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llvm_is_known_by_any_of_its_names() {
        for name in ["libLLVM-22-rust-1.95.0-stable.so", "libLLVM.so.22.1", "libLLVM-22.so"] {
            assert!(is_llvm(name, 22), "{name}");
        }
        for name in ["libLLVM-14.so.1", "libLLVM.so.21.1", "librustc_driver-22.so", "libLLVM-22.a"]
        {
            assert!(!is_llvm(name, 22), "{name}");
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(major_minor("1.100.0-nightly") > Some(OLDEST));
        assert!(major_minor("1.63.0") < Some(OLDEST));
    }
}
