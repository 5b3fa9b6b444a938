//! The operator's YAML file, from text to a validated [`Config`].
//!
//! ```text
//! text ─► yaml ─► raw ─► resolve ─► Config
//!         tree    typed  defaults     │
//!         with    keys   filled in    ├─ conflicts: what is wrong together
//!         places                      └─ advice: warnings
//! ```
//!
//! Every stage reports its problems and goes on, so that one run shows all of
//! them. [`load`] is what the daemon calls, [`check`] what the command line does.

mod advice;
mod check;
mod conflicts;
mod duration;
mod identity;
mod load;
mod model;
mod problem;
mod ranges;
mod raw;
mod report;
mod resolve;
mod show;
mod yaml;

#[cfg(test)]
mod tests;

pub use check::{CheckOutcome, check};
pub use identity::{BackendKey, Frontend, ServiceKey};
pub use load::{load, parse};
pub use model::{
    Backend, Config, Control, Health, Idle, InitialState, Interface, Limits, Mode, OnBackendDead,
    OnExit, OuterSource, Ports, Prefix, Protocol, Scheduler, Seed, Service, TcpHealth, Tunnel,
    UdpFlows, Unserved, XdpMode,
};
pub use problem::{Loaded, Position, Problem, Problems};
pub use ranges::default_table_size;
pub use show::effective_yaml;
