//! What the tests share.

pub mod kernel;
