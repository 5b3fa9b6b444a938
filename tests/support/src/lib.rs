//! What the tests share.

pub mod bench;
pub mod host;
pub mod kernel;
pub mod packet;
pub mod random;
pub mod world;
pub mod world_nat;
pub mod world_probe;
