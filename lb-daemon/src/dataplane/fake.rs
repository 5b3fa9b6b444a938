//! A data plane in memory, for tests: what was written can be read back, and
//! time passes when it is told to.

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use lb_common::abi::{
    Backend, BackendCounters, FlowEntry, FlowKey, NatSettings, Pool, PortBucket, PortEntry,
    Service, Settings, Totals, VipBucket, VipEntry,
};

use super::{BatchCursor, DataPlane, Evidence, Place, Ticks};

#[derive(Clone, Debug)]
pub struct Fake {
    pub now: u64,
    pub ticks: Ticks,
    pub flow_capacity: u32,
    pub settings: Settings,
    pub nat_settings: NatSettings,
    pub pools: HashMap<u16, Pool>,
    pub services: BTreeMap<u16, Service>,
    pub backends: BTreeMap<u16, Backend>,
    pub vips: HashMap<Place, VipEntry>,
    pub ports: HashMap<Place, PortEntry>,
    pub totals: Totals,
    pub counters: HashMap<u16, BackendCounters>,
    pub evidence: HashMap<u16, Evidence>,
    pub networks: HashMap<u16, u64>,
    pub flows: HashMap<FlowKey, FlowEntry>,
    /// Every write, in order: what was written, and where.
    pub writes: Vec<Write>,
}

/// Where a write went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    Settings,
    Service(u16),
    Backend(u16),
    Vip(Place),
    Port(Place),
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            now: 1 << 32,
            ticks: Ticks::new(1000).expect("a rate that kernels have"),
            flow_capacity: 1 << 16,
            settings: Settings::default(),
            nat_settings: NatSettings::default(),
            pools: HashMap::new(),
            services: BTreeMap::new(),
            backends: BTreeMap::new(),
            vips: HashMap::new(),
            ports: HashMap::new(),
            totals: Totals {
                received: 0,
                forwarded: 0,
                passed: 0,
                looked_up: 0,
                stored: 0,
                store_failed: 0,
                answers: [0; 8],
                dropped: [0; _],
            },
            counters: HashMap::new(),
            evidence: HashMap::new(),
            networks: HashMap::new(),
            flows: HashMap::new(),
            writes: Vec::new(),
        }
    }
}

impl DataPlane for Fake {
    fn now(&mut self) -> io::Result<u64> {
        Ok(self.now)
    }

    fn ticks(&self) -> Ticks {
        self.ticks
    }

    fn settings(&self) -> Settings {
        self.settings
    }

    fn set_settings(&mut self, settings: &Settings) {
        self.writes.push(Write::Settings);
        self.settings = *settings;
    }

    fn nat_settings(&self) -> NatSettings {
        self.nat_settings
    }

    fn set_nat_settings(&mut self, settings: &NatSettings) {
        self.nat_settings = *settings;
    }

    fn pool(&self, index: u16) -> Pool {
        self.pools.get(&index).copied().unwrap_or_default()
    }

    fn set_pool(&mut self, index: u16, pool: &Pool) {
        self.pools.insert(index, *pool);
    }

    fn service(&self, id: u16) -> Service {
        self.services.get(&id).copied().unwrap_or_default()
    }

    fn set_service(&mut self, id: u16, service: &Service) {
        self.writes.push(Write::Service(id));
        self.services.insert(id, *service);
    }

    fn backend(&self, id: u16) -> Backend {
        self.backends.get(&id).copied().unwrap_or_default()
    }

    fn set_backend(&mut self, id: u16, backend: &Backend) {
        self.writes.push(Write::Backend(id));
        self.backends.insert(id, *backend);
    }

    fn set_backend_flags(&mut self, id: u16, flags: u32) {
        self.writes.push(Write::Backend(id));
        self.backends.entry(id).or_default().flags = flags;
    }

    fn vip_bucket(&self, index: u32) -> VipBucket {
        let entry = |way| self.vips.get(&Place { bucket: index, way }).copied().unwrap_or_default();
        VipBucket { entries: [entry(0), entry(1)] }
    }

    fn set_vip(&mut self, place: Place, entry: &VipEntry) {
        self.writes.push(Write::Vip(place));
        self.vips.insert(place, *entry);
    }

    fn port_bucket(&self, index: u32) -> PortBucket {
        let entry =
            |way| self.ports.get(&Place { bucket: index, way }).copied().unwrap_or_default();
        PortBucket { entries: [entry(0), entry(1), entry(2), entry(3)] }
    }

    fn set_port(&mut self, place: Place, entry: PortEntry) {
        self.writes.push(Write::Port(place));
        self.ports.insert(place, entry);
    }

    fn totals(&self) -> io::Result<Totals> {
        Ok(self.totals)
    }

    fn backend_counters(&self, id: u16) -> io::Result<BackendCounters> {
        Ok(self.counters.get(&id).copied().unwrap_or_default())
    }

    fn clear_backend_counters(&mut self, id: u16) -> io::Result<()> {
        self.counters.remove(&id);
        self.evidence.remove(&id);
        Ok(())
    }

    fn evidence(&self, id: u16) -> Evidence {
        self.evidence.get(&id).copied().unwrap_or_default()
    }

    fn take_networks(&mut self, id: u16) -> u64 {
        self.networks.remove(&id).unwrap_or(0)
    }

    fn flow_capacity(&self) -> u32 {
        self.flow_capacity
    }

    fn scan_flows(
        &self,
        _from: Option<BatchCursor>,
        into: &mut Vec<(FlowKey, FlowEntry)>,
    ) -> io::Result<Option<BatchCursor>> {
        into.extend(self.flows.iter().map(|(key, entry)| (*key, *entry)));
        Ok(None)
    }

    fn flow(&self, key: &FlowKey) -> io::Result<Option<FlowEntry>> {
        Ok(self.flows.get(key).copied())
    }

    fn delete_flow(&mut self, key: &FlowKey) -> io::Result<()> {
        self.flows.remove(key);
        Ok(())
    }

    fn take_flow(&mut self, key: &FlowKey) -> io::Result<Option<FlowEntry>> {
        Ok(self.flows.remove(key))
    }

    fn insert_flow(&mut self, key: &FlowKey, entry: &FlowEntry) -> io::Result<bool> {
        if self.flows.contains_key(key) || self.flows.len() >= self.flow_capacity as usize {
            return Ok(false);
        }
        self.flows.insert(*key, *entry);
        Ok(true)
    }
}
