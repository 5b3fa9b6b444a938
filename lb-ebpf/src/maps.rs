//! The maps. Layouts are in `lb_common::abi`. The daemon writes the mapped
//! arrays through memory; the sizes of `SLOTS`, `OWNERS`, `INSERT_FAILED`,
//! `FLOWS` and the tables of translated flows are set at load.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{
    Array, HashMap, LruHashMap, PerCpuArray, ProgramArray, RingBuf, SkStorage,
};
use aya_ebpf::macros::btf_map;
use lb_common::abi::{
    self, Backend, BackendCounters, Budget, BudgetState, Evidence, FlowEntry, FlowKey, FragmentKey,
    FragmentWay, Handoff, NarrowBucket, NatBegin, NatSettings, Peers, Pool, PortBucket, Service,
    Settings, Totals, VipBucket, WideBucket,
};
use lb_common::datapath::Next;

const MAPPED: usize = BPF_F_MMAPABLE as usize;

#[btf_map]
pub static SETTINGS: Array<Settings, 1, MAPPED> = Array::new();

#[btf_map]
pub static VIPS: Array<VipBucket, { abi::VIP_BUCKETS as usize }, MAPPED> = Array::new();

#[btf_map]
pub static PORTS: Array<PortBucket, { abi::PORT_BUCKETS as usize }, MAPPED> = Array::new();

#[btf_map]
pub static SERVICES: Array<Service, { abi::MAX_SERVICES as usize }, MAPPED> = Array::new();

#[btf_map]
pub static SLOTS: Array<u64, { abi::DEFAULT_SLOT_SPACE as usize }, MAPPED> = Array::new();

#[btf_map]
pub static OWNERS: Array<
    u64,
    { (abi::DEFAULT_SLOT_SPACE / abi::SLOTS_PER_OWNERS) as usize },
    MAPPED,
> = Array::new();

/// When an insert last failed, in ticks; one stamp per group of slots.
#[btf_map]
pub static INSERT_FAILED: Array<
    u64,
    { (abi::DEFAULT_SLOT_SPACE / abi::SLOTS_PER_FAIL_STAMP) as usize },
    MAPPED,
> = Array::new();

#[btf_map]
pub static BACKENDS: Array<Backend, { abi::MAX_BACKENDS as usize }, MAPPED> = Array::new();

#[btf_map]
pub static FLOWS: HashMap<FlowKey, FlowEntry, { abi::DEFAULT_FLOW_ENTRIES as usize }> =
    HashMap::new();

#[btf_map]
pub static TOTALS: PerCpuArray<Totals, 1> = PerCpuArray::new();

#[btf_map]
pub static BACKEND_STATS: PerCpuArray<BackendCounters, { abi::MAX_BACKENDS as usize }> =
    PerCpuArray::new();

#[btf_map]
pub static BUDGETS: PerCpuArray<BudgetState, { Budget::COUNT }> = PerCpuArray::new();

#[btf_map]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentWay, { abi::FRAGMENTED_PACKETS as usize }> =
    LruHashMap::new();

/// The programs that packets are handed to, by `datapath::Next`.
#[btf_map]
pub static PROGRAMS: ProgramArray<{ Next::COUNT }> = ProgramArray::new();

#[btf_map]
pub static HANDOFF: PerCpuArray<Handoff, 1> = PerCpuArray::new();

#[btf_map]
pub static NAT_SETTINGS: Array<NatSettings, 1, MAPPED> = Array::new();

#[btf_map]
pub static POOLS: Array<Pool, { abi::MAX_POOLS as usize }, MAPPED> = Array::new();

/// Flows that began, for the daemon's log.
#[btf_map]
pub static NAT_EVENTS: RingBuf<NatBegin, { abi::NAT_EVENT_BYTES as usize }> = RingBuf::new();

#[btf_map]
pub static NARROW: Array<NarrowBucket, 1, MAPPED> = Array::new();

#[btf_map]
pub static NARROW_NEW: Array<NarrowBucket, 1, MAPPED> = Array::new();

#[btf_map]
pub static WIDE: Array<WideBucket, 1, MAPPED> = Array::new();

#[btf_map]
pub static WIDE_NEW: Array<WideBucket, 1, MAPPED> = Array::new();

/// By the number of the backend.
#[btf_map]
pub static EVIDENCE: Array<Evidence, { abi::MAX_BACKENDS as usize }, MAPPED> = Array::new();

/// Cells, see `abi::SynCell`.
#[btf_map]
pub static SYN_SKETCH: Array<u64, { abi::SYN_CELLS as usize }> = Array::new();

/// VIPs that sockets of this host named.
#[btf_map]
pub static SOCKET_PEERS: SkStorage<Peers> = SkStorage::new();
