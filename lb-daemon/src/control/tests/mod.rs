//! The controller on a data plane in memory.

mod adoption;
mod changes;
mod drains;
mod failures;
mod model;
mod translation;
mod world;
