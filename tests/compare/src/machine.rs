//! What the figures were taken on: kernel, CPU, and the versions of the programs.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::utsname::uname;

pub struct Machine {
    pub kernel: String,
    pub cpu: String,
    pub cpus: usize,
    /// Each program's own words.
    pub programs: Vec<(&'static str, String)>,
}

impl Machine {
    pub fn look(cpus: usize, daemon: &std::path::Path) -> Result<Self> {
        let names = uname().context("cannot tell the kernel")?;
        let words = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        Ok(Self {
            kernel: format!("{} {}", names.release().display(), names.machine().display()),
            cpu: model(&words).unwrap_or("unknown").to_owned(),
            cpus,
            programs: vec![
                ("lb-daemon", version(Command::new(daemon).arg("--version"))?),
                ("nginx", version(Command::new("nginx").arg("-v"))?),
                ("haproxy", version(Command::new("haproxy").arg("-v"))?),
                ("nft", version(Command::new("nft").arg("--version"))?),
            ],
        })
    }
}

fn model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

/// The first line that a program says of its version, wherever it says it.
fn version(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| {
        format!(
            "cannot start {}: `cargo xtask setup compare` installs what is compared",
            command.get_program().display()
        )
    })?;
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().next().unwrap_or("unknown").trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_tells_its_model() {
        let text = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) @ 2.90GHz\n";
        assert_eq!(model(text), Some("Intel(R) Xeon(R) @ 2.90GHz"));
        assert_eq!(model("processor: 0\n"), None);
    }
}
