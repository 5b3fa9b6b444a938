//! What the host must offer, looked at before anything is changed, so that
//! what is missing is named rather than met as an errno.

use std::{fs, path::PathBuf};

use nix::sys::{
    statfs::{FsType, statfs},
    utsname::uname,
};

use super::PinDir;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightError {
    #[error(
        "not permitted to load programs into the kernel: {missing} missing; run lb-daemon as \
         root, or with its systemd unit, which grants what it needs"
    )]
    NotPermitted { missing: String },
    #[error(
        "kernel {release} is too old: lb-daemon needs {}.{} or later; install a newer kernel \
         (Debian 12 has 6.1)", MIN_KERNEL.0, MIN_KERNEL.1
    )]
    KernelTooOld { release: String },
    #[error(
        "{path} is not a BPF file system; mount one with `mount -t bpf bpf {path}`. Inside `ip \
         netns exec` /sys is a fresh one without it: use `nsenter --net=/run/netns/NAME` instead"
    )]
    NoBpfFs { path: PathBuf },
}

/// Hash maps have had lookup-and-delete since 5.14, per-CPU arrays batches
/// since 5.13; 5.15 is the first long-term kernel with both.
const MIN_KERNEL: (u32, u32) = (5, 15);

const BPF_FS_MAGIC: FsType = FsType(0xcafe_4a11);

pub fn preflight() -> Result<(), PreflightError> {
    check_capabilities(&fs::read_to_string("/proc/self/status").unwrap_or_default())?;
    let release = uname().map_or_else(|_| String::new(), |u| u.release().to_string_lossy().into());
    check_kernel(&release)?;
    check_bpffs(PinDir::BPFFS.into())
}

/// Name and number of each capability that is needed; `CAP_SYS_ADMIN` stands in
/// for all but the second.
const NEEDED: [(&str, u32); 3] = [("CAP_BPF", 39), ("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38)];
const CAP_SYS_ADMIN: u32 = 21;

fn check_capabilities(status: &str) -> Result<(), PreflightError> {
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0);
    let has = |bit: u32| effective & (1 << bit) != 0;
    let missing: Vec<_> = NEEDED
        .iter()
        .filter(|(name, bit)| !has(*bit) && (*name == "CAP_NET_ADMIN" || !has(CAP_SYS_ADMIN)))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let verb = if missing.len() == 1 { "is" } else { "are" };
    Err(PreflightError::NotPermitted { missing: format!("{} {verb}", missing.join(", ")) })
}

/// A release that is not understood passes: the load itself will tell.
fn check_kernel(release: &str) -> Result<(), PreflightError> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < MIN_KERNEL => {
            Err(PreflightError::KernelTooOld { release: release.to_owned() })
        }
        _ => Ok(()),
    }
}

fn check_bpffs(path: PathBuf) -> Result<(), PreflightError> {
    match statfs(&path) {
        Ok(stat) if stat.filesystem_type() == BPF_FS_MAGIC => Ok(()),
        _ => Err(PreflightError::NoBpfFs { path }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_exactly_the_capabilities_that_are_missing() {
        assert_eq!(check_capabilities("Name:\tx\nCapEff:\t000001ffffffffff\n"), Ok(()));
        let net_admin_and_sys_admin = format!("CapEff:\t{:016x}\n", 1_u64 << 12 | 1 << 21);
        assert_eq!(check_capabilities(&net_admin_and_sys_admin), Ok(()));
        let bpf_only = format!("CapEff:\t{:016x}\n", 1_u64 << 39);
        let error = check_capabilities(&bpf_only).unwrap_err().to_string();
        assert!(error.contains("CAP_NET_ADMIN, CAP_PERFMON are missing"), "{error}");
        assert!(error.contains("as root"), "{error}");
    }

    #[test]
    fn compares_the_kernel_by_number() {
        for good in ["5.15.0-1-amd64", "6.1.0-28-amd64", "10.0.1", "unheard-of"] {
            assert_eq!(check_kernel(good), Ok(()), "{good}");
        }
        for bad in ["5.10.0-33-amd64", "4.19.0", "5.9"] {
            assert!(check_kernel(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_file_system_is_told_from_bpffs() {
        let error = check_bpffs("/proc".into()).unwrap_err().to_string();
        assert!(error.contains("mount -t bpf bpf /proc"), "{error}");
    }
}
