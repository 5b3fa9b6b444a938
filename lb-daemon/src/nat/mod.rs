//! Translated flows, as the daemon sees them.
//!
//! ```text
//! tables (mapped) ─► sweeper (a thread) ─► census ─► control loop
//!        │                 └─► log file
//!        └─► list ─► `lb-daemon flows`
//! ```
//!
//! The data path opens, translates and ends flows alone; expiry does not need
//! the daemon either. What the daemon adds is tidiness and a look: the
//! [`sweeper`] frees lines that have expired and counts what lives, by which the
//! control loop knows what may go ([`Census`]); [`list`] shows flows, and the
//! [`log`] keeps them. None of them
//! runs in the control loop, and none waits for it: names are in the
//! [`Directory`] that it leaves in the [`Registry`].

mod census;
mod directory;
mod events;
mod flow;
mod list;
mod log;
mod record;
mod registry;
mod sink;
mod sweeper;
mod tables;

#[cfg(test)]
mod tests;

pub use census::{Census, STATES};
pub use directory::{BackendName, Directory, ServiceName};
pub use events::Events;
pub use flow::{Ends, FlowReport};
pub use list::{FilterError, LARGEST_PAGE, Page, Query};
pub use log::Logger;
pub use registry::Registry;
pub use sweeper::{Ended, Pass, start};
pub use tables::{Buckets, Mapping, NatTables};
