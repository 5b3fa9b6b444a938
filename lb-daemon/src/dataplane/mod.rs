//! The edge between what the daemon decides and what the data path reads.
//!
//! [`DataPlane`] is all the control loop knows of the maps. [`Kernel`] is the
//! real one, [`Fake`] one in memory for tests. [`VipTable`] and [`PortTable`]
//! place entries where the data path looks for them.

mod backend_stats;
mod clock;
mod evidence;
mod fake;
mod kernel;
mod kernel_slots;
mod mmap;
mod place;
mod port_table;
mod ticks;
mod vip_table;

#[cfg(test)]
mod table_tests;

use std::io;

use lb_common::abi::{
    Backend, BackendCounters, FlowEntry, FlowKey, NatSettings, Pool, PortBucket, PortEntry,
    Service, Settings, Totals, VipBucket, VipEntry,
};

pub use crate::sys::BatchCursor;
pub use backend_stats::BackendStats;
pub use clock::{Clock, ClockError};
pub use evidence::Evidence;
pub use fake::{Fake, Write};
pub use kernel::{Kernel, OpenError, open_map};
pub use kernel_slots::KernelSlots;
pub use place::{NoRoom, Place};
pub use port_table::PortTable;
pub use ticks::Ticks;
pub use vip_table::{VipTable, address_of, words_of};

/// The maps, and the clock their times are in. (The slots are apart:
/// [`SlotMemory`](crate::slots::SlotMemory).)
///
/// What is memory-mapped can be read and written without fail; the rest are
/// system calls. Indexes beyond a map's end are bugs and panic.
pub trait DataPlane {
    /// The data path's clock, in ticks; never goes back.
    fn now(&mut self) -> io::Result<u64>;
    fn ticks(&self) -> Ticks;

    fn settings(&self) -> Settings;
    fn set_settings(&mut self, settings: &Settings);

    fn nat_settings(&self) -> NatSettings;
    fn set_nat_settings(&mut self, settings: &NatSettings);
    fn pool(&self, index: u16) -> Pool;
    fn set_pool(&mut self, index: u16, pool: &Pool);

    fn service(&self, id: u16) -> Service;
    /// Fields are stored one word at a time: a table that packets use must not
    /// change in place.
    fn set_service(&mut self, id: u16, service: &Service);
    fn backend(&self, id: u16) -> Backend;
    /// No packet sees half of a next hop: while it changes, it is unresolved.
    fn set_backend(&mut self, id: u16, backend: &Backend);
    /// One store.
    fn set_backend_flags(&mut self, id: u16, flags: u32);

    fn vip_bucket(&self, index: u32) -> VipBucket;
    /// The address first, `meta` last.
    fn set_vip(&mut self, place: Place, entry: &VipEntry);
    fn port_bucket(&self, index: u32) -> PortBucket;
    fn set_port(&mut self, place: Place, entry: PortEntry);

    /// Summed over all CPUs, as is the next.
    fn totals(&self) -> io::Result<Totals>;
    fn backend_counters(&self, id: u16) -> io::Result<BackendCounters>;
    /// And what the traffic says of it.
    fn clear_backend_counters(&mut self, id: u16) -> io::Result<()>;
    /// What the traffic says of a backend: counts, and client networks since they
    /// were last taken away.
    fn evidence(&self, id: u16) -> Evidence;
    fn take_networks(&mut self, id: u16) -> u64;

    fn flow_capacity(&self) -> u32;
    /// Appends the next few thousand flow entries to `into`; goes on where
    /// `from` says and returns where to go on, `None` at the end. Entries that
    /// are there all the time are seen; others may be, or twice.
    fn scan_flows(
        &self,
        from: Option<BatchCursor>,
        into: &mut Vec<(FlowKey, FlowEntry)>,
    ) -> io::Result<Option<BatchCursor>>;
    fn flow(&self, key: &FlowKey) -> io::Result<Option<FlowEntry>>;
    fn delete_flow(&mut self, key: &FlowKey) -> io::Result<()>;
    /// Removes an entry and returns what it was, in one step.
    fn take_flow(&mut self, key: &FlowKey) -> io::Result<Option<FlowEntry>>;
    /// Puts an entry in, unless the flow has one; returns whether it did.
    fn insert_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> io::Result<bool>;
}
