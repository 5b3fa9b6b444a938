//! Entries of the flow table, which exists only for slots in transition.

/// A client's flow as its packets arrive: IPv4 addresses are v4-mapped
/// (`::ffff:a.b.c.d`). Network byte order. 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C, align(8))]
pub struct FlowKey {
    pub source: [u8; 16],
    pub destination: [u8; 16],
    pub source_port: [u8; 2],
    pub destination_port: [u8; 2],
    pub protocol: u8,
    pub reserved: [u8; 3],
}

const _: () = assert!(size_of::<FlowKey>() == 40);

/// Who owns the flow: backend (bits 0..16) | slot epoch (16..32) | tag
/// (32..64). A refresh never rewrites it. The tag is a hash of the key: the
/// kernel may recycle an element while a program still holds a pointer to it,
/// and the tag tells the element looked up from its successor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct FlowOwner(pub u64);

impl FlowOwner {
    #[inline(always)]
    pub const fn new(backend: u16, epoch: u16, tag: u32) -> Self {
        Self(backend as u64 | (epoch as u64) << 16 | (tag as u64) << 32)
    }

    #[inline(always)]
    pub const fn backend(self) -> u16 {
        self.0 as u16
    }

    #[inline(always)]
    pub const fn epoch(self) -> u16 {
        (self.0 >> 16) as u16
    }

    #[inline(always)]
    pub const fn tag(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What is known of a flow's TCP state; UDP flows are `Open`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum FlowState {
    /// SYN seen, nothing since.
    HalfOpen = 0,
    Open = 1,
    /// FIN seen.
    Closing = 2,
    /// RST seen; data after it reopens the flow.
    Reset = 3,
}

/// When the flow was last seen (ticks, bits 8..64) and its state (bits 0..8),
/// refreshed in one store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct FlowSeen(pub u64);

impl FlowSeen {
    #[inline(always)]
    pub const fn new(ticks: u64, state: FlowState) -> Self {
        Self(ticks << 8 | state as u64)
    }

    #[inline(always)]
    pub const fn ticks(self) -> u64 {
        self.0 >> 8
    }

    #[inline(always)]
    pub const fn state(self) -> FlowState {
        match self.0 as u8 {
            0 => FlowState::HalfOpen,
            1 => FlowState::Open,
            2 => FlowState::Closing,
            _ => FlowState::Reset,
        }
    }
}

/// Value of the flow table. 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C, align(8))]
pub struct FlowEntry {
    pub owner: FlowOwner,
    pub seen: FlowSeen,
}

const _: () = assert!(size_of::<FlowEntry>() == 16);
