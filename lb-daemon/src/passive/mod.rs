//! Trouble found from the traffic itself: which backends leave their clients
//! without an answer, whatever their probes say.
//!
//! ```text
//! counts, once a second ─► window ─► outlier ─► watch: in ─► out ─► on trial ─► in
//!                          (10 s)    (against        (bounded by the pool's share)
//!                                     its peers)
//! ```
//!
//! Pure: numbers and the time go in, findings come out. State belongs to a backend of
//! a service, not to what is probed: a host may serve one service and not another.
//!
//! - [`window`]: what the last seconds say of one backend.
//! - [`outlier`]: whether one does clearly worse than its peers.
//! - [`watch`]: out, on trial and back in, for one backend.
//! - [`pool`]: who of a service is taken out, and how many at most.

mod outlier;
mod pool;
mod watch;
mod window;

#[cfg(test)]
mod tests;

pub use pool::{Finding, Member, Watches};
pub use watch::{Ejection, Standing, TRIAL_WEIGHT};
pub use window::Counts;
