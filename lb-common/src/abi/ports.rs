//! The port table: (VIP, protocol, port) to service. Two-choice hashing as in
//! the VIP table; an entry is one u64, so it appears and goes in one store.

/// Entries per bucket.
pub const PORT_WAYS: usize = 4;

/// Service (bits 0..16) | port (16..32, host order) | VIP id (32..48) |
/// protocol (48..56) | used (63). Port 0 stands for "any". 0: free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(transparent)]
pub struct PortEntry(pub u64);

impl PortEntry {
    const USED: u64 = 1 << 63;

    #[inline(always)]
    pub const fn new(vip: u16, protocol: u8, port: u16, service: u16) -> Self {
        Self(
            Self::USED
                | (protocol as u64) << 48
                | (vip as u64) << 32
                | (port as u64) << 16
                | service as u64,
        )
    }

    /// Everything but the service: what is looked for.
    #[inline(always)]
    pub const fn key(self) -> u64 {
        self.0 >> 16
    }

    #[inline(always)]
    pub const fn service(self) -> u16 {
        self.0 as u16
    }

    pub const fn with_service(self, service: u16) -> Self {
        Self(self.0 & !0xffff | service as u64)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(32))]
pub struct PortBucket {
    pub entries: [PortEntry; PORT_WAYS],
}

const _: () = assert!(size_of::<PortBucket>() == 32);
