//! What the daemon tells and is told while it runs: the control socket.
//!
//! - [`types`]: the statistics object; [`protocol`]: requests and responses.
//! - [`RuntimeDir`]: where an instance's socket and lock are.
//! - [`InstanceLock`]: one daemon per instance.
//! - [`Server`] answers through a [`Handler`]; [`client`] asks.

pub mod client;
mod denials;
mod instance;
mod lock;
pub mod protocol;
mod runtime_dir;
mod server;
pub mod types;

#[cfg(test)]
mod documentation;

pub use instance::Instance;
pub use lock::{InstanceLock, LockError};
pub use runtime_dir::RuntimeDir;
pub use server::{Handler, Server, SocketAccess};
