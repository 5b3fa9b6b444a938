//! The daemon.

pub mod dataplane;
pub mod loader;

mod sys;
