//! How many probes may be under way: one descriptor each.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Descriptors left to the rest of the daemon.
const RESERVED: u64 = 512;
/// More are of no use: a probe is short, and every target has at most one.
const MOST: u64 = 32_768;

/// Raises the limit of open files as far as this process may, and returns how
/// many probes fit below it.
pub fn concurrent_probes() -> usize {
    within(raise_open_files())
}

fn within(open_files: u64) -> usize {
    open_files.saturating_sub(RESERVED).clamp(open_files.min(64), MOST) as usize
}

fn raise_open_files() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 1024 };
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() { hard } else { soft }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_descriptors_to_the_rest_and_always_allows_some() {
        assert_eq!(within(1024), 512);
        assert_eq!(within(1 << 20), 32_768);
        assert_eq!(within(256), 64);
        assert_eq!(within(32), 32);
    }

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        concurrent_probes();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
    }
}
