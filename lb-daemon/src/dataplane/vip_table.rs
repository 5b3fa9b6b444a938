//! Which VIP is where in the VIP table.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv6Addr},
};

use lb_common::{
    abi::{VIP_BUCKETS, VIP_WAYS, VipEntry},
    hash::{split, v4_mapped},
    lookup::vip_buckets,
};

use super::{
    DataPlane, NoRoom, Place,
    place::{Cooling, choose},
};

/// An address as the tables hold it.
pub fn words_of(address: IpAddr) -> [u64; 2] {
    match address {
        IpAddr::V4(v4) => v4_mapped(v4.octets()),
        IpAddr::V6(v6) => split(v6.octets()),
    }
}

/// The address that [`words_of`] gives `words` for.
pub fn address_of(words: [u64; 2]) -> IpAddr {
    let whole = u128::from(words[0]) | u128::from(words[1]) << 64;
    Ipv6Addr::from(whole.to_le_bytes()).to_canonical()
}

/// The VIP table as it is in the map.
#[derive(Debug, Default)]
pub struct VipTable {
    entries: HashMap<IpAddr, (Place, u64)>,
    places: HashMap<Place, IpAddr>,
    cooling: Cooling,
}

impl VipTable {
    /// Reads the table back.
    pub fn read(plane: &impl DataPlane) -> Self {
        let mut table = Self::default();
        for bucket in 0..VIP_BUCKETS {
            for (way, entry) in (0..).zip(&plane.vip_bucket(bucket).entries) {
                if entry.used() {
                    let place = Place { bucket, way };
                    let address = address_of(entry.address);
                    table.entries.insert(address, (place, entry.meta));
                    table.places.insert(place, address);
                }
            }
        }
        table
    }

    /// What is there, as (address, `meta`).
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, u64)> {
        self.entries.iter().map(|(address, (_, meta))| (*address, *meta))
    }

    pub fn get(&self, address: IpAddr) -> Option<u64> {
        self.entries.get(&address).map(|(_, meta)| *meta)
    }

    /// Adds a VIP, or changes what its entry says.
    pub fn set(
        &mut self,
        plane: &mut impl DataPlane,
        address: IpAddr,
        meta: u64,
    ) -> Result<(), NoRoom> {
        let words = words_of(address);
        let place = match self.entries.get(&address) {
            Some((place, _)) => *place,
            None => self
                .free_place(words)
                .ok_or_else(|| NoRoom { table: "VIP", key: address.to_string() })?,
        };
        plane.set_vip(place, &VipEntry { address: words, meta, reserved: 0 });
        self.entries.insert(address, (place, meta));
        self.places.insert(place, address);
        Ok(())
    }

    pub fn remove(&mut self, plane: &mut impl DataPlane, address: IpAddr) -> io::Result<()> {
        let now = plane.now()?;
        if let Some((place, _)) = self.entries.remove(&address) {
            plane.set_vip(place, &VipEntry::default());
            self.places.remove(&place);
            self.cooling.cleared(place, now);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn entries_place(&self, address: IpAddr) -> Option<Place> {
        self.entries.get(&address).map(|(place, _)| *place)
    }

    /// Lets cleared places be used again once their second is over.
    pub fn pass(&mut self, now: u64, second: u64) {
        self.cooling.pass(now, second);
    }

    fn free_place(&self, words: [u64; 2]) -> Option<Place> {
        choose::<VIP_WAYS>(vip_buckets(words), |place| {
            self.places.contains_key(&place) || self.cooling.contains(place)
        })
    }
}
