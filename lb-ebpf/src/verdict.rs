//! The end of the way: the verdict is counted and told to the driver.

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_redirect;
use lb_common::abi::{Answer, Totals};
use lb_common::datapath::{Egress, Verdict};
use lb_common::reason::DropReason;

/// Every packet passes here once: `forwarded`, `passed` or one of `dropped`.
#[inline(always)]
pub fn conclude(verdict: Verdict, totals: *mut Totals) -> u32 {
    // SAFETY: `totals` is a per-CPU map element; XDP programs are not preempted
    // by each other.
    let totals = unsafe { &mut *totals };
    match verdict {
        Verdict::Forward(Egress::Same) => {
            totals.forwarded += 1;
            xdp_action::XDP_TX
        }
        Verdict::Forward(Egress::Other(interface)) => redirect(interface, totals),
        Verdict::Pass => {
            totals.passed += 1;
            xdp_action::XDP_PASS
        }
        Verdict::Drop(reason) => {
            count_drop(totals, reason);
            xdp_action::XDP_DROP
        }
        Verdict::Answer(answer, reason) => {
            count_drop(totals, reason);
            count_answer(totals, answer);
            xdp_action::XDP_TX
        }
        Verdict::Echo => {
            totals.forwarded += 1;
            count_answer(totals, Answer::EchoReply);
            xdp_action::XDP_TX
        }
    }
}

#[inline(always)]
fn redirect(interface: u32, totals: &mut Totals) -> u32 {
    // SAFETY: plain values.
    let action = unsafe { bpf_redirect(interface, 0) } as u32;
    if action == xdp_action::XDP_REDIRECT {
        totals.forwarded += 1;
    } else {
        count_drop(totals, DropReason::RedirectFailed);
    }
    action
}

#[inline(always)]
fn count_drop(totals: &mut Totals, reason: DropReason) {
    if let Some(counter) = totals.dropped.get_mut(reason as usize) {
        *counter += 1;
    }
}

#[inline(always)]
fn count_answer(totals: &mut Totals, answer: Answer) {
    if let Some(counter) = totals.answers.get_mut(answer as usize) {
        *counter += 1;
    }
}
