//! The programs at the two ends of the prober's veth pair.
//!
//! Their links are not pinned: they go with the daemon, as does the pair.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use aya::Ebpf;

use super::{LoadError, Mode, load::load_program};
use crate::sys::{self, Hook};

/// Loaded, and not attached.
#[derive(Debug)]
pub struct ProbePrograms {
    /// On this host's end.
    outer: OwnedFd,
    /// On the namespace's.
    inner: OwnedFd,
}

impl ProbePrograms {
    pub fn load(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        let outer = load_program(ebpf, "lb_probe")?;
        Ok(Self { outer, inner: load_program(ebpf, "lb_pass")? })
    }

    /// Attaches to this host's end, for as long as the link is held.
    pub fn attach_outer(&self, ifindex: u32, mode: Mode) -> io::Result<OwnedFd> {
        sys::link_create(self.outer.as_fd(), ifindex, Hook::Xdp, mode.flags())
    }

    /// What attaches to the namespace's end when it is called in there.
    pub fn inner(&self) -> io::Result<impl FnOnce(u32) -> io::Result<OwnedFd> + Send + use<>> {
        let program = self.inner.try_clone()?;
        Ok(move |ifindex| {
            sys::link_create(program.as_fd(), ifindex, Hook::Xdp, Mode::Native.flags())
        })
    }
}
