//! What the daemon writes into the maps, in plain memory. What is not here is
//! all zero.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use lb_common::abi::{
    Backend, FlowEntry, FlowKey, NatSettings, Pool, PortBucket, ProbeWay, SEE_WORD,
    SLOTS_PER_FAIL_STAMP, Service, Settings, SlotWord, VipBucket,
};

use crate::kernel::{FLOW_ENTRIES, Kernel};

#[derive(Clone, Debug)]
pub struct Maps {
    pub settings: Settings,
    pub vips: BTreeMap<u32, VipBucket>,
    pub ports: BTreeMap<u32, PortBucket>,
    pub services: BTreeMap<u16, Service>,
    pub backends: BTreeMap<u16, Backend>,
    pub slots: BTreeMap<u32, SlotWord>,
    /// Slots whose word must be seen although it is at rest, as in the middle
    /// of a change; the others show what their word says.
    pub changing: BTreeSet<u32>,
    pub flows: HashMap<FlowKey, FlowEntry>,
    pub insert_failed: BTreeMap<u32, u64>,
    pub nat_settings: NatSettings,
    pub pools: BTreeMap<u32, Pool>,
    pub probe_ways: BTreeMap<u16, ProbeWay>,
    /// Flows that the flow table has room for; the kernel's is filled up to
    /// there with flows of nobody.
    pub flow_room: usize,
}

impl Default for Maps {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            vips: BTreeMap::new(),
            ports: BTreeMap::new(),
            services: BTreeMap::new(),
            backends: BTreeMap::new(),
            slots: BTreeMap::new(),
            changing: BTreeSet::new(),
            flows: HashMap::new(),
            insert_failed: BTreeMap::new(),
            nat_settings: NatSettings::default(),
            pools: BTreeMap::new(),
            probe_ways: BTreeMap::new(),
            flow_room: FLOW_ENTRIES as usize,
        }
    }
}

impl Maps {
    pub fn owner(&self, slot: u32) -> u16 {
        let word = self.slots.get(&slot).map_or(0, |word| word.shown());
        if self.changing.contains(&slot) { SEE_WORD } else { word }
    }

    /// Makes the kernel's maps, which are as `before`, the same as these.
    pub fn replace(&self, before: &Self, kernel: &mut Kernel) {
        self.update(before, kernel);
        kernel.clear_flows();
        kernel.clear_fragments();
        for name in super::nat::TABLES {
            kernel.clear_nat_table(name);
        }
        for (key, entry) in &self.flows {
            kernel.set_flow(*key, *entry);
        }
        kernel.fill_flows(self.flow_room);
    }

    /// The same for all that the daemon writes: flows stay.
    pub fn update(&self, before: &Self, kernel: &mut Kernel) {
        kernel.set_settings(self.settings);
        kernel.set_nat_settings(self.nat_settings);
        for (index, pool) in changes(&before.pools, &self.pools) {
            kernel.set_pool(index, pool);
        }
        for (number, way) in changes(&before.probe_ways, &self.probe_ways) {
            kernel.set_probe_way(number, way);
        }
        for (index, bucket) in changes(&before.vips, &self.vips) {
            kernel.set_vip_bucket(index, bucket);
        }
        for (index, bucket) in changes(&before.ports, &self.ports) {
            kernel.set_port_bucket(index, bucket);
        }
        for (id, service) in changes(&before.services, &self.services) {
            kernel.set_service(id, service);
        }
        for (id, backend) in changes(&before.backends, &self.backends) {
            kernel.set_backend(id, backend);
        }
        let words = |maps: &Self| maps.slots.iter().map(|(i, w)| (*i, w.0)).collect();
        for (index, word) in changes(&words(before), &words(self)) {
            kernel.set_slot(index, word);
        }
        let owners = |maps: &Self| maps.slots.keys().map(|i| (*i, maps.owner(*i))).collect();
        for (slot, owner) in changes(&owners(before), &owners(self)) {
            kernel.set_owner(slot, owner);
        }
        let slots = before.slots.keys().chain(self.slots.keys());
        for group in slots.map(|slot| slot / SLOTS_PER_FAIL_STAMP).collect::<BTreeSet<_>>() {
            let at = self.insert_failed.get(&group).copied().unwrap_or(0);
            kernel.set_insert_failed(group, at);
        }
    }
}

/// What has to be written to make a map that is as `before` as `after`.
fn changes<K: Ord + Copy, V: Copy + Default + PartialEq>(
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> Vec<(K, V)> {
    let keys: BTreeSet<K> = before.keys().chain(after.keys()).copied().collect();
    keys.into_iter()
        .filter(|key| before.get(key) != after.get(key))
        .map(|key| (key, after.get(&key).copied().unwrap_or_default()))
        .collect()
}
