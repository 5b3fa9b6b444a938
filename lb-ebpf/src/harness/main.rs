//! The bench's harness: makes the next packet, then tail-calls the program
//! under test.
//!
//! `BPF_PROG_TEST_RUN` with a repeat count hands a program what its last run
//! left behind: another length, other bytes. So that every run measures the
//! path it claims, this program puts length and headers back, and then gives
//! the packet the source of one of many flows.
#![no_std]
#![no_main]

mod pattern;

use aya_ebpf::bindings::{BPF_F_MMAPABLE, xdp_action};
use aya_ebpf::btf_maps::{Array, ProgramArray};
use aya_ebpf::helpers::generated::bpf_xdp_adjust_head;
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use pattern::{Ends, HEADER, HEADER_V6, MOST_FLOWS, Pattern, TARGETS, V4, V6};

#[btf_map]
static PATTERN: Array<Pattern, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Ends of packets whose flows another program chose.
#[btf_map]
static ENDS: Array<Ends, { MOST_FLOWS as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

#[btf_map]
static TARGET: ProgramArray<{ TARGETS as usize }> = ProgramArray::new();

/// Restores the packet and tail-calls. Aborts only when that failed.
#[xdp]
pub fn harness(ctx: XdpContext) -> u32 {
    let Some(pattern) = PATTERN.get_ptr_mut(0) else { return xdp_action::XDP_ABORTED };
    // SAFETY: a map element; one thread runs the bench.
    let pattern = unsafe { &mut *pattern };
    if restore(&ctx, pattern).is_none() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: the context is the one the kernel passed.
    unsafe { TARGET.tail_call(&ctx, pattern.target) };
    xdp_action::XDP_ABORTED
}

/// Floor of a program that forwards.
#[xdp]
pub fn floor_tx(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_TX
}

/// Floor of a program that passes.
#[xdp]
pub fn floor_pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Floor of a program that encapsulates: room for an IPv4 header in front.
#[xdp]
pub fn floor_head(ctx: XdpContext) -> u32 {
    // SAFETY: the helper checks the headroom.
    if unsafe { bpf_xdp_adjust_head(ctx.ctx, -20) } != 0 {
        return xdp_action::XDP_ABORTED;
    }
    xdp_action::XDP_TX
}

#[inline(always)]
fn restore(ctx: &XdpContext, pattern: &mut Pattern) -> Option<()> {
    let grown = ctx.data_end() as i64 - ctx.data() as i64 - pattern.length as i64;
    if grown != 0 {
        // SAFETY: the helper checks the bounds.
        if unsafe { bpf_xdp_adjust_head(ctx.ctx, grown as i32) } != 0 {
            return None;
        }
    }
    // SAFETY: the kernel passed a valid context. Volatile: the helper moved the
    // frame.
    let (start, end) = unsafe {
        (
            (&raw const (*ctx.ctx).data).read_volatile() as usize,
            (&raw const (*ctx.ctx).data_end).read_volatile() as usize,
        )
    };
    write_header(start, end, pattern)?;
    write_ends(start, pattern)
}

/// Word by word: the compiler would call a memcpy that goes byte by byte, and
/// the bench would measure that.
#[inline(always)]
fn write_header(start: usize, end: usize, pattern: &Pattern) -> Option<()> {
    if start + HEADER > end {
        return None;
    }
    let mut i = 0;
    while i < HEADER / 8 {
        // SAFETY: the frame was found to have HEADER bytes.
        unsafe { ((start + 8 * i) as *mut u64).write_volatile(pattern.header[i]) };
        i += 1;
    }
    if pattern.v6 == 0 {
        return Some(());
    }
    if start + HEADER_V6 > end {
        return None;
    }
    while i < HEADER_V6 / 8 {
        // SAFETY: as above, with HEADER_V6 bytes.
        unsafe { ((start + 8 * i) as *mut u64).write_volatile(pattern.header[i]) };
        i += 1;
    }
    Some(())
}

#[inline(always)]
fn write_ends(start: usize, pattern: &mut Pattern) -> Option<()> {
    let packet = pattern.next;
    pattern.next = packet.wrapping_add(1);
    let at = if pattern.v6 != 0 { &V6 } else { &V4 };
    if pattern.given_ends != 0 {
        let ends = ENDS.get(pattern.index(packet))?;
        // SAFETY: all offsets lie within HEADER bytes.
        unsafe {
            ((start + at.source) as *mut u32).write_unaligned(ends.source);
            ((start + at.destination) as *mut u32).write_unaligned(ends.destination);
            ((start + at.port) as *mut u32).write_unaligned(ends.ports);
        }
        return Some(());
    }
    let (source, port) = pattern.source(packet);
    let destination = pattern.destination(packet);
    // SAFETY: as above.
    unsafe {
        ((start + at.source) as *mut u32).write_unaligned(source.to_be());
        ((start + at.destination) as *mut u32).write_unaligned(destination.to_be());
        ((start + at.port) as *mut u16).write_unaligned(port.to_be());
    }
    Some(())
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
