//! The one capability that is needed for one call at the start, and given up
//! right after it: `CAP_SYS_ADMIN`, to make a network namespace.

use std::io;

const SYS_ADMIN: u32 = 21;
/// What stands on its own feet without it: `CAP_NET_ADMIN`, `CAP_PERFMON`, `CAP_BPF`.
const OTHERS: [u32; 3] = [12, 38, 39];
/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// Effective, permitted, inheritable: the low halves, then the high ones.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Sets([[u32; 3]; 2]);

impl Sets {
    const fn permits(&self, capability: u32) -> bool {
        self.0[capability as usize / 32][1] & (1 << (capability % 32)) != 0
    }

    fn without(mut self, capability: u32) -> Self {
        for set in &mut self.0[capability as usize / 32] {
            *set &= !(1 << (capability % 32));
        }
        self
    }
}

/// Takes `CAP_SYS_ADMIN` from the calling thread, and so from all that it starts.
/// It stays where it stands in for others.
pub fn give_up_sys_admin() -> io::Result<()> {
    let header = Header { version: VERSION, pid: 0 };
    let mut sets = Sets::default();
    // SAFETY: the kernel reads the header and writes both halves of the sets.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const header, &raw mut sets) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    if !OTHERS.iter().all(|other| sets.permits(*other)) {
        return Ok(());
    }
    let sets = sets.without(SYS_ADMIN);
    // SAFETY: the kernel reads both.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const sets) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_is_taken_from_all_sets() {
        let all = Sets([[u32::MAX; 3], [u32::MAX; 3]]);
        let less = all.without(SYS_ADMIN);
        assert_eq!(less.0, [[!(1 << 21); 3], [u32::MAX; 3]]);
        assert!(!less.permits(SYS_ADMIN) && OTHERS.iter().all(|other| less.permits(*other)));
    }

    /// Where the thread has it, it is gone afterwards; others keep theirs.
    #[test]
    fn a_thread_gives_it_up_for_itself() {
        let effective = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let before = effective();
        let after = std::thread::spawn(move || {
            give_up_sys_admin().unwrap();
            effective()
        });
        let stands_alone = OTHERS.iter().all(|other| before & (1 << other) != 0);
        let expected = if stands_alone { before & !(1 << SYS_ADMIN) } else { before };
        assert_eq!(after.join().unwrap(), expected);
        assert_eq!(effective(), before);
    }
}
