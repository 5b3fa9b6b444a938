//! Whose packet is it: the VIP, then the service behind its port.

use super::Tables;
use super::parse::Transport;
use crate::abi::{PortEntry, VipBucket, VipEntry};
use crate::lookup;

/// The VIP table's entry for `address`, if it is a VIP.
#[inline(always)]
pub fn vip<T: Tables>(tables: &T, address: [u64; 2]) -> Option<u64> {
    let [first, second] = lookup::vip_buckets(address);
    if let Some(meta) = tables.vip_bucket(first).and_then(|b| lookup::vip_in(b, address)) {
        return Some(meta);
    }
    tables.vip_bucket(second).and_then(|b| lookup::vip_in(b, address))
}

/// The entry that makes a packet ours: its destination's, or its source's where
/// that is a backend that answers under its client's address.
#[inline(always)]
pub fn packet<T: Tables>(tables: &T, source: [u64; 2], destination: [u64; 2]) -> Option<u64> {
    if let Some(entry) = vip(tables, destination) {
        return Some(entry);
    }
    if !tables.has_dnat() {
        return None;
    }
    if is_dnat_backend(tables, source) { Some(DNAT_ANSWER) } else { None }
}

/// Whether this is a backend that answers under its clients' addresses.
#[inline(always)]
pub fn is_dnat_backend<T: Tables>(tables: &T, address: [u64; 2]) -> bool {
    let [first, second] = lookup::vip_buckets(address);
    marks_backend(tables.vip_bucket(first), address)
        || marks_backend(tables.vip_bucket(second), address)
}

/// In one go: of an entry that was searched for, the compiler would test what
/// was never set, which the verifier refuses.
#[inline(always)]
fn marks_backend(bucket: Option<&VipBucket>, address: [u64; 2]) -> bool {
    let Some(bucket) = bucket else { return false };
    let [a, b] = &bucket.entries;
    let marks = |entry: &VipEntry| {
        entry.address[1] == address[1]
            && entry.address[0] == address[0]
            && entry.used()
            && VipEntry::is_dnat_backend(entry.meta)
    };
    marks(a) || marks(b)
}

/// Stands for the entry of an address that is nobody's but its client's.
pub const DNAT_ANSWER: u64 = VipEntry::with_dnat_backend(VipEntry::NOT_A_VIP);

/// The service for the packet's port, or the one that takes every port.
#[inline(always)]
pub fn service<T: Tables>(tables: &T, vip: u64, transport: &Transport) -> Option<u16> {
    if !VipEntry::is_vip(vip) {
        return None;
    }
    let port = transport.destination_port();
    if let Some(service) = exact(tables, vip, transport.protocol, port) {
        return Some(service);
    }
    if VipEntry::any_port_of(vip, transport.protocol) {
        return exact(tables, vip, transport.protocol, 0);
    }
    None
}

#[inline(always)]
fn exact<T: Tables>(tables: &T, vip: u64, protocol: u8, port: u16) -> Option<u16> {
    let key = PortEntry::new(VipEntry::id_of(vip), protocol, port, 0).key();
    let [first, second] = lookup::port_buckets(key);
    if let Some(service) = tables.port_bucket(first).and_then(|b| lookup::port_in(b, key)) {
        return Some(service);
    }
    tables.port_bucket(second).and_then(|b| lookup::port_in(b, key))
}
