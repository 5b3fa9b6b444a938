//! The VIP table: addresses this balancer answers for.
//!
//! Two-choice hashing into buckets of one cache line. The daemon places an
//! entry in the emptier of its two buckets and never moves it; the data path
//! only reads. `meta` is written last and cleared first, in one store each, so
//! that no packet sees half an entry; the daemon reuses a cleared entry only
//! after a second.

/// What happens to packets for ports that no service has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Unserved {
    /// RST or ICMP unreachable, within a budget.
    Reject = 0,
    Drop = 1,
    /// To the kernel, which then answers pings too.
    Pass = 2,
}

/// Entries per bucket.
pub const VIP_WAYS: usize = 2;

/// One VIP. 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct VipEntry {
    /// The address as two native u64 read from its 16 bytes; IPv4 is v4-mapped.
    pub address: [u64; 2],
    /// Used (bit 63) | source of probes (37) | not a VIP (36) | backend of `dnat` (35) | source of `nat`
    /// (34) | any-port service for UDP (33), TCP (32) | policy (16..24) | id
    /// (0..16). 0: free.
    pub meta: u64,
    pub reserved: u64,
}

impl VipEntry {
    const USED: u64 = 1 << 63;
    const ANY_TCP: u64 = 1 << 32;
    const ANY_UDP: u64 = 1 << 33;
    const NAT_SOURCE: u64 = 1 << 34;
    const DNAT_BACKEND: u64 = 1 << 35;
    const NO_VIP: u64 = 1 << 36;
    const PROBE_SOURCE: u64 = 1 << 37;
    /// `meta` of an address that is no VIP.
    pub const NOT_A_VIP: u64 = Self::USED | Self::NO_VIP | (Unserved::Pass as u64) << 16;

    /// `any_tcp`, `any_udp`: whether a service takes every port of the protocol.
    pub const fn meta(id: u16, unserved: Unserved, any_tcp: bool, any_udp: bool) -> u64 {
        let mut meta = Self::USED | id as u64 | (unserved as u64) << 16;
        if any_tcp {
            meta |= Self::ANY_TCP;
        }
        if any_udp {
            meta |= Self::ANY_UDP;
        }
        meta
    }

    /// `meta`, of an address that translated flows leave from.
    pub const fn with_nat_source(meta: u64) -> u64 {
        meta | Self::NAT_SOURCE
    }

    /// `meta`, of a backend whose answers carry the client's address.
    pub const fn with_dnat_backend(meta: u64) -> u64 {
        meta | Self::DNAT_BACKEND
    }

    /// `meta`, of an address that probes through the data path leave from.
    pub const fn with_probe_source(meta: u64) -> u64 {
        meta | Self::PROBE_SOURCE
    }

    /// Whether answers to such probes arrive under this destination.
    #[inline(always)]
    pub const fn is_probe_source(meta: u64) -> bool {
        meta & Self::PROBE_SOURCE != 0
    }

    /// Whether answers to translated flows arrive under this destination.
    #[inline(always)]
    pub const fn is_nat_source(meta: u64) -> bool {
        meta & Self::NAT_SOURCE != 0
    }

    /// Whether answers to translated flows arrive under this source.
    #[inline(always)]
    pub const fn is_dnat_backend(meta: u64) -> bool {
        meta & Self::DNAT_BACKEND != 0
    }

    #[inline(always)]
    pub const fn is_vip(meta: u64) -> bool {
        meta & Self::NO_VIP == 0
    }

    #[inline(always)]
    pub const fn used(&self) -> bool {
        self.meta & Self::USED != 0
    }

    #[inline(always)]
    pub const fn id_of(meta: u64) -> u16 {
        meta as u16
    }

    #[inline(always)]
    pub const fn unserved_of(meta: u64) -> Unserved {
        match (meta >> 16) as u8 {
            0 => Unserved::Reject,
            1 => Unserved::Drop,
            _ => Unserved::Pass,
        }
    }

    /// Whether a service takes every port of `protocol` (6 or 17).
    #[inline(always)]
    pub const fn any_port_of(meta: u64, protocol: u8) -> bool {
        let bit = if protocol == 6 { Self::ANY_TCP } else { Self::ANY_UDP };
        meta & bit != 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct VipBucket {
    pub entries: [VipEntry; VIP_WAYS],
}

const _: () = assert!(size_of::<VipBucket>() == 64);
