//! What the daemon tells and is told while it runs: the control socket.
//!
//! - [`types`]: the statistics object.
//! - [`protocol`]: requests and responses, one JSON line each.

pub mod protocol;
pub mod types;
