//! Which backend gets the packet: the flow's hash names a slot, the slot its
//! owner; only slots in transition ask the flow table.

use super::parse::UDP;
use super::{FlowContext, Subject, Tables};
use crate::abi::{SEE_WORD, Service, backend_flags, service_flags};
use crate::hash::{FlowHash, FlowWords};
use crate::reason::DropReason;
use crate::transition::{self, PacketKind, Steer};

pub enum Selected {
    Backend(u16, FlowHash),
    /// The flow's owner is dead: tell the client.
    Reset,
    Refused(DropReason),
    /// The flow may be a translated one.
    Nat,
}

#[inline(always)]
pub fn backend<T: Tables>(tables: &T, subject: &Subject) -> Selected {
    let Subject { service: service_id, flow, kind } = subject;
    let Some(service) = tables.service(*service_id) else {
        return Selected::Refused(DropReason::NoBackend);
    };
    // One test for the usual case.
    let handed_over = if T::TRANSLATES { service_flags::NAT_LOOKUP } else { 0 };
    if service.flags & (service_flags::USED | handed_over) != service_flags::USED {
        return match service.flags & service_flags::USED {
            0 => Selected::Refused(DropReason::NoBackend),
            _ => Selected::Nat,
        };
    }
    let hash = FlowHash::of(flow, service.table.key);
    let slot = service.table.base.wrapping_add(hash.slot(service.table.count));
    let Some(mut owner) = tables.owner(slot) else {
        return Selected::Refused(DropReason::NoBackend);
    };
    if owner == SEE_WORD {
        let Some(word) = tables.slot(slot) else {
            return Selected::Refused(DropReason::NoBackend);
        };
        if word.look_up() {
            let context = FlowContext { service, slot, word };
            return selected(in_transition(tables, *kind, flow, &context), hash);
        }
        // The slot goes to rest or leaves it this moment.
        owner = word.current();
    }
    at_rest(tables, service, owner, *kind, hash)
}

/// Asks the flow table. Apart from the way at rest, which it would slow down
/// even where it is not taken.
#[inline(never)]
fn in_transition<T: Tables>(
    tables: &T,
    kind: Option<PacketKind>,
    flow: &FlowWords,
    context: &FlowContext<'_>,
) -> Steer {
    let FlowContext { service, word, .. } = *context;
    let mut entry = tables.flow(flow, context);
    match kind {
        Some(kind) => transition::steer(word, kind, service, tables.now(), &mut entry),
        None => {
            Steer::To(transition::locate(word, data_of(flow), service, tables.now(), &mut entry))
        }
    }
}

/// Nothing is read or written for the flow. A dead owner is seen here only
/// until the daemon has given its slots to others.
#[inline(always)]
fn at_rest<T: Tables>(
    tables: &T,
    service: &Service,
    current: u16,
    kind: Option<PacketKind>,
    hash: FlowHash,
) -> Selected {
    let dead = tables.backend(current).is_some_and(|b| b.flags & backend_flags::DEAD != 0);
    match kind {
        Some(kind) if dead => selected(transition::dead_at_rest(kind, service), hash),
        _ => Selected::Backend(current, hash),
    }
}

#[inline(always)]
fn selected(steer: Steer, hash: FlowHash) -> Selected {
    match steer {
        Steer::To(backend) => Selected::Backend(backend, hash),
        Steer::Reset => Selected::Reset,
        Steer::Drop => Selected::Refused(DropReason::DeadBackend),
    }
}

/// The kind of packet that a message about `flow` stands for.
#[inline(always)]
fn data_of(flow: &FlowWords) -> PacketKind {
    if (flow.ports >> 32) as u8 == UDP { PacketKind::Udp } else { PacketKind::Data }
}
