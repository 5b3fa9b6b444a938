//! The lines of flows that are IPv4 on both sides.

use super::body::KEY_PORTS;
use super::{NatBody, NatRest};
use crate::hash::FlowWords;
use crate::nat::Shared;

/// The body of a line whose four addresses are all IPv4. 64 bytes.
#[derive(Default)]
#[repr(C, align(64))]
pub struct NarrowBody {
    /// Source (0..32) and destination (32..64).
    addresses: Shared,
    /// [`FlowWords::ports`] (0..40) | backend (48..64).
    ports: Shared,
    to_addresses: Shared,
    rest: NatRest,
    reserved: u64,
}

#[inline(always)]
const fn pack(source: [u64; 2], destination: [u64; 2]) -> u64 {
    source[1] >> 32 | destination[1] & 0xffff_ffff_0000_0000
}

#[inline(always)]
const fn unpack(addresses: u64) -> ([u64; 2], [u64; 2]) {
    const MAPPED: u64 = 0xffff_0000;
    ([0, MAPPED | addresses << 32], [0, MAPPED | addresses & 0xffff_ffff_0000_0000])
}

impl NatBody for NarrowBody {
    #[inline(always)]
    fn rest(&self) -> &NatRest {
        &self.rest
    }

    #[inline(always)]
    fn is(&self, key: &FlowWords) -> bool {
        self.addresses.load() == pack(key.source, key.destination)
            && self.ports.load() & KEY_PORTS == key.ports
    }

    #[inline(always)]
    fn key(&self) -> FlowWords {
        let (source, destination) = unpack(self.addresses.load());
        FlowWords { source, destination, ports: self.ports.load() & KEY_PORTS }
    }

    #[inline(always)]
    fn to(&self) -> FlowWords {
        let (source, destination) = unpack(self.to_addresses.load());
        let protocol = self.ports.load() & KEY_PORTS & !0xffff_ffff;
        let ports = self.rest.to_ports.load() & 0xffff_ffff | protocol;
        FlowWords { source, destination, ports }
    }

    #[inline(always)]
    fn backend(&self) -> u16 {
        (self.ports.load() >> 48) as u16
    }

    #[inline(always)]
    fn answers(&self, key: &FlowWords) -> bool {
        self.to_addresses.load() == pack(key.destination, key.source)
            && self.rest.to_ports.load() as u32 == (key.ports as u32).rotate_left(16)
    }

    #[inline(always)]
    fn copy(&self, other: &Self) {
        self.addresses.store(other.addresses.load());
        self.ports.store(other.ports.load());
        self.to_addresses.store(other.to_addresses.load());
        self.rest.copy(&other.rest);
    }

    #[inline(always)]
    fn write_ends(&self, key: &FlowWords, to: &FlowWords, backend: u16) {
        self.addresses.store(pack(key.source, key.destination));
        self.ports.store(key.ports | (backend as u64) << 48);
        self.to_addresses.store(pack(to.source, to.destination));
    }
}
