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
    /// Used (bit 63) | any-port service for UDP (33), TCP (32) | policy
    /// (16..24) | id (0..16). 0: free.
    pub meta: u64,
    pub reserved: u64,
}

impl VipEntry {
    const USED: u64 = 1 << 63;
    const ANY_TCP: u64 = 1 << 32;
    const ANY_UDP: u64 = 1 << 33;

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
