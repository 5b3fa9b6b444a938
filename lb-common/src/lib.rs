//! What the XDP program and the daemon share.
//!
//! Everything here is pure: no allocation, no system call, no clock. The same
//! code runs in the kernel (compiled for BPF by `lb-ebpf`), in the daemon and
//! in host tests, so that a test without a kernel tests the real thing.
//!
//! - [`abi`]: the layout of every map.
//! - [`maglev`]: which backend owns which slot.
//! - [`transition`]: how a slot changes its owner without breaking a flow.
//! - [`datapath`]: the steps a packet takes, one file each.
#![cfg_attr(not(test), no_std)]
// Atomic exchange: the target has no atomic types.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics), allow(internal_features))]

pub mod abi;
pub mod budget;
pub mod checksum;
pub mod datapath;
pub mod hash;
pub mod lookup;
pub mod maglev;
pub mod nat;
pub mod reason;
pub mod transition;
