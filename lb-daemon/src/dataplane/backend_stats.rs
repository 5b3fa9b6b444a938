//! What the data path counts for each backend. Thousands of system calls where
//! there are thousands of backends, so it can be read beside the control loop.

use std::io;

use aya::{
    maps::{MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use lb_common::abi::{BackendCounters, map_names};

use super::kernel::{OpenError, open_per_cpu, sum};
use crate::loader::PinDir;

pub struct BackendStats(PerCpuArray<MapData, [u64; 6]>);

impl BackendStats {
    pub fn open(pins: &PinDir) -> Result<Self, OpenError> {
        open_per_cpu(pins, map_names::BACKEND_STATS).map(Self)
    }

    /// Summed over all CPUs.
    pub fn read(&self, id: u16) -> io::Result<BackendCounters> {
        let [packets, bytes, new_connections, unresolved, reply_packets, reply_bytes] =
            sum(&self.0, id.into())?;
        Ok(BackendCounters {
            packets,
            bytes,
            new_connections,
            unresolved,
            reply_packets,
            reply_bytes,
        })
    }

    pub fn clear(&mut self, id: u16) -> io::Result<()> {
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        let zeros = PerCpuValues::try_from(vec![[0; 6]; cpus])?;
        self.0.set(id.into(), zeros, 0).map_err(io::Error::other)
    }
}
