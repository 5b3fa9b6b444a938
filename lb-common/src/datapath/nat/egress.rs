//! A translated packet leaves: whether it fits, the rewrite, the next hop.

use super::super::forward::{Egress, link_addresses};
use super::super::{Packet, Tables, Verdict, answer};
use super::{NatTables, fragment, rewrite};
use crate::abi::{Backend, Handoff, NatHop, backend_flags, mac_of, mac_word};
use crate::hash::is_v4;
use crate::reason::DropReason;
use crate::transition::PacketKind;

/// Bytes by which an IPv6 header is longer than an IPv4 one.
const FAMILY_DIFFERENCE: u32 = 20;
/// Every IPv6 link takes that much (RFC 8200, section 5).
const LEAST_V6_MTU: u32 = 1280;

/// A client's packet, as its draft says.
#[inline(never)]
pub fn to_backend<P: Packet, T: NatTables>(
    packet: &mut P,
    tables: &T,
    handoff: &Handoff,
) -> Verdict {
    let id = handoff.draft.forward.backend;
    let Some(backend) = tables.backend(id) else { return Verdict::drop(DropReason::NoBackend) };
    let is_local = backend.flags & backend_flags::LOCAL != 0;
    if backend.flags & backend_flags::RESOLVED == 0 && !is_local {
        tables.count_unresolved(id);
        return Verdict::drop(DropReason::NoNextHop);
    }
    let mtu = backend.mtu as u32;
    if length_after(handoff) > mtu {
        return too_big(packet, tables, handoff, mtu);
    }
    let bytes = packet.length();
    let is_new = matches!(handoff.packet_kind(), Some(PacketKind::Syn));
    if let Err(reason) = rewrite::packet(packet, handoff) {
        return Verdict::drop(reason);
    }
    tables.count(id, bytes, is_new);
    if handoff.is_fragment != 0 {
        let hop = if is_local { NatHop::default() } else { hop_to(backend) };
        if fragment::note(packet, tables, handoff, &hop, false).is_none() {
            return Verdict::drop(DropReason::Malformed);
        }
    }
    if is_local {
        return Verdict::PASS;
    }
    if packet.write(0, link_addresses(backend.destination_mac, backend.source_mac)).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    leave(packet, backend.ifindex)
}

/// A backend's packet, as its draft says.
#[inline(never)]
pub fn to_client<P: Packet, T: NatTables>(
    packet: &mut P,
    tables: &T,
    handoff: &Handoff,
) -> Verdict {
    let hop = &handoff.draft.reverse.hop;
    let length = length_after(handoff);
    if tables.nat_settings().is_none_or(|settings| length > settings.least_mtu) {
        let mtu = packet.mtu_of(hop.ifindex as u32);
        // 0: the interface is gone, which the driver counts.
        if mtu != 0 && length > mtu {
            return too_big(packet, tables, handoff, mtu);
        }
    }
    let bytes = packet.length();
    if let Err(reason) = rewrite::packet(packet, handoff) {
        return Verdict::drop(reason);
    }
    if packet.write(0, link_addresses(mac_of(hop.destination), mac_of(hop.source))).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    tables.count_reply(handoff.draft.forward.backend, bytes);
    if handoff.is_fragment != 0 && fragment::note(packet, tables, handoff, hop, true).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    leave(packet, hop.ifindex as u32)
}

/// The way to a backend whose next hop is known.
#[inline(always)]
pub fn hop_to(backend: &Backend) -> NatHop {
    NatHop {
        destination: mac_word(backend.destination_mac),
        source: mac_word(backend.source_mac),
        ifindex: backend.ifindex as u64,
    }
}

#[inline(always)]
pub fn leave<P: Packet>(packet: &P, ifindex: u32) -> Verdict {
    if ifindex == packet.ingress() {
        Verdict::forward(Egress::Same)
    } else {
        Verdict::forward(Egress::Other(ifindex))
    }
}

/// Length of the packet after translation.
#[inline(always)]
fn length_after(handoff: &Handoff) -> u32 {
    match (handoff.v6 != 0, is_v4(handoff.draft.forward.to.destination)) {
        (false, false) => handoff.length + FAMILY_DIFFERENCE,
        (true, true) => handoff.length.wrapping_sub(FAMILY_DIFFERENCE),
        _ => handoff.length,
    }
}

/// Tells the sender how much would fit before translation.
#[inline(never)]
fn too_big<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    handoff: &Handoff,
    mtu: u32,
) -> Verdict {
    let mtu = match (handoff.v6 != 0, is_v4(handoff.draft.forward.to.destination)) {
        (false, false) => mtu.wrapping_sub(FAMILY_DIFFERENCE),
        (true, true) => mtu + FAMILY_DIFFERENCE,
        _ => mtu,
    };
    let mtu = if handoff.v6 != 0 && mtu < LEAST_V6_MTU { LEAST_V6_MTU } else { mtu };
    answer::too_big(packet, tables, &handoff.arrival(), mtu as u16)
}
