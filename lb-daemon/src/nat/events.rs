//! Flows that began, from the data path's ring buffer.

use aya::maps::{Map, MapData, RingBuf};
use lb_common::abi::{NatBegin, map_names};

use crate::{
    dataplane::{OpenError, open_map},
    loader::PinDir,
};

pub struct Events(RingBuf<MapData>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("flows that began")
    }
}

impl Events {
    pub fn open(pins: &PinDir) -> Result<Self, OpenError> {
        let (data, _) = open_map(pins, map_names::NAT_EVENTS)?;
        let ring = RingBuf::try_from(Map::RingBuf(data));
        ring.map(Self)
            .map_err(|source| OpenError::Map { path: pins.map(map_names::NAT_EVENTS), source })
    }
}

impl Iterator for Events {
    type Item = NatBegin;

    fn next(&mut self) -> Option<NatBegin> {
        loop {
            let item = self.0.next()?;
            // Of another size: not one of ours.
            if item.len() == size_of::<NatBegin>() {
                // SAFETY: as many bytes, any of which are a value of it.
                return Some(unsafe { item.as_ptr().cast::<NatBegin>().read_unaligned() });
            }
        }
    }
}
