//! Whether backends work: active probes and what they say.
//!
//! A [`Target`] is an address with a check and its parameters. Services that
//! ask for the same target share it: one host that serves 1,000 services is
//! probed once. The [`Prober`] runs the checks and reports changes of state.
//!
//! - [`state`]: from results to a state (pure).
//! - [`pace`]: when the next probe is due (pure).
//! - [`check`]: one probe and what its outcome means; a file for each type.
//! - [`latency`]: how long they take (pure).
//! - [`path`]: probes to the VIP, the way that clients' packets take.
//! - [`prober`]: runs all targets and sends a [`HealthEvent`] per change.

mod check;
mod latency;
mod limits;
mod pace;
pub mod path;
mod prober;
mod state;
mod target;

pub use latency::Latency;
pub use prober::{HealthEvent, Probed, Prober, Status};
pub use state::State;
pub use target::{PathTarget, Target};
