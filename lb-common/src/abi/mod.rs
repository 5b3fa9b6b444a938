//! The layout of the maps shared by the XDP program and the daemon.
//!
//! Integers and byte arrays only, explicit padding, sizes asserted at compile
//! time. Raise [`ABI_VERSION`] whenever a layout or the meaning of a field
//! changes: a daemon adopts pinned maps only when it is the same.

mod backend;
mod counters;
mod evidence;
mod flow;
mod fragment;
mod nat;
mod owners;
mod peers;
mod ports;
pub mod probe;
mod service;
mod settings;
mod slot;
mod vip;

pub use backend::{Backend, backend_flags};
pub use counters::{Answer, BACKEND_COUNTERS_LEN, BackendCounters, TOTALS_LEN, Totals};
pub use evidence::{EVIDENCE_LEN, Evidence, SYN_CELLS, SynCell, SynMark, Trouble};
pub use flow::{FlowEntry, FlowKey, FlowOwner, FlowSeen, FlowState};
pub use fragment::{FRAGMENTED_PACKETS, FragmentKey, FragmentWay};
pub use nat::{
    Draft, Handoff, MAX_POOLS, NAT_EVENT_BYTES, NAT_WAYS, NarrowBody, NarrowBucket, NatBegin,
    NatBody, NatBucket, NatEntry, NatHop, NatLine, NatMeta, NatRest, NatSettings, NatState,
    POOL_ADDRESSES, Pool, WideBody, WideBucket, mac_of, mac_word,
};
pub use owners::{Owners, SEE_WORD, SLOTS_PER_OWNERS, SlotStore};
pub use peers::{PEERS, Peer, Peers};
pub use ports::{PORT_WAYS, PortBucket, PortEntry};
pub use probe::{MAX_PROBE_WAYS, PROBE_PORTS, ProbePort, ProbeWay};
pub use service::{Service, Table, service_flags};
pub use settings::{Budget, BudgetState, Settings, features};
pub use slot::{ASK_OLD, NO_BACKEND, SlotWord};
pub use vip::{Unserved, VIP_WAYS, VipBucket, VipEntry};

/// Version of everything in this module.
pub const ABI_VERSION: u32 = 4;

/// Names of the maps in the object (at most 15 bytes: the kernel cuts the rest).
pub mod map_names {
    pub const SETTINGS: &str = "SETTINGS";
    pub const VIPS: &str = "VIPS";
    pub const PORTS: &str = "PORTS";
    pub const SERVICES: &str = "SERVICES";
    pub const SLOTS: &str = "SLOTS";
    pub const OWNERS: &str = "OWNERS";
    pub const INSERT_FAILED: &str = "INSERT_FAILED";
    pub const BACKENDS: &str = "BACKENDS";
    pub const FLOWS: &str = "FLOWS";
    pub const TOTALS: &str = "TOTALS";
    pub const BACKEND_STATS: &str = "BACKEND_STATS";
    pub const BUDGETS: &str = "BUDGETS";
    pub const NAT_SETTINGS: &str = "NAT_SETTINGS";
    pub const POOLS: &str = "POOLS";
    pub const NARROW: &str = "NARROW";
    pub const NARROW_NEW: &str = "NARROW_NEW";
    pub const WIDE: &str = "WIDE";
    pub const WIDE_NEW: &str = "WIDE_NEW";
    pub const NAT_EVENTS: &str = "NAT_EVENTS";
    pub const HANDOFF: &str = "HANDOFF";
    pub const PROGRAMS: &str = "PROGRAMS";
    pub const FRAGMENTS: &str = "FRAGMENTS";
    pub const PROBE_WAYS: &str = "PROBE_WAYS";
    pub const PROBE_PORTS: &str = "PROBE_PORTS";
    pub const SOCKET_PEERS: &str = "SOCKET_PEERS";
    pub const EVIDENCE: &str = "EVIDENCE";
    pub const SYN_SKETCH: &str = "SYN_SKETCH";
}

/// Buckets of the VIP table; a power of two.
pub const VIP_BUCKETS: u32 = 1 << 16;
/// VIPs the daemon accepts: few enough that two choices always find room.
pub const MAX_VIPS: u32 = 4096;
/// Buckets of the port table; a power of two.
pub const PORT_BUCKETS: u32 = 1 << 15;
/// (VIP, port, protocol) triples the daemon accepts.
pub const MAX_PORTS: u32 = 32_768;
/// Services, one entry each.
pub const MAX_SERVICES: u32 = 4096;
/// (service, backend) pairs, one entry each. The topmost ids are reserved,
/// see [`NO_BACKEND`], [`ASK_OLD`] and [`SEE_WORD`].
pub const MAX_BACKENDS: u32 = 65_504;
/// Slots of all services together, unless set otherwise at load.
pub const DEFAULT_SLOT_SPACE: u32 = 4 << 20;
/// Slots that share one stamp of the last failed insert. Sharing errs on the
/// safe side: a failure delays its neighbours' changes too.
pub const SLOTS_PER_FAIL_STAMP: u32 = 64;
/// Flow entries, unless set otherwise at load.
pub const DEFAULT_FLOW_ENTRIES: u32 = 262_144;
