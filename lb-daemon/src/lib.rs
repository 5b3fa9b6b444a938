//! The daemon.

pub mod slots;
