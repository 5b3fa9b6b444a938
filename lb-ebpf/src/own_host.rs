//! The program on the way out: answers of translated flows whose backend is
//! this host itself get the VIP as their source again.

use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use lb_common::abi::Handoff;
use lb_common::datapath::{Packet, nat::own_host};
use lb_common::hash::{FlowWords, join, v4_of};

use crate::buffer::{Buffer, Checksum};
use crate::nat;
use crate::tables::Maps;

const TCP: u8 = 6;
/// Frame offsets of the IPv4 header's checksum and source, and of the IPv6
/// header's source.
const V4_CHECKSUM: usize = 14 + 10;
const V4_SOURCE: usize = 14 + 12;
const V6_SOURCE: usize = 14 + 8;

/// Other programs see the packet after this one.
#[classifier]
pub fn lb_egress(ctx: TcContext) -> i32 {
    // The hand-over of this CPU is free: nothing of XDP runs amid a send.
    let Some(handoff) = nat::handoff() else { return TC_ACT_UNSPEC };
    let mut packet = Buffer::new(&ctx);
    if !own_host::is_answer(&packet, &Maps {}, handoff) {
        return TC_ACT_UNSPEC;
    }
    match rewrite(&mut packet, handoff) {
        Some(()) => TC_ACT_UNSPEC,
        // Half changed, it is of no use to anybody.
        None => TC_ACT_SHOT,
    }
}

/// Gives the packet the source that its draft says, and both ports.
#[inline(never)]
fn rewrite(packet: &mut Buffer, handoff: &Handoff) -> Option<()> {
    let to = &handoff.draft.forward.to;
    let upper = handoff.upper as usize & 0xfff;
    let udp = handoff.protocol != TCP;
    let checksum = Checksum { at: upper as u32 + if udp { 6 } else { 16 }, udp };
    if handoff.v6 == 0 {
        source_v4(packet, &checksum, to)?;
    } else {
        source_v6(packet, &checksum, to)?;
    }
    let ports = (to.ports as u32).to_le_bytes();
    let change = [packet.read::<4>(upper)?, ports];
    packet.update_checksum(&checksum, change, false)?;
    packet.write(upper, ports)
}

#[inline(always)]
fn source_v4(packet: &mut Buffer, checksum: &Checksum, to: &FlowWords) -> Option<()> {
    let source = v4_of(to.source);
    let change = [packet.read::<4>(V4_SOURCE)?, source];
    packet.update_checksum(checksum, change, true)?;
    packet.replace_in_ipv4(V4_SOURCE, V4_CHECKSUM, source)
}

#[inline(always)]
fn source_v6(packet: &mut Buffer, checksum: &Checksum, to: &FlowWords) -> Option<()> {
    let source = join(to.source);
    let change = [packet.read::<16>(V6_SOURCE)?, source];
    packet.update_checksum_v6(checksum, change)?;
    packet.write(V6_SOURCE, source)
}
