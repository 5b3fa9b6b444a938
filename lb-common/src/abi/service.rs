//! One entry per service: where its slot table is, its hash key and its times.

/// Bits of [`Service::flags`].
pub mod service_flags {
    /// The entry is in use.
    pub const USED: u32 = 1 << 0;
    /// UDP flows in transition are looked up and stored (`udp: keep`).
    pub const UDP_KEEP: u32 = 1 << 1;
    /// Flows of a dead backend are answered with RST (`reset`), else they go
    /// to the new owner (`reselect`).
    pub const RESET_ON_DEAD: u32 = 1 << 2;
    /// Flows of a slot whose word says so ask the previous table.
    pub const HAS_OLD_TABLE: u32 = 1 << 3;
    /// Flows are looked up among the translated ones first.
    pub const NAT_LOOKUP: u32 = 1 << 4;
    /// New flows are translated.
    pub const NAT: u32 = 1 << 5;
    /// They keep the client's address (`dnat`).
    pub const KEEP_CLIENT: u32 = 1 << 6;
    /// A segment of no translated flow is of one from before the service
    /// translated: it goes to the slot's owner as it is.
    pub const DIRECT_TOO: u32 = 1 << 7;
}

/// A slot table: `count` words from `base` in the slot space, indexed by a
/// hash with `key`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Table {
    pub base: u32,
    pub count: u32,
    pub key: [u64; 2],
}

/// A service. 128 bytes; a packet at rest reads the first 32.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Service {
    /// See [`service_flags`].
    pub flags: u32,
    /// Index of the pool that translated flows leave from.
    pub pool: u32,
    pub table: Table,
    /// Lives of flow entries, in clock ticks.
    pub tcp_idle: u32,
    pub half_open: u32,
    pub closing: u32,
    pub arming: u32,
    pub udp_idle: u32,
    /// Answers after which a translated UDP flow ends; 0: it lasts until idle.
    pub udp_responses: u32,
    /// The table before the last change of size or seed.
    pub old_table: Table,
    /// When a packet last went past translation by [`service_flags::DIRECT_TOO`],
    /// in ticks: the data path writes this.
    pub direct_at: u64,
    /// Ticks after which a SYN that comes again counts as unanswered; 0: trouble
    /// is not looked for in the service's traffic.
    pub repeat_after: u32,
    pub reserved_2: u32,
    pub reserved_3: [u64; 4],
}

const _: () = assert!(size_of::<Table>() == 24);
const _: () = assert!(size_of::<Service>() == 128);
