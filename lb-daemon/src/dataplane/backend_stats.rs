//! What the data path counts for each backend. Thousands of system calls where
//! there are thousands of backends, so it can be read beside the control loop.

use std::io;

use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::abi::{BACKEND_COUNTERS_LEN, BackendCounters, map_names};

use super::kernel::{OpenError, open_per_cpu, sum};
use crate::loader::PinDir;

pub struct BackendStats(PerCpuArray<MapData, [u64; BACKEND_COUNTERS_LEN]>);

impl BackendStats {
    pub fn open(pins: &PinDir) -> Result<Self, OpenError> {
        open_per_cpu(pins, map_names::BACKEND_STATS).map(Self)
    }

    /// Summed over all CPUs.
    pub fn read(&self, id: u16) -> io::Result<BackendCounters> {
        Ok(BackendCounters::of_words(sum(&self.0, id.into())?))
    }

    pub fn clear(&mut self, id: u16) -> io::Result<()> {
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        let zeros = PerCpuValues::try_from(vec![[0; BACKEND_COUNTERS_LEN]; cpus])?;
        self.0.set(id.into(), zeros, 0).map_err(io::Error::other)
    }
}
