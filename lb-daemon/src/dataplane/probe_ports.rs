//! The ports of probes, as the data path keeps them.

use std::sync::atomic::Ordering;

use lb_common::abi::{ProbePort, map_names};

use super::{OpenError, kernel::open_mapped, mmap::Mapped};
use crate::{health::path::PortMemory, loader::PinDir};

pub struct ProbePorts(Mapped<ProbePort>);

impl ProbePorts {
    pub fn open(pins: &PinDir) -> Result<Self, OpenError> {
        open_mapped(pins, map_names::PROBE_PORTS).map(Self)
    }
}

// SAFETY: the memory belongs to no thread, and only its words are used, by
// atomic stores.
unsafe impl Sync for ProbePorts {}

impl PortMemory for ProbePorts {
    fn forget(&self, index: u32) {
        self.0.words(index)[0].store(0, Ordering::Release);
    }
}
