//! Whole scans of the flow table, a few thousand entries at a time.

use std::{collections::HashMap, net::IpAddr};

use lb_common::{
    abi::{FlowEntry, FlowKey, PortEntry, VipEntry},
    hash::{FlowHash, FlowWords},
    transition::Pressure,
};

use super::{ControlError, Controller};
use crate::{
    config::Protocol,
    dataplane::{BatchCursor, DataPlane, address_of, words_of},
    slots::{Place, Scan, SlotMemory},
    state::ServiceIdentity,
};

/// A scan under way.
#[derive(Debug)]
pub struct FlowScan {
    scan: Scan,
    next: Option<BatchCursor>,
    found: u64,
    /// Of backends that are drained.
    owned: HashMap<u16, u64>,
}

/// What a whole scan found of backends that are drained.
#[derive(Debug)]
pub(super) struct Passed {
    /// When it began, in ticks.
    pub began: u64,
    /// Stored flows by their owner.
    pub owned: HashMap<u16, u64>,
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Whether there is anything a scan could find or clear.
    pub fn needs_scan(&self) -> bool {
        let in_transition = |service: &ServiceIdentity| {
            let counts = self.engine.in_transition(service.id);
            counts.arming + counts.storing + counts.looking > 0
        };
        self.flow_entries > 0
            || !self.retired.is_empty()
            || self.has_drains()
            || self.identity.services.values().any(in_transition)
    }

    pub fn begin_scan(&mut self) -> Result<FlowScan, ControlError> {
        let now = self.plane.now()?;
        let capacity = u64::from(self.plane.flow_capacity());
        let pressure = Pressure::of(self.flow_entries, capacity);
        Ok(FlowScan {
            scan: self.engine.begin_scan(pressure, now),
            next: None,
            found: 0,
            owned: HashMap::new(),
        })
    }

    /// Goes on with a scan; returns it until it is complete.
    pub fn scan(&mut self, mut scan: FlowScan) -> Result<Option<FlowScan>, ControlError> {
        let mut entries = Vec::new();
        let next = self.plane.scan_flows(scan.next, &mut entries)?;
        scan.found += entries.len() as u64;
        let now = self.plane.now()?;
        let services: HashMap<u16, ServiceIdentity> =
            self.identity.services.values().map(|one| (one.entry, one.clone())).collect();
        for (key, entry) in entries {
            let place = self.place(&key, &services);
            let is_udp = key.protocol == Protocol::Udp.number();
            if self.engine.judge(&scan.scan, place, is_udp, entry, now) {
                self.delete_if_same(&key, &entry)?;
                scan.found -= 1;
            } else if self.drains.contains_key(&entry.owner.backend()) {
                *scan.owned.entry(entry.owner.backend()).or_default() += 1;
            }
        }
        if next.is_some() {
            scan.next = next;
            return Ok(Some(scan));
        }
        let now = self.plane.now()?;
        let passed = Passed { began: scan.scan.began(), owned: scan.owned };
        self.engine.finish_scan(scan.scan, now);
        self.note_drains(&passed, now);
        self.flow_entries = scan.found;
        self.note_fullness();
        self.release_ids()?;
        Ok(None)
    }

    /// The table is for transitions: a full one breaks no flow and moves none.
    fn note_fullness(&mut self) {
        let capacity = u64::from(self.plane.flow_capacity());
        let what = (Pressure::of(self.flow_entries, capacity) != Pressure::Low).then(|| {
            "more than three quarters full: changes of backends take longer, and half-open \
             connections are forgotten sooner; raise limits.flow_entries"
                .to_owned()
        });
        self.trouble("flow table", what);
    }

    /// A packet may have made another entry of it since it was judged.
    fn delete_if_same(&mut self, key: &FlowKey, judged: &FlowEntry) -> Result<(), ControlError> {
        if let Some(taken) = self.plane.take_flow(key)?
            && taken != *judged
        {
            // If the flow has a new entry by now, that one holds.
            self.plane.insert_flow(key, &taken)?;
        }
        Ok(())
    }

    /// Where a flow belongs, found as the data path finds it.
    fn place(&self, key: &FlowKey, services: &HashMap<u16, ServiceIdentity>) -> Option<Place> {
        let words = FlowWords::from(key);
        let vip: IpAddr = address_of(words.destination);
        debug_assert_eq!(words_of(vip), words.destination);
        let vip = VipEntry::id_of(self.vips.get(vip)?);
        let port = u16::from_be_bytes(key.destination_port);
        let lookup = |port| self.ports.get(PortEntry::new(vip, key.protocol, port, 0).key());
        let entry = lookup(port).or_else(|| lookup(0))?;
        let service = services.get(&entry.service())?;
        let slot =
            |table: &crate::state::StoredTable| FlowHash::of(&words, table.key).slot(table.count);
        Some(Place {
            service_id: service.id,
            slot: service.table.as_ref().map(slot)?,
            old_slot: service.old_table.as_ref().map(slot),
        })
    }
}
