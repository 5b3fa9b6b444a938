//! Translated flows: the tables that hold them and the rules they live by.
//!
//! A flow is two lines, one for each direction, in [`table`]s that every CPU
//! changes without locks. [`lives`] has the states of a flow and how long each
//! lasts without a packet; [`flow`] opens, renews, promotes and ends the pair.
//!
//! What holds at any time:
//! - no two flows that live have the same reverse key, so that every answer
//!   reaches the client it is for;
//! - a line that is found has not expired, and its other line lives at least as
//!   long (the reverse one is written first and freed last);
//! - a flow that both ends have confirmed is never put out for another.

pub mod flow;
mod found;
pub mod lives;
mod shared;
#[cfg(not(target_arch = "bpf"))]
pub mod sweep;
pub mod table;

#[cfg(test)]
mod interleave;
#[cfg(test)]
mod tests;

pub use shared::Shared;
