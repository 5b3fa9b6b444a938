//! Everything out of the kernel again. Needs no running daemon: it works on
//! what is pinned.

use std::{fs, io, os::fd::AsFd, path::PathBuf};

use super::{PinDir, detach_egress, detach_sockets};
use crate::sys;

#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}: {source}; run lb-daemon unload as root")]
pub struct UnloadError {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

/// What was there to remove.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unloaded {
    /// Indexes of the interfaces that the program was attached to.
    pub interfaces: Vec<u32>,
    /// Maps, programs and links together.
    pub pins: usize,
}

/// Detaches the program from all interfaces and removes every pin. Traffic for
/// the VIPs goes to the kernel from then on.
pub fn unload(pins: &PinDir) -> Result<Unloaded, UnloadError> {
    let failed = |what| move |source| UnloadError { path: pins.path().to_owned(), what, source };
    let interfaces = pins.linked_interfaces().map_err(failed("cannot be read"))?;
    let entries = pins.entries().map_err(failed("cannot be read"))?;
    remove_pins(pins)?;
    if pins.exists() {
        fs::remove_dir(pins.path()).map_err(failed("cannot be removed"))?;
        // Other instances' pins may be there.
        let _ = pins.path().parent().map(fs::remove_dir);
    }
    Ok(Unloaded { interfaces, pins: entries.len() })
}

/// Links first: a program without its maps never sees a packet.
pub(super) fn remove_pins(pins: &PinDir) -> Result<(), UnloadError> {
    let failed =
        |path: PathBuf, what| move |source| UnloadError { path: path.clone(), what, source };
    let whole = failed(pins.path().to_owned(), "cannot be read");
    for ifindex in pins.linked_interfaces().map_err(&whole)? {
        let path = pins.link(ifindex);
        let link = sys::open_pin(&path).map_err(failed(path.clone(), "cannot be opened"))?;
        // Somebody may still hold the link; detach whoever does.
        sys::link_detach(link.as_fd()).map_err(failed(path.clone(), "cannot be detached"))?;
        fs::remove_file(&path).map_err(failed(path.clone(), "cannot be removed"))?;
    }
    for ifindex in pins.egress_interfaces().map_err(&whole)? {
        detach_egress(pins, ifindex).map_err(failed(pins.egress(ifindex), "cannot be detached"))?;
    }
    detach_sockets(pins).map_err(failed(pins.path().to_owned(), "sockets cannot be let go of"))?;
    for name in pins.entries().map_err(&whole)? {
        let path = pins.path().join(name);
        fs::remove_file(&path).map_err(failed(path.clone(), "cannot be removed"))?;
    }
    Ok(())
}
