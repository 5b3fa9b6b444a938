//! Which (VIP, protocol, port) is where in the port table.

use std::{collections::HashMap, io};

use lb_common::{
    abi::{PORT_BUCKETS, PORT_WAYS, PortEntry},
    lookup::port_buckets,
};

use super::{
    DataPlane, NoRoom, Place,
    place::{Cooling, choose},
};

/// The port table as it is in the map, by [`PortEntry::key`].
#[derive(Debug, Default)]
pub struct PortTable {
    entries: HashMap<u64, (Place, PortEntry)>,
    places: HashMap<Place, u64>,
    cooling: Cooling,
}

impl PortTable {
    /// Reads the table back.
    pub fn read(plane: &impl DataPlane) -> Self {
        let mut table = Self::default();
        for bucket in 0..PORT_BUCKETS {
            for (way, entry) in (0..).zip(&plane.port_bucket(bucket).entries) {
                if *entry != PortEntry::default() {
                    let place = Place { bucket, way };
                    table.entries.insert(entry.key(), (place, *entry));
                    table.places.insert(place, entry.key());
                }
            }
        }
        table
    }

    pub fn iter(&self) -> impl Iterator<Item = PortEntry> {
        self.entries.values().map(|(_, entry)| *entry)
    }

    pub fn get(&self, key: u64) -> Option<PortEntry> {
        self.entries.get(&key).map(|(_, entry)| *entry)
    }

    /// Adds an entry, or hands its key to another service, in one store.
    pub fn set(&mut self, plane: &mut impl DataPlane, entry: PortEntry) -> Result<(), NoRoom> {
        let key = entry.key();
        let place = match self.entries.get(&key) {
            Some((place, _)) => *place,
            None => self
                .free_place(key)
                .ok_or_else(|| NoRoom { table: "port", key: format!("port {}", key as u16) })?,
        };
        plane.set_port(place, entry);
        self.entries.insert(key, (place, entry));
        self.places.insert(place, key);
        Ok(())
    }

    /// Hands all keys of one service to another, one store each.
    pub fn hand_over(&mut self, plane: &mut impl DataPlane, from: u16, to: u16) {
        for (place, entry) in self.entries.values_mut() {
            if entry.service() == from {
                *entry = entry.with_service(to);
                plane.set_port(*place, *entry);
            }
        }
    }

    pub fn remove(&mut self, plane: &mut impl DataPlane, key: u64) -> io::Result<()> {
        let now = plane.now()?;
        if let Some((place, _)) = self.entries.remove(&key) {
            plane.set_port(place, PortEntry::default());
            self.places.remove(&place);
            self.cooling.cleared(place, now);
        }
        Ok(())
    }

    /// Lets cleared places be used again once their second is over.
    pub fn pass(&mut self, now: u64, second: u64) {
        self.cooling.pass(now, second);
    }

    fn free_place(&self, key: u64) -> Option<Place> {
        choose::<PORT_WAYS>(port_buckets(key), |place| {
            self.places.contains_key(&place) || self.cooling.contains(place)
        })
    }
}
