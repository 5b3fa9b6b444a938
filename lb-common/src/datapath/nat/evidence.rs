//! Trouble found from translated flows, which are seen from both sides: SYNs that
//! come again although nothing was answered, SYNs that are refused, and first
//! packets that did not arrive.

use super::super::evidence::{network, note};
use super::{MESSAGE, NatTables, Packet};
use crate::abi::{Handoff, NatState, Service, Trouble};
use crate::transition::PacketKind;

/// Whether a packet of a flow that was found can say something of its backend.
#[inline(always)]
pub fn may_be(handoff: &Handoff) -> bool {
    handoff.kind == MESSAGE
        || matches!(handoff.packet_kind(), Some(PacketKind::Syn | PacketKind::Rst))
}

/// Notes what it says. Whose flow it is, and how that stood, is in the draft.
#[inline(never)]
pub fn weigh<P: Packet, T: NatTables>(packet: &P, tables: &T, handoff: &Handoff) {
    let forward = &handoff.draft.forward;
    let Some(service) = tables.service(forward.service) else { return };
    if service.repeat_after == 0 {
        return;
    }
    let of_client = handoff.is_answer == 0;
    let state = NatState::of(forward.state);
    let trouble = match (handoff.packet_kind(), state) {
        (Some(PacketKind::Syn), NatState::Opening) if of_client => {
            repeated(handoff, service, tables.now())
        }
        (Some(PacketKind::Rst), NatState::Opening) if !of_client => Some(Trouble::Refused),
        (None, NatState::Opening | NatState::UdpNew) if !of_client => unreachable(packet, handoff),
        _ => None,
    };
    if let Some(trouble) = trouble {
        let client = if of_client { handoff.source } else { forward.to.destination };
        note(tables, forward.backend, trouble, network(client, service.table.key));
    }
}

/// Copies within moments are of the network's making and prove nothing.
#[inline(always)]
fn repeated(handoff: &Handoff, service: &Service, now: u64) -> Option<Trouble> {
    let forward = &handoff.draft.forward;
    if now.wrapping_sub(forward.began) < service.repeat_after as u64 {
        return None;
    }
    // The first packet is not counted.
    Some(if forward.packets == 0 { Trouble::Unanswered } else { Trouble::RepeatedAgain })
}

/// Whether the message says that the flow's first packet did not arrive.
#[inline(always)]
fn unreachable<P: Packet>(packet: &P, handoff: &Handoff) -> Option<Trouble> {
    const FRAGMENTATION_NEEDED: u8 = 4;
    let says_so = match (handoff.v6 != 0, packet.read::<2>(handoff.upper as usize & 0xfff)?) {
        (false, [3, code]) => code != FRAGMENTATION_NEEDED,
        (true, [1, _]) => true,
        _ => false,
    };
    says_so.then_some(Trouble::Unreachable)
}
