//! The controller on a data plane in memory.

mod adoption;
mod changes;
mod drains;
mod failures;
mod probe_ways;
mod translation;
mod world;
