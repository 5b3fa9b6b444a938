//! Probes that take the way of client packets.
//!
//! They leave a network namespace of the daemon's through a veth pair. A way is
//! a backend and a VIP; inside the namespace it goes by an alias, an address
//! made of the way's number. On the way out the alias becomes the VIP and the
//! namespace's address one of this host; an answer is told by the port that it
//! comes to, and gets them back.

use crate::hash::{split, v4_mapped};

/// One entry per number.
pub const MAX_PROBE_WAYS: u32 = 1 << 16;

/// Ports that probes leave from, on all addresses of this host: above those
/// that Linux gives to other sockets by default.
pub const FIRST_PROBE_PORT: u16 = 61_000;
pub const PROBE_PORTS: u32 = (u16::MAX - FIRST_PROBE_PORT) as u32 + 1;

/// MAC addresses of the pair's ends.
pub const PROBE_HOST_MAC: [u8; 6] = [2, 0x6c, 0x62, 0x70, 0, 1];
pub const PROBE_NAMESPACE_MAC: [u8; 6] = [2, 0x6c, 0x62, 0x70, 0, 2];

/// The namespace's own addresses. Nobody else sees these or the aliases: a part
/// of what IPv4 has reserved (RFC 1112, section 4), and a unique local prefix.
pub const PROBE_V4: [u8; 4] = [240, 1, 0, 1];
pub const PROBE_V6: [u8; 16] = [0xfd, 0x6c, 0x62, 0x70, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
const ALIAS_V6: [u8; 14] = [0xfd, 0x6c, 0x62, 0x70, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The IPv4 alias of a way.
#[inline(always)]
pub const fn alias_v4(number: u16) -> [u8; 4] {
    let [high, low] = number.to_be_bytes();
    [240, 0, high, low]
}

/// The IPv6 alias of a way.
#[inline(always)]
pub const fn alias_v6(number: u16) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = ALIAS_V6;
    let [high, low] = number.to_be_bytes();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, high, low]
}

/// The alias of a way in one of the families, as two words.
#[inline(always)]
pub const fn alias(number: u16, v6: bool) -> [u64; 2] {
    if v6 { split(alias_v6(number)) } else { v4_mapped(alias_v4(number)) }
}

/// The namespace's own address.
#[inline(always)]
pub const fn probe_address(v6: bool) -> [u64; 2] {
    if v6 { split(PROBE_V6) } else { v4_mapped(PROBE_V4) }
}

/// The number that an alias would be made of; compare with [`alias`].
#[inline(always)]
pub const fn alias_number(address: [u64; 2]) -> u16 {
    ((address[1] >> 48) as u16).swap_bytes()
}

/// From where and to where a way's probes go. 48 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct ProbeWay {
    /// Used (bit 63) | index of the pair's end on this host (16..48) | backend
    /// (0..16). Stored last, cleared first.
    pub meta: u64,
    pub vip: [u64; 2],
    /// An address of this host, where answers come to.
    pub source: [u64; 2],
    pub reserved: u64,
}

const _: () = assert!(size_of::<ProbeWay>() == 48);

impl ProbeWay {
    const USED: u64 = 1 << 63;

    pub const fn meta(backend: u16, ifindex: u32) -> u64 {
        Self::USED | (ifindex as u64) << 16 | backend as u64
    }

    #[inline(always)]
    pub const fn used(&self) -> bool {
        self.meta & Self::USED != 0
    }

    #[inline(always)]
    pub const fn backend(&self) -> u16 {
        self.meta as u16
    }

    /// The interface that leads to the prober.
    #[inline(always)]
    pub const fn ifindex(&self) -> u32 {
        (self.meta >> 16) as u32
    }
}

/// What the last probe from a port was: used (bit 63) | protocol (32..40) |
/// port of the server (16..32) | number of the way (0..16). 0: none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct ProbePort(pub u64);

impl ProbePort {
    const USED: u64 = 1 << 63;

    #[inline(always)]
    pub const fn new(way: u16, protocol: u8, server: u16) -> Self {
        Self(Self::USED | (protocol as u64) << 32 | (server as u64) << 16 | way as u64)
    }

    #[inline(always)]
    pub const fn way(self) -> u16 {
        self.0 as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_tells_its_number_and_no_other_address_is_one() {
        for number in [0, 1, 255, 256, 0x1234, u16::MAX] {
            for v6 in [false, true] {
                assert_eq!(alias_number(alias(number, v6)), number);
            }
        }
        for (address, v6) in [(probe_address(false), false), (probe_address(true), true)] {
            assert_ne!(alias(alias_number(address), v6), address);
        }
        assert_eq!(alias_v4(258), [240, 0, 1, 2]);
    }

    #[test]
    fn a_way_and_a_port_say_what_they_were_made_of() {
        let way = ProbeWay { meta: ProbeWay::meta(0xabcd, u32::MAX), ..ProbeWay::default() };
        assert!(way.used() && !ProbeWay::default().used());
        assert_eq!((way.backend(), way.ifindex()), (0xabcd, u32::MAX));
        assert_eq!(ProbePort::new(0xabcd, 17, 53).way(), 0xabcd);
        assert_ne!(ProbePort::new(1, 17, 53), ProbePort::new(1, 6, 53));
    }
}
