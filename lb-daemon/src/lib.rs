//! The daemon.
pub mod netlink;
