//! What holds for many flows: where they leave from, how long they rest.

use super::super::MAX_SERVICES;

/// Addresses of one family in a pool.
pub const POOL_ADDRESSES: usize = 16;
/// Pools: one for each service at most.
pub const MAX_POOLS: u32 = MAX_SERVICES;

/// Addresses and ports that a service's flows leave from. 400 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Pool {
    /// Addresses in use, by family. 0: the backend entry's `outer_source`.
    pub v4_count: u32,
    pub v6_count: u32,
    /// Host order.
    pub first_port: u16,
    /// Ports from `first_port` on.
    pub ports: u16,
    pub reserved: u32,
    /// IPv4 addresses in the last words of their v4-mapped form.
    pub v4: [u64; POOL_ADDRESSES],
    pub v6: [[u64; 2]; POOL_ADDRESSES],
}

const _: () = assert!(size_of::<Pool>() == 16 + 24 * POOL_ADDRESSES);

/// What holds for all translated flows. 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct NatSettings {
    /// Of the tables' hash.
    pub key: [u64; 2],
    /// Buckets of each table.
    pub narrow: u32,
    pub wide: u32,
    pub narrow_new: u32,
    pub wide_new: u32,
    /// How long a closed tuple rests, in ticks: after the client's FIN or a
    /// RST, after the backend's FIN, after the last answer over UDP.
    pub rest_client: u32,
    pub rest_backend: u32,
    pub rest_udp: u32,
    /// An expired line is taken over only after so many ticks more.
    pub guard: u32,
    /// 1: some flow has IPv4 on one side and IPv6 on the other.
    pub mixed: u32,
    /// The least MTU of all interfaces; longer answers are checked.
    pub least_mtu: u32,
    /// 1: flows that begin are told to the daemon, see [`NatBegin`](super::NatBegin).
    pub log: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<NatSettings>() == 64);
