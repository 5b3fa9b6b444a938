//! The controller on a data plane in memory.

mod adoption;
mod changes;
mod drains;
mod failures;
mod model;
mod passive;
mod policies;
mod probe_ways;
mod removal;
mod translation;
mod world;
