//! Getting the data path into the kernel.

pub mod object;
