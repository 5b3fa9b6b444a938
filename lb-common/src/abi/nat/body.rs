//! What a line says of its flow, in words that several CPUs share.

use super::entry::MAC_BITS;
use super::{NatEntry, NatHop};
use crate::hash::FlowWords;
use crate::nat::Shared;

/// One of two kinds of bodies.
pub trait NatBody {
    fn rest(&self) -> &NatRest;
    /// Whether this is the line of `key`.
    fn is(&self, key: &FlowWords) -> bool;
    fn key(&self) -> FlowWords;
    fn to(&self) -> FlowWords;
    fn backend(&self) -> u16;
    /// Whether packets of this line leave between these ends, in reverse.
    fn answers(&self, key: &FlowWords) -> bool;
    fn write_ends(&self, key: &FlowWords, to: &FlowWords, backend: u16);
    fn copy(&self, other: &Self);

    #[inline(always)]
    fn write(&self, key: &FlowWords, entry: &NatEntry, reverse: bool) {
        self.write_ends(key, &entry.to, entry.backend);
        self.rest().write(entry, reverse);
    }

    #[inline(always)]
    fn service(&self) -> u16 {
        (self.rest().hop_or_begin.load() >> 48) as u16
    }

    #[inline(always)]
    fn hop(&self) -> NatHop {
        let rest = self.rest();
        NatHop {
            destination: rest.hop_or_begin.load() & MAC_BITS,
            source: rest.hop_source.load() & MAC_BITS,
            ifindex: rest.to_ports.load() >> 32,
        }
    }

    #[inline(always)]
    fn began(&self) -> u64 {
        self.rest().hop_or_begin.load() & MAC_BITS
    }

    #[inline(always)]
    fn entry(&self) -> NatEntry {
        let reverse = self.rest().is_reverse();
        NatEntry {
            to: self.to(),
            backend: self.backend(),
            service: self.service(),
            hop: if reverse { self.hop() } else { NatHop::default() },
            began: if reverse { 0 } else { self.began() },
            packets: 0,
            state: 0,
            reserved: 0,
        }
    }
}

/// Ports and protocol of a key.
pub(super) const KEY_PORTS: u64 = (1 << 40) - 1;

/// The words that both kinds of bodies end with.
#[derive(Default)]
#[repr(C)]
pub struct NatRest {
    /// Ports after translation (0..32) | interface (32..64).
    pub to_ports: Shared,
    /// Forward: begin (0..48). Reverse: destination MAC. Both: service (48..64).
    pub hop_or_begin: Shared,
    /// Reverse: source MAC. Bit 63: this is the reverse line.
    pub hop_source: Shared,
    /// Frame bytes (0..48) | packets (48..64, wraps).
    pub traffic: Shared,
}

impl NatRest {
    const REVERSE: u64 = 1 << 63;

    #[inline(always)]
    fn write(&self, entry: &NatEntry, reverse: bool) {
        let first = if reverse { entry.hop.destination } else { entry.began & MAC_BITS };
        let flag = if reverse { Self::REVERSE } else { 0 };
        self.to_ports.store(entry.to.ports & 0xffff_ffff | entry.hop.ifindex << 32);
        self.hop_or_begin.store(first | (entry.service as u64) << 48);
        self.hop_source.store(entry.hop.source | flag);
        self.traffic.store(0);
    }

    #[inline(always)]
    pub(super) fn copy(&self, other: &Self) {
        self.to_ports.store(other.to_ports.load());
        self.hop_or_begin.store(other.hop_or_begin.load());
        self.hop_source.store(other.hop_source.load());
        self.traffic.store(other.traffic.load());
    }

    /// Writes where the client's packets come from, if they came from elsewhere.
    #[inline(always)]
    pub fn set_hop(&self, hop: &NatHop) {
        let first = self.to_ports.load();
        let second = self.hop_or_begin.load();
        let third = Self::REVERSE | hop.source;
        let moved = first >> 32 != hop.ifindex
            || second & MAC_BITS != hop.destination
            || self.hop_source.load() != third;
        if moved {
            self.to_ports.store(first & 0xffff_ffff | hop.ifindex << 32);
            self.hop_or_begin.store(second & !MAC_BITS | hop.destination);
            self.hop_source.store(third);
        }
    }

    /// Counts a frame. Not in one step, which would have the processor wait for
    /// the line: of frames of one direction that two CPUs have at the same
    /// moment, one may not be counted.
    #[inline(always)]
    pub fn count(&self, bytes: usize) {
        self.traffic.store(self.traffic.load().wrapping_add(1 << 48 | bytes as u64));
    }

    /// Frames since the flow began; wraps.
    #[inline(always)]
    pub fn packets(&self) -> u16 {
        (self.traffic.load() >> 48) as u16
    }

    #[inline(always)]
    pub fn bytes(&self) -> u64 {
        self.traffic.load() & MAC_BITS
    }

    #[inline(always)]
    pub fn is_reverse(&self) -> bool {
        self.hop_source.load() & Self::REVERSE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{NarrowBody, WideBody, mac_word};
    use super::*;
    use crate::hash::{split, v4_mapped};

    fn check<B: NatBody + Default>(source: [u64; 2], destination: [u64; 2]) {
        let ports = |p| FlowWords::pack_ports(p, 6);
        let key = FlowWords { source, destination, ports: ports([1, 2, 3, 4]) };
        let to = FlowWords { source: destination, destination: source, ports: ports([5, 6, 7, 8]) };
        let hop = NatHop {
            destination: mac_word([1, 2, 3, 4, 5, 6]),
            source: mac_word([6, 5, 4, 3, 2, 1]),
            ifindex: 77,
        };
        let reverse = NatEntry { to, backend: 0xabcd, service: 0x1234, hop, ..NatEntry::default() };
        let body = B::default();
        body.write(&key, &reverse, true);
        assert_eq!((body.key(), body.entry()), (key, reverse));
        assert!(body.is(&key) && !body.is(&to) && body.rest().is_reverse());
        let forward = NatEntry { hop: NatHop::default(), began: 0x1234_5678_9abc, ..reverse };
        body.write(&key, &forward, false);
        assert_eq!((body.key(), body.entry()), (key, forward));
    }

    #[test]
    fn bodies_give_back_what_was_written() {
        check::<NarrowBody>(v4_mapped([10, 1, 2, 3]), v4_mapped([192, 0, 2, 250]));
        check::<WideBody>(split([0x20; 16]), split([0xfe; 16]));
        check::<WideBody>(v4_mapped([10, 1, 2, 3]), split([0xfe; 16]));
    }
}
