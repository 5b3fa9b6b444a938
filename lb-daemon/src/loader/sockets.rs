//! Programs on the sockets of this host's own clients: `connect` and its like
//! with a VIP as their target get a backend.
//!
//! They hang on the root of the control groups, where every process is, and act
//! only on sockets of the daemon's network namespace.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::PathBuf,
};

use aya::{Ebpf, programs::CgroupSockAddr};

use super::{LoadError, PinDir, load::explain};
use crate::sys::{self, Hook};

#[derive(Debug, thiserror::Error)]
pub enum SocketsError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "local_clients: {what}: {source}; this host's own connections to VIPs go where they say"
    )]
    Attach { what: String, source: io::Error },
}

/// What answers and names is attached before what changes targets.
const PROGRAMS: [(&str, Hook); 8] = [
    ("lb_recvmsg4", Hook::ReceiveMsg4),
    ("lb_recvmsg6", Hook::ReceiveMsg6),
    ("lb_peername4", Hook::PeerName4),
    ("lb_peername6", Hook::PeerName6),
    ("lb_sendmsg4", Hook::SendMsg4),
    ("lb_sendmsg6", Hook::SendMsg6),
    ("lb_connect4", Hook::Connect4),
    ("lb_connect6", Hook::Connect6),
];

/// Attaches the programs, or swaps them for those of an earlier daemon.
pub fn attach_sockets(ebpf: &mut Ebpf, pins: &PinDir) -> Result<(), SocketsError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| SocketsError::Attach { what, source }
    };
    let path = root().map_err(failed("/proc/self/mounts"))?;
    let root = File::open(&path).map_err(failed(&path.display().to_string()))?;
    for (name, hook) in PROGRAMS {
        let program = load(ebpf, name)?;
        attach(&program, &root, hook, &pins.sockets(name)).map_err(failed(name))?;
    }
    Ok(())
}

/// Where the control groups are mounted.
fn root() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    root_in(&mounts).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            "no cgroup2 file system is mounted; run: mount -t cgroup2 none /sys/fs/cgroup",
        )
    })
}

fn root_in(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(place))
    })
}

fn load(ebpf: &mut Ebpf, name: &'static str) -> Result<OwnedFd, LoadError> {
    let program = ebpf.program_mut(name).ok_or(LoadError::NoProgram(name))?;
    let program: &mut CgroupSockAddr =
        program.try_into().map_err(|_| LoadError::NoProgram(name))?;
    let wrap = |source| explain(name, source);
    if program.fd().is_err() {
        program.load().map_err(wrap)?;
    }
    let fd = program.fd().map_err(wrap)?.as_fd().try_clone_to_owned();
    fd.map_err(|source| LoadError::Pin { path: name.into(), source })
}

fn attach(program: &OwnedFd, root: &File, hook: Hook, pin: &std::path::Path) -> io::Result<()> {
    match sys::open_pin(pin) {
        Ok(link) => return sys::link_update(link.as_fd(), program.as_fd()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let link = sys::link_create(program.as_fd(), root.as_raw_fd() as u32, hook, 0)?;
    sys::pin(link.as_fd(), pin)
}

/// Detaches all of them. Sockets that talk to a backend go on doing so.
pub fn detach_sockets(pins: &PinDir) -> io::Result<()> {
    let mut links = pins.socket_links()?;
    // What changes targets goes first.
    links.sort_by_key(|path| {
        let name = path.to_string_lossy();
        !(name.contains("connect") || name.contains("sendmsg"))
    });
    for path in links {
        sys::link_detach(sys::open_pin(&path)?.as_fd())?;
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_version_is_found_beside_the_first() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(root_in(mounts), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(root_in("proc /proc proc rw 0 0\n"), None);
    }
}
