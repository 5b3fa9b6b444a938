//! The maps as the data path sees them.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use lb_common::abi::{
    Backend, Budget, Evidence, Handoff, Owners, PortBucket, SLOTS_PER_OWNERS, Service, SlotWord,
    VipBucket, features,
};
use lb_common::budget;
use lb_common::datapath::{FlowContext, Tables};
use lb_common::hash::FlowWords;
use lb_common::nat::Shared;

use crate::flows::KernelFlow;
use crate::{maps, nat};

/// The maps; for packets that go past translation with `TRANSLATES` false.
pub struct All<const TRANSLATES: bool> {}

pub type Maps = All<true>;
pub type Direct = All<false>;

#[inline(always)]
pub fn slot_word(index: u32) -> Option<SlotWord> {
    let word = maps::SLOTS.get_ptr(index)?;
    // SAFETY: a map element stays valid while the program runs; volatile, since
    // the daemon writes it meanwhile and it must be read once.
    Some(SlotWord(unsafe { word.read_volatile() }))
}

#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: takes no argument and only reads a counter.
    unsafe { bpf_jiffies64() }
}

impl<const TRANSLATES: bool> Tables for All<TRANSLATES> {
    const TRANSLATES: bool = TRANSLATES;
    type Flow<'a> = KernelFlow<'a>;

    #[inline(always)]
    fn vip_bucket(&self, index: u32) -> Option<&VipBucket> {
        maps::VIPS.get(index)
    }

    #[inline(always)]
    fn port_bucket(&self, index: u32) -> Option<&PortBucket> {
        maps::PORTS.get(index)
    }

    #[inline(always)]
    fn service(&self, id: u16) -> Option<&Service> {
        maps::SERVICES.get(id as u32)
    }

    #[inline(always)]
    fn owner(&self, slot: u32) -> Option<u16> {
        let owners = maps::OWNERS.get_ptr(slot / SLOTS_PER_OWNERS)?;
        // SAFETY: as in `slot_word`.
        Some(Owners(unsafe { owners.read_volatile() }).of(slot))
    }

    #[inline(always)]
    fn slot(&self, index: u32) -> Option<SlotWord> {
        slot_word(index)
    }

    #[inline(always)]
    fn backend(&self, id: u16) -> Option<&Backend> {
        maps::BACKENDS.get(id as u32)
    }

    #[inline(always)]
    fn count(&self, id: u16, bytes: usize, new_connection: bool) {
        let Some(counters) = maps::BACKEND_STATS.get_ptr_mut(id as u32) else { return };
        // SAFETY: a per-CPU element; XDP programs are not preempted by each other.
        unsafe {
            (*counters).packets += 1;
            (*counters).bytes += bytes as u64;
            (*counters).new_connections += new_connection as u64;
        }
    }

    #[inline(never)]
    fn count_unresolved(&self, id: u16) {
        if let Some(counters) = maps::BACKEND_STATS.get_ptr_mut(id as u32) {
            // SAFETY: as in `count`.
            unsafe { (*counters).unresolved += 1 };
        }
    }

    #[inline(always)]
    fn syn_cell(&self, index: u32) -> Option<&Shared> {
        let cell = maps::SYN_SKETCH.get_ptr(index)?;
        // SAFETY: a map element stays while the program runs; all access it as
        // `Shared`, which is a word.
        Some(unsafe { &*cell.cast() })
    }

    #[inline(always)]
    fn evidence(&self, id: u16) -> Option<&Evidence> {
        let evidence = maps::EVIDENCE.get_ptr(id as u32)?;
        // SAFETY: as in `syn_cell`.
        Some(unsafe { &*evidence })
    }

    #[inline(never)]
    fn take_token(&self, budget: Budget) -> bool {
        let kind = budget as u32;
        let Some(settings) = maps::SETTINGS.get(0) else { return false };
        let Some(state) = maps::BUDGETS.get_ptr_mut(kind) else { return false };
        let Some(rate) = settings.budget_per_second.get(kind as usize) else { return false };
        // SAFETY: a per-CPU element; XDP programs are not preempted by each other.
        unsafe { budget::take(&mut *state, now(), *rate, settings.ticks_per_second) }
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        now()
    }

    #[inline(always)]
    fn has_dnat(&self) -> bool {
        maps::SETTINGS.get(0).is_some_and(|settings| settings.features & features::DNAT != 0)
    }

    #[inline(always)]
    fn follows_fragments(&self) -> bool {
        maps::SETTINGS.get(0).is_some_and(|settings| settings.features & features::FRAGMENTS != 0)
    }

    #[inline(always)]
    fn handoff(&self) -> Option<&mut Handoff> {
        nat::handoff()
    }

    #[inline(always)]
    fn flow<'a>(&'a self, words: &'a FlowWords, context: &'a FlowContext<'a>) -> KernelFlow<'a> {
        KernelFlow::new(words, context)
    }
}
