//! What the daemon learns from the kernel about the network around it: which
//! interfaces and addresses the host has, and where frames for each backend go.
//!
//! [`Monitor`] is the running part: a thread that follows the kernel's events
//! and publishes [`Links`], [`LocalAddresses`] and [`NextHops`]. What it knows
//! and decides is the pure state machine in `resolver`, which is tested on
//! made-up events. [`xdp_features`] and [`ethtool`] ask a driver what it can
//! do and what it counted; [`preflight`] turns that into findings an operator
//! can act on.

mod address;
pub mod ethtool;
mod event;
mod kernel;
mod link;
mod link_change;
mod losses;
mod mac;
mod monitor;
mod neighbour;
mod next_hop;
mod peer;
pub mod preflight;
pub(crate) mod request_error;
mod resolver;
mod route;
pub(crate) mod socket;
mod survey;
pub mod veth;
mod wanted;
mod worker;
pub mod xdp_features;

pub use address::LocalAddresses;
pub use link::{Elsewhere, Link, LinkStatistics, Links, Operation, XdpAttachment, XdpMode};
pub use link_change::LinkChange;
pub use losses::xdp_losses;
pub use mac::MacAddress;
pub use monitor::{Monitor, MonitorError};
pub use next_hop::{Neighbour, NextHop, NextHopError, NextHops};
pub use survey::{Survey, Way, seen_on};
