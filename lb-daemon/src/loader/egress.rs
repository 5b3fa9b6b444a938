//! The program on the way out of an interface: answers of backends on this host
//! leave through the kernel, and get their VIP back there.
//!
//! Attached by a link where the kernel has one for this (6.6 on), which is
//! pinned like those of XDP. Before that it is a filter of the `clsact` queueing
//! discipline: the kernel keeps it without us, and the pinned program is the
//! mark by which it is found again.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
};

use aya::{
    Ebpf,
    programs::{
        Link, SchedClassifier, TcAttachType,
        tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcHandle, qdisc_add_clsact},
    },
};
use nix::net::if_::if_indextoname;

use super::{LoadError, PinDir, load::explain};
use crate::sys::{self, Hook};

#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(
        "{interface}: the program for answers of backends on this host cannot be attached on the \
         way out: {source}; clients get no answers from them"
    )]
    Attach { interface: String, source: io::Error },
}

const PROGRAM: &str = "lb_egress";
/// Where the filter stands among others; low numbers see a packet first.
const PRIORITY: u16 = 1;
const HANDLE: TcHandle = TcHandle::new(0, 0x1b);

/// Attaches the program to the interface, or swaps it for the one that an
/// earlier daemon attached.
pub fn attach_egress(
    ebpf: &mut Ebpf,
    pins: &PinDir,
    interface: &str,
    ifindex: u32,
) -> Result<(), EgressError> {
    let program = load(ebpf)?;
    let failed = |source| EgressError::Attach { interface: interface.to_owned(), source };
    let fd = descriptor(program)?;
    if swap(pins, &fd, ifindex).map_err(failed)? {
        return Ok(());
    }
    match sys::link_create(fd.as_fd(), ifindex, Hook::Egress, 0) {
        Ok(link) => sys::pin(link.as_fd(), &pins.egress(ifindex)).map_err(failed),
        // The kernel has no such links.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            filter(program, interface).map_err(failed)?;
            let mark = pins.egress_filter(ifindex);
            remove_file(&mark).and_then(|()| sys::pin(fd.as_fd(), &mark)).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn load(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, LoadError> {
    let program = ebpf.program_mut(PROGRAM).ok_or(LoadError::NoProgram(PROGRAM))?;
    let program: &mut SchedClassifier =
        program.try_into().map_err(|_| LoadError::NoProgram(PROGRAM))?;
    if program.fd().is_err() {
        program.load().map_err(|source| explain(PROGRAM, source))?;
    }
    Ok(program)
}

fn descriptor(program: &SchedClassifier) -> Result<OwnedFd, LoadError> {
    let fd = program.fd().map_err(|source| explain(PROGRAM, source))?.as_fd().try_clone_to_owned();
    fd.map_err(|source| LoadError::Pin { path: PROGRAM.into(), source })
}

/// Puts the program into the link that is pinned, if there is one that holds.
fn swap(pins: &PinDir, program: &OwnedFd, ifindex: u32) -> io::Result<bool> {
    let path = pins.egress(ifindex);
    let link = match sys::open_pin(&path) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if sys::link_info(link.as_fd())?.ifindex == ifindex {
        sys::link_update(link.as_fd(), program.as_fd())?;
        return Ok(true);
    }
    fs::remove_file(path)?;
    Ok(false)
}

/// Adds the filter, or puts the program into the one that is there.
fn filter(program: &mut SchedClassifier, interface: &str) -> io::Result<()> {
    // That it is there already is an error, too; what else is wrong shows next.
    let _ = qdisc_add_clsact(interface);
    let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
    let options = TcAttachOptions::Netlink(options);
    let added = program.attach_with_options(interface, TcAttachType::Egress, options);
    let link = match added {
        Ok(link) => link,
        Err(_) => {
            let present = present(interface)?;
            program.attach_to_link(present).map_err(io::Error::other)?
        }
    };
    let link = program.take_link(link).map_err(io::Error::other)?;
    // Dropped, it would take the filter away.
    std::mem::forget(link);
    Ok(())
}

fn present(interface: &str) -> io::Result<SchedClassifierLink> {
    SchedClassifierLink::attached(interface, TcAttachType::Egress, PRIORITY, HANDLE, None)
}

/// Detaches the program from an interface, which may be gone, and removes what
/// is pinned of that.
pub fn detach_egress(pins: &PinDir, ifindex: u32) -> io::Result<()> {
    let path = pins.egress(ifindex);
    match sys::open_pin(&path) {
        Ok(link) => sys::link_detach(link.as_fd())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    remove_file(&path)?;
    let mark = pins.egress_filter(ifindex);
    if mark.exists()
        && let Ok(name) = if_indextoname(ifindex)
    {
        // It may have gone with the queueing discipline.
        let _ = present(&name.to_string_lossy())?.detach();
    }
    remove_file(&mark)
}

fn remove_file(path: &std::path::Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
