//! The controller on a data plane in memory.

mod adoption;
mod changes;
mod drains;
mod failures;
mod policies;
mod translation;
mod world;
