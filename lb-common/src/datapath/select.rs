//! Which backend gets the packet: the flow's hash names a slot, the slot its
//! owner; only slots in transition ask the flow table.

use super::{FlowContext, Tables};
use crate::abi::{NO_BACKEND, Service, SlotWord, service_flags};
use crate::hash::{FlowHash, FlowWords};
use crate::reason::DropReason;
use crate::transition::{self, PacketKind, Steer, Times};

pub enum Selected {
    Backend(u16, FlowHash),
    /// The flow's owner is dead: tell the client.
    Reset,
    Refused(DropReason),
}

/// For a packet of the flow itself.
#[inline(always)]
pub fn for_packet<T: Tables>(
    tables: &mut T,
    service_id: u16,
    flow: &FlowWords,
    kind: PacketKind,
) -> Selected {
    select(tables, service_id, flow, Some(kind))
}

/// For a message about the flow (an ICMP error): looks up, never writes.
#[inline(always)]
pub fn for_message<T: Tables>(tables: &mut T, service_id: u16, flow: &FlowWords) -> Selected {
    select(tables, service_id, flow, None)
}

#[inline(always)]
fn select<T: Tables>(
    tables: &mut T,
    service_id: u16,
    flow: &FlowWords,
    kind: Option<PacketKind>,
) -> Selected {
    let Some(service) = tables.service(service_id) else {
        return Selected::Refused(DropReason::NoBackend);
    };
    if service.flags & service_flags::USED == 0 {
        return Selected::Refused(DropReason::NoBackend);
    }
    let hash = FlowHash::of(flow, service.table.key);
    let slot = service.table.base.wrapping_add(hash.slot(service.table.count));
    let Some(word) = tables.slot(slot) else { return Selected::Refused(DropReason::NoBackend) };
    if word.look_up() {
        let service = *service;
        return in_transition(tables, &service, flow, kind, word, slot, hash);
    }
    owner(word.current(), hash)
}
