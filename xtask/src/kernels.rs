//! Another kernel to test on: Debian's 6.1, in a virtual machine.
//!
//! The verifier differs between kernels, so an object that loads here may not load
//! there. virtme-ng boots a kernel on this machine's own file system (read-only, with
//! what is written kept in memory), so a test binary runs inside by its path here.
//! QEMU emulates in software: that takes half a minute to boot, but works everywhere,
//! in virtual machines and containers too.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::packages;
use crate::suite::{self, Binary, Outcome};
use crate::todo::Todo;
use crate::{repo, sh};

/// The oldest kernel that the data path is promised to run on.
const SERIES: &str = "6.1";
const VIRTME: &str = "1.42";
/// More than boot and packet tables ever took under emulation.
const DEADLINE: &str = "900";

/// Finds or fetches the kernel and what boots it.
pub fn ensure(todo: &mut Todo) -> Result<()> {
    if !packages::ensure("virtual machine", packages::KERNELS, todo)? {
        return Ok(());
    }
    if kernel().is_none() && !packages::have_apt() {
        todo.add(
            "# the other kernel comes from Debian's archive: elsewhere, `cargo xtask test --fast`",
        );
        return Ok(());
    }
    let vng = match vng() {
        Some(vng) => vng,
        None => install_virtme()?,
    };
    let kernel = match kernel() {
        Some(kernel) => kernel,
        None => fetch_kernel()?,
    };
    sh::say(&format!("other kernel: {} under {}", repo::short(&kernel), repo::short(&vng)));
    Ok(())
}

/// A kernel and what boots it.
pub struct Machine {
    vng: PathBuf,
    kernel: PathBuf,
}

impl Machine {
    pub fn find() -> Result<Self> {
        let next = "run `cargo xtask setup kernels`";
        Ok(Self {
            vng: vng().with_context(|| format!("virtme-ng is not installed: {next}"))?,
            kernel: kernel()
                .with_context(|| format!("no kernel in {}: {next}", repo::kernels().display()))?,
        })
    }

    /// Runs test binaries inside, one after the other, by their paths here.
    pub fn run_tests(&self, binaries: &[Binary], env: &[(String, String)]) -> Result<Outcome> {
        // bpffs is for pins; emulation is slow, so fewer random cases.
        let mut script = String::from("mount -t bpf bpf /sys/fs/bpf; export PROPTEST_CASES=16");
        for (name, value) in env {
            script += &format!(" {name}={}", sh::quote(value));
        }
        script += "; failed=0";
        for binary in binaries {
            let package = binary.package.display().to_string();
            let path = binary.path.display().to_string();
            script += &format!("; cd {} && {} || failed=1", sh::quote(&package), sh::quote(&path));
        }
        script += "; exit $failed";
        suite::judge(&format!("on {}", self.version()), &mut self.command(&script))
    }

    fn version(&self) -> String {
        let file = self.kernel.file_name().unwrap_or_default().to_string_lossy();
        file.trim_start_matches("vmlinuz-").to_owned()
    }

    /// The machine dies with us or at the deadline, whichever comes first.
    fn command(&self, script: &str) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "TERM", "timeout", "--kill-after=10", DEADLINE])
            .arg(&self.vng)
            .args(["--disable-kvm", "--user", "root", "--cpus", "2", "--memory", "2G", "--run"])
            .arg(&self.kernel)
            .args(["--", script])
            .env("PATH", path_with(&self.vng));
        command
    }
}

/// `PATH` with the directory of vng in front: it calls its companions by name.
fn path_with(vng: &Path) -> OsString {
    let own = vng.parent().map(Path::to_path_buf);
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(own.into_iter().chain(env::split_paths(&path))).unwrap_or(path)
}

fn vng() -> Option<PathBuf> {
    let ours = repo::tools().join("virtme-ng/bin/vng");
    Some(ours).filter(|path| path.exists()).or_else(|| sh::which("vng"))
}

fn install_virtme() -> Result<PathBuf> {
    let dir = repo::tools().join("virtme-ng");
    repo::create_dir(&repo::tools())?;
    // The system's Python: python3-venv is for that one, whatever else is in PATH.
    let mut venv = Command::new("/usr/bin/python3");
    sh::step("making a Python environment", venv.args(["-m", "venv"]).arg(&dir))?;
    let mut pip = Command::new(dir.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &format!("virtme-ng=={VIRTME}"),
    ]);
    let installed = sh::step("installing virtme-ng", &mut pip);
    if installed.is_err() {
        // Half an environment must not pass for one the next time.
        let _ = fs::remove_dir_all(&dir);
    }
    installed.context("virtme-ng comes from PyPI; is the network there?")?;
    Ok(dir.join("bin/vng"))
}

/// The kernel that was fetched before.
fn kernel() -> Option<PathBuf> {
    let boot = repo::kernels().join(SERIES).join("boot");
    fs::read_dir(boot).ok()?.flatten().map(|entry| entry.path()).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    })
}

fn fetch_kernel() -> Result<PathBuf> {
    let package = newest_image()?;
    let dir = repo::kernels();
    let unpacked = dir.join(SERIES);
    let download = dir.join("download");
    // What an interrupted run left may be incomplete.
    let _ = fs::remove_dir_all(&unpacked);
    let _ = fs::remove_dir_all(&download);
    repo::create_dir(&download)?;
    let mut get = Command::new("apt-get");
    get.current_dir(&download).args(["-q", "download", &package]);
    sh::step(&format!("downloading {package} (70 MB)"), &mut get)?;
    let mut files = fs::read_dir(&download).context("cannot list the download")?.flatten();
    let deb =
        files.next().with_context(|| format!("apt-get left no file in {}", download.display()))?;
    unpack(&deb.path(), &download.join("tree"))?;
    fs::rename(download.join("tree"), &unpacked).context("cannot move the kernel into place")?;
    let _ = fs::remove_dir_all(&download);
    kernel().with_context(|| format!("{package} has no boot/vmlinuz"))
}

fn unpack(deb: &Path, into: &Path) -> Result<()> {
    let mut dpkg = Command::new("dpkg");
    sh::step("unpacking the kernel", dpkg.arg("--extract").arg(deb).arg(into))
}

/// The newest image of the series that apt knows, for example `linux-image-6.1.0-50-amd64`.
fn newest_image() -> Result<String> {
    let pattern = format!("^linux-image-{}\\.", SERIES.replace('.', r"\."));
    let list = sh::output(Command::new("apt-cache").args(["search", "--names-only", &pattern]))?;
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    match names.filter_map(|name| Some((build_number(name)?, name))).max() {
        Some((_, name)) => Ok(name.to_owned()),
        None => bail!(
            "apt knows no kernel {SERIES} for this release; `cargo xtask test --fast` does without it"
        ),
    }
}

/// The build of a plain amd64 image: 50 in `linux-image-6.1.0-50-amd64`; none for
/// images of other flavours or without a signature.
fn build_number(package: &str) -> Option<u32> {
    let version = package.strip_prefix("linux-image-")?.strip_suffix("-amd64")?;
    version.strip_prefix(SERIES)?.strip_prefix('.')?.split_once('-')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_images_of_the_series_count() {
        assert_eq!(build_number("linux-image-6.1.0-50-amd64"), Some(50));
        for other in [
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-amd64-dbg",
            "linux-image-6.1.0-50-amd64-unsigned",
            "linux-image-6.1.0-50-rt-amd64",
            "linux-image-6.12.0-50-amd64",
            "linux-image-amd64",
        ] {
            assert_eq!(build_number(other), None, "{other}");
        }
    }
}
