//! The lines of all other flows.

use super::body::KEY_PORTS;
use super::{NatBody, NatRest};
use crate::hash::FlowWords;
use crate::nat::Shared;

/// The body of a line with an IPv6 address among its four; IPv4 is v4-mapped.
/// 128 bytes.
#[derive(Default)]
#[repr(C, align(64))]
pub struct WideBody {
    source: [Shared; 2],
    destination: [Shared; 2],
    ports: Shared,
    to_source: [Shared; 2],
    to_destination: [Shared; 2],
    rest: NatRest,
    reserved: [u64; 3],
}

#[inline(always)]
fn load_both(words: &[Shared; 2]) -> [u64; 2] {
    [words[0].load(), words[1].load()]
}

#[inline(always)]
fn copy_both(to: &[Shared; 2], from: &[Shared; 2]) {
    store_both(to, load_both(from));
}

#[inline(always)]
fn store_both(words: &[Shared; 2], value: [u64; 2]) {
    words[0].store(value[0]);
    words[1].store(value[1]);
}

impl NatBody for WideBody {
    #[inline(always)]
    fn rest(&self) -> &NatRest {
        &self.rest
    }

    #[inline(always)]
    fn is(&self, key: &FlowWords) -> bool {
        self.ports.load() & KEY_PORTS == key.ports
            && load_both(&self.source) == key.source
            && load_both(&self.destination) == key.destination
    }

    #[inline(always)]
    fn key(&self) -> FlowWords {
        FlowWords {
            source: load_both(&self.source),
            destination: load_both(&self.destination),
            ports: self.ports.load() & KEY_PORTS,
        }
    }

    #[inline(always)]
    fn to(&self) -> FlowWords {
        let protocol = self.ports.load() & KEY_PORTS & !0xffff_ffff;
        FlowWords {
            source: load_both(&self.to_source),
            destination: load_both(&self.to_destination),
            ports: self.rest.to_ports.load() & 0xffff_ffff | protocol,
        }
    }

    #[inline(always)]
    fn backend(&self) -> u16 {
        (self.ports.load() >> 48) as u16
    }

    #[inline(always)]
    fn answers(&self, key: &FlowWords) -> bool {
        self.rest.to_ports.load() as u32 == (key.ports as u32).rotate_left(16)
            && load_both(&self.to_source) == key.destination
            && load_both(&self.to_destination) == key.source
    }

    #[inline(always)]
    fn copy(&self, other: &Self) {
        copy_both(&self.source, &other.source);
        copy_both(&self.destination, &other.destination);
        self.ports.store(other.ports.load());
        copy_both(&self.to_source, &other.to_source);
        copy_both(&self.to_destination, &other.to_destination);
        self.rest.copy(&other.rest);
    }

    #[inline(always)]
    fn write_ends(&self, key: &FlowWords, to: &FlowWords, backend: u16) {
        store_both(&self.source, key.source);
        store_both(&self.destination, key.destination);
        self.ports.store(key.ports | (backend as u64) << 48);
        store_both(&self.to_source, to.source);
        store_both(&self.to_destination, to.destination);
    }
}
