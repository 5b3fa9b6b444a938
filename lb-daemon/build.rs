//! Hands the eBPF object to the daemon, which carries it inside.
//!
//! `cargo xtask build` names the object in `LB_EBPF_OBJECT`. A plain `cargo build`
//! takes the one that an earlier `cargo xtask build` left in the target directory, or
//! none: the daemon then compiles all the same and says so when it is started.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LB_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("lb-ebpf.o");
    let bytes = match object() {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", path.display());
            fs::read(&path)
                .unwrap_or_else(|e| panic!("cannot read the eBPF object {}: {e}", path.display()))
        }
        None => Vec::new(),
    };
    fs::write(&out, bytes).unwrap_or_else(|e| panic!("cannot write {}: {e}", out.display()));
}

fn object() -> Option<PathBuf> {
    if let Some(path) = env::var_os("LB_EBPF_OBJECT") {
        return Some(path.into());
    }
    // Cargo runs this in the package's directory, one below the workspace.
    let target = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    Some(Path::new("..").join(target).join("bpf/lb-ebpf.o")).filter(|path| path.exists())
}
