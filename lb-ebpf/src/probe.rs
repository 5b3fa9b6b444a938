//! Programs for probes through the data path: out of the prober's namespace, and
//! back into it.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_redirect;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use lb_common::abi::{ProbePort, ProbeWay};
use lb_common::datapath::probe::{self, ProbeTables};
use lb_common::datapath::{Outcome, Verdict};

use crate::tables::{Maps, Uncounted};
use crate::{maps, nat, packet, verdict};

/// On this host's end of the pair: sends probes the way that client packets take.
/// Nothing else leaves the namespace.
#[xdp]
pub fn lb_probe(ctx: XdpContext) -> u32 {
    let Some(handoff) = nat::handoff() else { return xdp_action::XDP_ABORTED };
    let verdict = probe::send(&mut packet::Frame::new(&ctx), &Uncounted {}, handoff);
    match verdict.outcome() {
        Outcome::Redirect => redirect(verdict),
        _ => xdp_action::XDP_DROP,
    }
}

/// Takes answers to the prober. Packets come from `lb_xdp`.
#[xdp]
pub fn lb_probe_answer(ctx: XdpContext) -> u32 {
    let Some(totals) = maps::TOTALS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    let Some(handoff) = nat::handoff() else { return xdp_action::XDP_ABORTED };
    let verdict = probe::answer(&mut packet::Frame::new(&ctx), &Maps {}, handoff);
    if verdict.outcome() == Outcome::Redirect {
        // To this host, as far as clients are concerned.
        // SAFETY: a per-CPU element; XDP programs are not preempted by each other.
        unsafe { (*totals).passed += 1 };
        return redirect(verdict);
    }
    verdict::finish(&ctx, verdict, totals)
}

/// On the namespace's end: lets everything in. Without a program there, nothing
/// that is redirected to the pair arrives.
#[xdp]
pub fn lb_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

#[inline(always)]
fn redirect(verdict: Verdict) -> u32 {
    // SAFETY: plain values.
    unsafe { bpf_redirect(verdict.interface(), 0) as u32 }
}

impl<const TRANSLATES: bool, const COUNTS: bool> ProbeTables
    for crate::tables::All<TRANSLATES, COUNTS>
{
    #[inline(always)]
    fn probe_way(&self, number: u16) -> Option<&ProbeWay> {
        maps::PROBE_WAYS.get(number as u32)
    }

    #[inline(always)]
    fn probe_port(&self, index: u16) -> ProbePort {
        match maps::PROBE_PORTS.get_ptr(index as u32) {
            // SAFETY: a map element stays while the program runs; volatile, since
            // it may be written meanwhile and must be read once.
            Some(port) => unsafe { port.read_volatile() },
            None => ProbePort(0),
        }
    }

    #[inline(always)]
    fn set_probe_port(&self, index: u16, port: ProbePort) {
        if let Some(place) = maps::PROBE_PORTS.get_ptr_mut(index as u32) {
            // SAFETY: as above; written in one store.
            unsafe { place.write_volatile(port) };
        }
    }
}
