//! Where an address or a port is found in the VIP and port tables: each key has
//! two buckets, so a lookup reads one or two cache lines, hit or miss.

use crate::abi::{PORT_BUCKETS, PortBucket, PortEntry, VIP_BUCKETS, VipBucket};
use crate::hash::two_buckets;

/// The two buckets where `address` may be.
#[inline(always)]
pub fn vip_buckets(address: [u64; 2]) -> [u32; 2] {
    two_buckets(address, VIP_BUCKETS)
}

/// The two buckets where [`PortEntry::key`] `key` may be.
#[inline(always)]
pub fn port_buckets(key: u64) -> [u32; 2] {
    two_buckets([key, 0], PORT_BUCKETS)
}

/// The `meta` of `address`, if it is in this bucket.
#[inline(always)]
pub fn vip_in(bucket: &VipBucket, address: [u64; 2]) -> Option<u64> {
    let [a, b] = &bucket.entries;
    if a.address[1] == address[1] && a.address[0] == address[0] && a.used() {
        return Some(a.meta);
    }
    if b.address[1] == address[1] && b.address[0] == address[0] && b.used() {
        return Some(b.meta);
    }
    None
}

/// The service of `key`, if it is in this bucket.
#[inline(always)]
pub fn port_in(bucket: &PortBucket, key: u64) -> Option<u16> {
    let [a, b, c, d] = bucket.entries;
    let found = |entry: PortEntry| entry.key() == key;
    if found(a) {
        Some(a.service())
    } else if found(b) {
        Some(b.service())
    } else if found(c) {
        Some(c.service())
    } else if found(d) {
        Some(d.service())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{MAX_PORTS, MAX_VIPS, PORT_WAYS, VIP_WAYS};
    use crate::hash::{split, v4_mapped};

    /// Whether every key finds room in the emptier of its two buckets.
    fn all_fit(keys: impl Iterator<Item = [u32; 2]>, buckets: u32, ways: usize) -> bool {
        let mut load = vec![0; buckets as usize];
        keys.into_iter().all(|[a, b]| {
            let emptier = if load[b as usize] < load[a as usize] { b } else { a };
            load[emptier as usize] += 1;
            load[emptier as usize] <= ways
        })
    }

    #[test]
    fn as_many_vips_as_allowed_fit_however_close_their_addresses() {
        for step in [1, 2, 256, 65_536] {
            let v4 = (0..MAX_VIPS).map(|i| {
                let address = 0x0a00_0000_u32.wrapping_add(i.wrapping_mul(step));
                vip_buckets(v4_mapped(address.to_be_bytes()))
            });
            assert!(all_fit(v4, VIP_BUCKETS, VIP_WAYS), "IPv4, {step} apart");
        }
        for shift in [0, 8, 16, 32, 48, 64, 80] {
            let v6 = (0..MAX_VIPS).map(|i| {
                let address = 0x2001_0db8_u128 << 96 | (i as u128) << shift;
                vip_buckets(split(address.to_be_bytes()))
            });
            assert!(all_fit(v6, VIP_BUCKETS, VIP_WAYS), "IPv6, 2^{shift} apart");
        }
    }

    #[test]
    fn as_many_ports_as_allowed_fit() {
        for vips in [1, 16, 1024, 4096] {
            let keys = (0..MAX_PORTS).map(|i| {
                let (vip, port) = ((i % vips) as u16, (i / vips) as u16 + 1);
                port_buckets(PortEntry::new(vip, 6, port, 0).key())
            });
            assert!(all_fit(keys, PORT_BUCKETS, PORT_WAYS), "{vips} VIPs");
        }
    }
}
