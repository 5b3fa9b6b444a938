//! Where things are: the sources, and below the target directory everything made.
//!
//! The target directory is `target/` unless `CARGO_TARGET_DIR` names another, as
//! for cargo itself; the paths that documents mention (`target/bpf`,
//! `target/release/lb-daemon`) move with it.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// The root of the repository: the one that cargo runs this for. The binary may
/// be another checkout's, where two share a target directory.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        package.parent().expect("xtask lies inside the repository").to_owned()
    });
    &ROOT
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => std::path::absolute(dir).expect("the current directory exists"),
        None => root().join("target"),
    }
}

/// The finished eBPF objects, one `NAME.o` per binary of `lb-ebpf`.
pub fn bpf_objects() -> PathBuf {
    target().join("bpf")
}

/// The object that the daemon loads.
pub fn lb_object() -> PathBuf {
    bpf_objects().join("lb-ebpf.o")
}

/// Programs that set-up installed for this repository alone.
pub fn tools() -> PathBuf {
    target().join("tools")
}

/// Unpacked kernels for the tests on other kernels.
pub fn kernels() -> PathBuf {
    target().join("kernels")
}

/// A path as people type it: relative to the current directory where it is below it.
pub fn short(path: &Path) -> String {
    env::current_dir()
        .ok()
        .and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf))
        .unwrap_or_else(|| path.to_path_buf())
        .display()
        .to_string()
}

pub fn create_dir(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}
