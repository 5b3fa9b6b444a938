//! The tables under threads whose accesses interleave in every order that a
//! seed can think of, against hosts that know whom they talk to.

mod balancer;
mod crossings;
mod hosts;
mod memory;
mod model;
