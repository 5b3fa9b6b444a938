//! The smallest XDP programs, through bpf(2): a return value and nothing else.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PROG_LOAD: u32 = 5;
const LINK_CREATE: u32 = 28;
const TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
const NATIVE: u32 = 1 << 2;

#[derive(Clone, Copy)]
pub enum Verdict {
    Pass = 2,
    Tx = 3,
}

/// Attached until dropped.
pub struct Program {
    _link: OwnedFd,
}

/// `union bpf_attr` for BPF_PROG_LOAD, as far as it is needed.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u64; 2],
    kernel_version: u32,
    flags: u32,
}

/// The same for BPF_LINK_CREATE.
#[repr(C)]
struct Create {
    program: i32,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

impl Program {
    /// Runs in the driver of `ifindex`, in the calling thread's namespace.
    pub fn attach(ifindex: u32, verdict: Verdict) -> Self {
        // r0 = verdict; exit
        let instructions = [0xb7 | (verdict as u64) << 32, 0x95];
        let load = Load {
            program_type: TYPE_XDP,
            instruction_count: 2,
            instructions: instructions.as_ptr() as u64,
            license: c"GPL".as_ptr() as u64,
            log: [0; 2],
            kernel_version: 0,
            flags: 0,
        };
        let program = bpf(PROG_LOAD, &load);
        let create = Create {
            program: program.as_raw_fd(),
            ifindex,
            attach_type: ATTACH_XDP,
            flags: NATIVE,
        };
        Self { _link: bpf(LINK_CREATE, &create) }
    }
}

fn bpf<T>(command: u32, attributes: &T) -> OwnedFd {
    // SAFETY: `attributes` is laid out as the kernel expects for the command,
    // and what it points to outlives the call.
    let result = unsafe {
        nix::libc::syscall(nix::libc::SYS_bpf, command, attributes, size_of::<T>() as u32)
    };
    assert!(result >= 0, "bpf({command}): {}", std::io::Error::last_os_error());
    // SAFETY: both commands return a new descriptor that nobody else owns.
    unsafe { OwnedFd::from_raw_fd(result as i32) }
}
