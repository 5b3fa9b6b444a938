//! Next hops, interfaces and addresses as the daemon sees them, on real
//! interfaces in namespaces of each test's own:
//!
//! ```text
//!   lb                      far
//!   a0 10.9.0.1/24 ──────── a1 10.9.0.2, 10.9.0.3
//!   b0 10.9.1.1/24 ──────── b1 10.9.1.2
//! ```

mod hops;
mod hosts;
mod interfaces;
mod program;
