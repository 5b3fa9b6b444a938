//! The maps. Layouts are in `lb_common::abi`. The daemon writes the mapped
//! arrays through memory; the sizes of `SLOTS`, `OWNERS`, `INSERT_FAILED` and
//! `FLOWS` may be set at load.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::macros::btf_map;
use lb_common::abi::{
    self, Backend, BackendCounters, Budget, BudgetState, FlowEntry, FlowKey, PortBucket, Service,
    Settings, Totals, VipBucket,
};

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
