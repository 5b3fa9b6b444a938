//! Getting the data path into the kernel, and finding it there again.
//!
//! Everything that must outlive the daemon is pinned below one directory per
//! instance: the maps under their names, the program as `program`, and one link
//! per interface as `link-IFINDEX`. Packets are forwarded by what is pinned,
//! not by the daemon: it may die at any time, and the next one opens the same
//! pins, loads its own program onto the same maps and swaps it into the links.
//!
//! - [`object`]: the eBPF object inside this binary.
//! - [`preflight`]: what the host must offer.
//! - [`layout`]: what the maps must look like.
//! - [`load`]: maps and program into the kernel, new or adopted.
//! - [`attach`]: the program onto interfaces; [`refusal`] says why one would not have it.
//! - [`egress`], [`sockets`]: the programs for this host itself, only while they are of use.
//! - [`probe`]: the programs that probes leave by and come back to.
//! - [`tables`]: tables of translated flows of another size.
//! - [`unload`]: everything out again.

mod attach;
mod attached;
mod egress;
mod layout;
mod load;
pub mod object;
mod pins;
mod preflight;
mod probe;
mod refusal;
mod sockets;
mod tables;
mod unload;

pub use attach::{AttachError, Attacher, Attachment, Mode, Request};
pub use attached::{Attached, attached};
pub use egress::{EgressError, attach_egress, detach_egress};
pub use layout::{Difference, MapSizes};
pub use load::{LoadError, Loaded, load};
pub use pins::PinDir;
pub use preflight::{PreflightError, preflight};
pub use probe::ProbePrograms;
pub use sockets::{SocketsError, attach_sockets, detach_sockets};
pub use tables::NewTables;
pub use unload::{UnloadError, Unloaded, unload};
