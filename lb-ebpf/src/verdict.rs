//! The end of the way: the verdict is counted and told to the driver.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_redirect;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::warn;
use lb_common::abi::{Budget, Totals};
use lb_common::datapath::{Outcome, Tables, Verdict};
use lb_common::reason::DropReason;

use crate::maps;
use crate::tables::Maps;

/// Hands the packet on, or concludes.
#[inline(always)]
pub fn finish(ctx: &XdpContext, verdict: Verdict, totals: *mut Totals) -> u32 {
    if verdict.outcome() == Outcome::Next {
        // SAFETY: the context is the one the kernel passed.
        unsafe { maps::PROGRAMS.tail_call(ctx, verdict.next_program()) };
    }
    conclude(ctx, verdict, totals)
}

/// Every packet passes here once: `forwarded`, `passed` or one of `dropped`.
#[inline(always)]
pub fn conclude(ctx: &XdpContext, verdict: Verdict, totals: *mut Totals) -> u32 {
    // SAFETY: `totals` is a per-CPU map element; XDP programs are not preempted
    // by each other.
    let totals = unsafe { &mut *totals };
    match verdict.outcome() {
        Outcome::Pass => {
            totals.passed += 1;
            xdp_action::XDP_PASS
        }
        Outcome::Transmit => {
            totals.forwarded += 1;
            xdp_action::XDP_TX
        }
        Outcome::Redirect => redirect(ctx, verdict.interface(), totals),
        // Nobody is left to hand over to.
        Outcome::Next => {
            count_drop(totals, DropReason::NatUnavailable as usize);
            xdp_action::XDP_DROP
        }
        Outcome::Drop => {
            count_drop(totals, verdict.reason());
            log_rare(ctx, verdict.reason());
            xdp_action::XDP_DROP
        }
        Outcome::Answer => {
            count_drop(totals, verdict.reason());
            count_answer(totals, verdict.answer_kind());
            xdp_action::XDP_TX
        }
        Outcome::Echo => {
            totals.forwarded += 1;
            count_answer(totals, verdict.answer_kind());
            xdp_action::XDP_TX
        }
    }
}

#[inline(always)]
fn redirect(ctx: &XdpContext, interface: u32, totals: &mut Totals) -> u32 {
    // Without flags the helper has nothing to refuse (Linux 6.18); a redirect that
    // cannot be carried out fails after the verdict, where drivers count it.
    // SAFETY: plain values.
    let action = unsafe { bpf_redirect(interface, 0) } as u32;
    if action == xdp_action::XDP_REDIRECT {
        totals.forwarded += 1;
    } else {
        count_drop(totals, DropReason::RedirectFailed as usize);
        log_rare(ctx, DropReason::RedirectFailed as usize);
    }
    action
}

/// Tells the daemon's log of drops that should not happen, within a budget.
#[inline(never)]
fn log_rare(ctx: &XdpContext, reason: usize) {
    const NO_NEXT_HOP: usize = DropReason::NoNextHop as usize;
    const NO_HEADROOM: usize = DropReason::NoHeadroom as usize;
    const REDIRECT_FAILED: usize = DropReason::RedirectFailed as usize;
    if !matches!(reason, NO_NEXT_HOP | NO_HEADROOM | REDIRECT_FAILED)
        || !(Maps {}).take_token(Budget::Log)
    {
        return;
    }
    match reason {
        NO_NEXT_HOP => warn!(ctx, "packet dropped: its backend's next hop is not known"),
        NO_HEADROOM => warn!(ctx, "packet dropped: no room in the frame for an outer header"),
        _ => warn!(ctx, "packet dropped: the kernel would not redirect it"),
    }
}

#[inline(always)]
fn count_drop(totals: &mut Totals, reason: usize) {
    if let Some(counter) = totals.dropped.get_mut(reason) {
        *counter += 1;
    }
}

#[inline(always)]
fn count_answer(totals: &mut Totals, kind: usize) {
    if let Some(counter) = totals.answers.get_mut(kind) {
        *counter += 1;
    }
}
