//! The maps: the controller writes them, packets read them, both at any time.
//!
//! Between two writes of the daemon clients may send; before or after any of
//! them it may be killed ([`Killed`] unwinds it). What it wrote by then, and the
//! files that it wrote, are what the next one finds.

use std::{
    cell::{Cell, RefCell},
    io,
    panic::resume_unwind,
    rc::Rc,
};

use lb_common::{
    abi::{
        Backend, BackendCounters, FlowEntry, FlowKey, NatSettings, Pool, PortBucket, PortEntry,
        ProbeWay, SEE_WORD, Service, Settings, SlotStore, SlotWord, Totals, VipBucket, VipEntry,
    },
    datapath::Tables,
};
use lb_test_support::host::{Host, Maps};

use super::{mutants::Mutant, traffic::Traffic};
use crate::{
    dataplane::{BatchCursor, DataPlane, Evidence, Place, Ticks},
    slots::SlotMemory,
};

/// What a daemon that is killed unwinds with.
pub struct Killed;

/// Kills the daemon at one of its next writes.
#[derive(Clone, Copy)]
pub struct Fuse {
    pub writes_left: u64,
    /// The last write is done. Files that are written after it are not, those
    /// before are.
    pub done: bool,
}

pub struct Balancer {
    pub host: RefCell<Host>,
    pub traffic: RefCell<Traffic>,
    pub fuse: Cell<Option<Fuse>>,
    flow_capacity: u32,
    mutant: Option<Mutant>,
}

/// The balancer, as the controller and the engine have it.
#[derive(Clone)]
pub struct Shared(pub Rc<Balancer>);

impl Balancer {
    pub fn new(traffic: Traffic, flow_capacity: u32, mutant: Option<Mutant>) -> Self {
        let maps = Maps { flow_room: flow_capacity as usize, ..Maps::default() };
        Self {
            host: RefCell::new(Host::new(maps)),
            traffic: RefCell::new(traffic),
            fuse: Cell::new(None),
            flow_capacity,
            mutant,
        }
    }

    /// Clients may send while the daemon is in the middle of something.
    fn meanwhile(&self) {
        self.traffic.borrow_mut().meanwhile(&mut self.host.borrow_mut());
    }

    fn write(&self, what: impl FnOnce(&mut Maps)) {
        self.meanwhile();
        if let Some(Fuse { writes_left, done }) = self.fuse.get() {
            if writes_left == 0 {
                if done {
                    what(self.host.borrow_mut().maps_mut());
                }
                resume_unwind(Box::new(Killed));
            }
            self.fuse.set(Some(Fuse { writes_left: writes_left - 1, done }));
        }
        what(self.host.borrow_mut().maps_mut());
    }

    fn read<T>(&self, what: impl FnOnce(&Maps) -> T) -> T {
        what(self.host.borrow().maps())
    }
}

impl SlotMemory for Shared {
    fn load(&self, index: u32) -> SlotWord {
        self.0.host.borrow().slot(index).expect("any slot can be read")
    }

    fn store(&mut self, index: u32, word: SlotWord) {
        let shown = self.0.read(|maps| maps.owner(index));
        word.replace(shown, |store| match store {
            SlotStore::Word(word) => self.0.write(|maps| {
                maps.slots.insert(index, word);
            }),
            SlotStore::Owner(SEE_WORD) => self.0.write(|maps| {
                maps.changing.insert(index);
            }),
            SlotStore::Owner(_) => self.0.write(|maps| {
                maps.changing.remove(&index);
            }),
        });
    }

    fn last_failure(&self, index: u32) -> Option<u64> {
        self.0.host.borrow().insert_failed(index)
    }
}

impl DataPlane for Shared {
    fn now(&mut self) -> io::Result<u64> {
        Ok(self.0.traffic.borrow().truth.now)
    }

    fn ticks(&self) -> Ticks {
        Ticks::new(1000).expect("a rate that kernels have")
    }

    fn settings(&self) -> Settings {
        self.0.read(|maps| maps.settings)
    }

    fn set_settings(&mut self, settings: &Settings) {
        self.0.write(|maps| maps.settings = *settings);
    }

    fn nat_settings(&self) -> NatSettings {
        self.0.read(|maps| maps.nat_settings)
    }

    fn set_nat_settings(&mut self, settings: &NatSettings) {
        self.0.write(|maps| maps.nat_settings = *settings);
    }

    fn pool(&self, index: u16) -> Pool {
        self.0.read(|maps| maps.pools.get(&index.into()).copied().unwrap_or_default())
    }

    fn set_pool(&mut self, index: u16, pool: &Pool) {
        self.0.write(|maps| {
            maps.pools.insert(index.into(), *pool);
        });
    }

    fn service(&self, id: u16) -> Service {
        self.0.read(|maps| maps.services.get(&id).copied().unwrap_or_default())
    }

    fn set_service(&mut self, id: u16, service: &Service) {
        self.0.write(|maps| {
            maps.services.insert(id, *service);
        });
    }

    fn backend(&self, id: u16) -> Backend {
        self.0.read(|maps| maps.backends.get(&id).copied().unwrap_or_default())
    }

    fn set_backend(&mut self, id: u16, backend: &Backend) {
        self.0.write(|maps| {
            maps.backends.insert(id, *backend);
        });
    }

    fn set_backend_flags(&mut self, id: u16, flags: u32) {
        self.0.write(|maps| maps.backends.entry(id).or_default().flags = flags);
    }

    fn vip_bucket(&self, index: u32) -> VipBucket {
        self.0.read(|maps| maps.vips.get(&index).copied().unwrap_or_default())
    }

    fn set_vip(&mut self, place: Place, entry: &VipEntry) {
        self.0.write(|maps| {
            let bucket = maps.vips.entry(place.bucket).or_default();
            bucket.entries[place.way as usize] = *entry;
        });
    }

    fn port_bucket(&self, index: u32) -> PortBucket {
        self.0.read(|maps| maps.ports.get(&index).copied().unwrap_or_default())
    }

    fn set_port(&mut self, place: Place, entry: PortEntry) {
        self.0.write(|maps| {
            let bucket = maps.ports.entry(place.bucket).or_default();
            bucket.entries[place.way as usize] = entry;
        });
    }

    fn probe_way(&self, number: u16) -> ProbeWay {
        self.0.read(|maps| maps.probe_ways.get(&number).copied().unwrap_or_default())
    }

    fn set_probe_way(&mut self, number: u16, way: &ProbeWay) {
        self.0.write(|maps| {
            maps.probe_ways.insert(number, *way);
        });
    }

    fn totals(&self) -> io::Result<Totals> {
        Ok(self.0.host.borrow().totals())
    }

    fn backend_counters(&self, id: u16) -> io::Result<BackendCounters> {
        Ok(self.0.host.borrow().backend_counters(id))
    }

    fn clear_backend_counters(&mut self, _id: u16) -> io::Result<()> {
        Ok(())
    }

    /// Nobody here looks at what the traffic says.
    fn evidence(&self, _id: u16) -> Evidence {
        Evidence::default()
    }

    fn take_networks(&mut self, _id: u16) -> u64 {
        0
    }

    fn flow_capacity(&self) -> u32 {
        self.0.flow_capacity
    }

    fn scan_flows(
        &self,
        _from: Option<BatchCursor>,
        into: &mut Vec<(FlowKey, FlowEntry)>,
    ) -> io::Result<Option<BatchCursor>> {
        let host = self.0.host.borrow();
        let mut keys = host.flow_keys();
        // In an order that a repeated run has, too.
        keys.sort_by_key(|key| (key.destination, key.source_port, key.protocol));
        if self.0.mutant == Some(Mutant::BlindScan) {
            keys.retain(|key| key.source_port[1] % 2 == 0);
        }
        into.extend(keys.into_iter().filter_map(|key| Some((key, host.flow(&key)?))));
        Ok(None)
    }

    fn flow(&self, key: &FlowKey) -> io::Result<Option<FlowEntry>> {
        Ok(self.0.host.borrow().flow(key))
    }

    fn delete_flow(&mut self, key: &FlowKey) -> io::Result<()> {
        self.take_flow(key).map(|_| ())
    }

    fn take_flow(&mut self, key: &FlowKey) -> io::Result<Option<FlowEntry>> {
        self.0.meanwhile();
        Ok(self.0.host.borrow_mut().take_flow(key))
    }

    /// Nothing happens between the two: the kernel has no way to put an entry
    /// back that was never away, and the moment is a short one.
    fn insert_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> io::Result<bool> {
        Ok(self.0.host.borrow_mut().insert_flow(key, *entry))
    }
}
