//! Whether backends work: active probes and what they say.
//!
//! A [`Target`] is an address with a check and its parameters. Services that
//! ask for the same target share it: one host that serves 1,000 services is
//! probed once. The [`Prober`] runs the checks and reports changes of state.
//!
//! - [`state`]: from results to a state (pure).
//! - [`pace`]: when the next probe is due (pure).
//! - [`probe`]: one probe and what its outcome means; [`tcp`] is how it connects.
//! - [`prober`]: runs all targets and sends a [`HealthEvent`] per change.

mod limits;
mod pace;
mod probe;
mod prober;
mod state;
mod target;
mod tcp;

pub use prober::{HealthEvent, Prober, Status};
pub use state::State;
pub use target::{Check, Target};
