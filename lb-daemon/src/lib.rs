//! The daemon.

pub mod loader;
