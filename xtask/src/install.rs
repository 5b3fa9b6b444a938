//! `cargo xtask install`: the daemon and what runs it, onto this machine or into a
//! directory that becomes a package.
//!
//! What an operator may have edited is never overwritten: the configuration, and the
//! balancer's sysctls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{build, repo, setup, sh, todo};

/// Where unit and documents say the daemon is.
const DEFAULT_PREFIX: &str = "/usr/local";
const CONFIG: &str = "/etc/lb-daemon/lb.yaml";
const SYSCTL: &str = "/etc/sysctl.d/60-lb-daemon.conf";

/// Install daemon, systemd unit, example configuration and sysctls
#[derive(clap::Args)]
pub struct Args {
    /// Where the program goes: PREFIX/bin
    #[arg(long, default_value = DEFAULT_PREFIX)]
    prefix: PathBuf,
    /// Put everything below DIR instead of /, to make a package of it (needs no root)
    #[arg(long, value_name = "DIR")]
    destdir: Option<PathBuf>,
}

pub fn run(args: &Args) -> Result<()> {
    if args.destdir.is_none() {
        todo::require_root("install", "it writes to /usr and /etc")?;
    }
    let prefix = std::path::absolute(&args.prefix).context("--prefix is no path")?;
    let daemon = build::all(&setup::ensure(&[])?, false)?;
    sh::heading("Installing");
    let installer = Installer { root: args.destdir.clone().unwrap_or_else(|| "/".into()) };
    installer.all(&daemon, &prefix)?;
    if args.destdir.is_none() {
        say_next(&prefix);
    }
    Ok(())
}

/// Writes below a root.
struct Installer {
    root: PathBuf,
}

impl Installer {
    fn all(&self, daemon: &Path, prefix: &Path) -> Result<()> {
        let deploy = repo::root().join("deploy");
        let share = prefix.join("share/lb-daemon");
        self.replace(&prefix.join("bin/lb-daemon"), &read(daemon)?, 0o755)?;
        let unit = read_text(&deploy.join("lb-daemon.service"))?;
        self.replace(
            &unit_directory(prefix).join("lb-daemon.service"),
            unit_for(&unit, prefix).as_bytes(),
            0o644,
        )?;
        for (directory, name) in [("examples", "examples"), ("sysctl", "sysctl")] {
            for file in files(&deploy.join(directory))? {
                let target =
                    share.join(name).join(file.file_name().expect("listed files have names"));
                self.replace(&target, &read(&file)?, 0o644)?;
            }
        }
        // It may hold what only the operator should know, such as the hash seed.
        self.keep(Path::new(CONFIG), &read(&deploy.join("examples/dsr.yaml"))?, 0o640)?;
        self.keep(Path::new(SYSCTL), &read(&deploy.join("sysctl/balancer.conf"))?, 0o644)
    }

    /// Writes a file of ours. A new file takes the old one's name, since a running
    /// program cannot be written to.
    fn replace(&self, target: &Path, content: &[u8], mode: u32) -> Result<()> {
        let path = self.place(target)?;
        let new = path.with_extension("new");
        fs::write(&new, content).with_context(|| format!("cannot write {}", new.display()))?;
        fs::set_permissions(&new, fs::Permissions::from_mode(mode))
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("cannot install {}", path.display()))?;
        sh::say(&path.display().to_string());
        Ok(())
    }

    /// Writes a file that belongs to the operator once it is there.
    fn keep(&self, target: &Path, content: &[u8], mode: u32) -> Result<()> {
        let path = self.place(target)?;
        if path.exists() {
            sh::say(&format!("{} is there already: left as it is", path.display()));
            return Ok(());
        }
        self.replace(target, content, mode)
    }

    fn place(&self, target: &Path) -> Result<PathBuf> {
        let path = self.root.join(target.strip_prefix("/").expect("targets are absolute"));
        repo::create_dir(path.parent().expect("targets lie in directories"))?;
        Ok(path)
    }
}

/// systemd reads packaged units below /usr, and administrators' own in /etc.
fn unit_directory(prefix: &Path) -> PathBuf {
    if prefix == Path::new("/usr") { "/usr/lib/systemd/system" } else { "/etc/systemd/system" }
        .into()
}

/// The unit for a daemon below another prefix.
fn unit_for(unit: &str, prefix: &Path) -> String {
    let program = prefix.join("bin/lb-daemon").display().to_string();
    unit.replace(&format!("{DEFAULT_PREFIX}/bin/lb-daemon"), &program)
}

fn say_next(prefix: &Path) {
    let daemon = prefix.join("bin/lb-daemon");
    println!(
        "\nNext:\n    $EDITOR {CONFIG}\n    {} check --config {CONFIG}\n    \
         sysctl --system\n    systemctl daemon-reload\n    systemctl enable --now lb-daemon\n\
         What backends need: {}",
        daemon.display(),
        prefix.join("share/lb-daemon/sysctl").display()
    );
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_names_the_installed_program_everywhere() {
        let unit =
            "ExecStart=/usr/local/bin/lb-daemon run\nExecReload=/usr/local/bin/lb-daemon reload\n";
        let unit = unit_for(unit, Path::new("/opt/lb"));
        assert_eq!(
            unit,
            "ExecStart=/opt/lb/bin/lb-daemon run\nExecReload=/opt/lb/bin/lb-daemon reload\n"
        );
    }
}
