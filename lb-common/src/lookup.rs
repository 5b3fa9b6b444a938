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
