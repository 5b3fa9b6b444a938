//! The XDP program: binds the data path of `lb-common` to frames and BPF maps.
//! The steps themselves are in `lb_common::datapath`.
#![no_std]
#![no_main]

mod buffer;
mod flows;
mod local_clients;
mod maps;
mod nat;
mod own_host;
mod packet;
mod probe;
mod tables;
mod verdict;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::bpf_jiffies64;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use lb_common::datapath;

/// The data path.
#[xdp]
pub fn lb_xdp(ctx: XdpContext) -> u32 {
    let Some(totals) = maps::TOTALS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: a per-CPU element; XDP programs are not preempted by each other.
    unsafe { (*totals).received += 1 };
    let verdict = datapath::process(&mut packet::Frame::new(&ctx), &tables::Maps {});
    verdict::finish(&ctx, verdict, totals)
}

/// Finds translated flows. Packets come from `lb_xdp`.
#[xdp]
pub fn lb_nat(ctx: XdpContext) -> u32 {
    let Some(totals) = maps::TOTALS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    let Some(handoff) = nat::handoff() else { return xdp_action::XDP_ABORTED };
    let verdict = datapath::nat::process(&mut packet::Frame::new(&ctx), &tables::Maps {}, handoff);
    verdict::finish(&ctx, verdict, totals)
}

/// Opens translated flows. Packets come from `lb_nat`.
#[xdp]
pub fn lb_open(ctx: XdpContext) -> u32 {
    let Some(totals) = maps::TOTALS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    let Some(handoff) = nat::handoff() else { return xdp_action::XDP_ABORTED };
    let verdict = datapath::nat::open(&mut packet::Frame::new(&ctx), &tables::Maps {}, handoff);
    verdict::conclude(&ctx, verdict, totals)
}

/// Follows the fragments of translated packets. They come from `lb_xdp`.
#[xdp]
pub fn lb_fragment(ctx: XdpContext) -> u32 {
    let Some(totals) = maps::TOTALS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    let verdict = datapath::nat::follow_fragment(&mut packet::Frame::new(&ctx), &tables::Maps {});
    verdict::finish(&ctx, verdict, totals)
}

/// Takes packets past translation. They come from `lb_nat`, counted already.
#[xdp]
pub fn lb_direct(ctx: XdpContext) -> u32 {
    let Some(totals) = maps::TOTALS.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    let verdict = datapath::process(&mut packet::Frame::new(&ctx), &tables::Direct {});
    verdict::conclude(&ctx, verdict, totals)
}

/// The clock of the data path, for the daemon: run by `BPF_PROG_TEST_RUN`, its
/// return value is the low half of the jiffies counter.
#[xdp]
pub fn lb_clock(_ctx: XdpContext) -> u32 {
    // SAFETY: takes no argument and only reads a counter.
    unsafe { bpf_jiffies64() as u32 }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
