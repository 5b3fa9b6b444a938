//! The daemon: loads the XDP program, watches the backends and keeps the maps right.

pub mod api;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod dataplane;
pub mod discovery;
pub mod events;
pub mod health;
pub mod loader;
pub mod nat;
pub mod netlink;
pub mod passive;
pub mod slots;
pub mod state;
mod sys;
