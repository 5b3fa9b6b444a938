//! A new flow: the backend that its slot names, and a tuple of its own.

use super::super::parse::TCP;
use super::super::{Packet, Verdict, answer, classify};
use super::{NatTables, egress, hop_of, refuse};
use crate::abi::{Backend, Handoff, NatState, Service, backend_flags, service_flags};
use crate::hash::{FlowHash, split, v4_mapped};
use crate::nat::flow::{self, NewFlow, Opened, Source};
use crate::nat::table::Table;
use crate::reason::DropReason;

/// The first packet of a flow.
#[inline(always)]
pub fn open<P: Packet, T: NatTables>(packet: &mut P, tables: &T, handoff: &mut Handoff) -> Verdict {
    let chosen = choose(packet, tables, handoff);
    if chosen != GO_ON {
        return chosen;
    }
    match claim(tables, handoff) {
        Opened::Done => {
            if tables.nat_settings().is_some_and(|settings| settings.log != 0) {
                tables.log_begin(handoff);
            }
            egress::to_backend(packet, tables, handoff)
        }
        Opened::Busy => Verdict::drop(DropReason::NatBusy),
        Opened::Exhausted => {
            tables.count_refused(handoff.draft.forward.backend);
            Verdict::drop(DropReason::NatExhausted)
        }
        Opened::Full => Verdict::drop(DropReason::NatFull),
    }
}

/// Nothing is decided yet.
const GO_ON: Verdict = Verdict::PASS;

/// Drafts a flow to the backend that its slot names. Apart from claiming its
/// tuple, which takes most of the stack.
#[inline(never)]
fn choose<P: Packet, T: NatTables>(packet: &mut P, tables: &T, handoff: &mut Handoff) -> Verdict {
    let Some(service) = tables.service(handoff.service) else {
        return Verdict::drop(DropReason::NoBackend);
    };
    let slot = FlowHash::of(&handoff.flow, service.table.key).slot(service.table.count);
    let Some(word) = tables.slot(service.table.base.wrapping_add(slot)) else {
        return Verdict::drop(DropReason::NoBackend);
    };
    let id = word.current();
    let Some(backend) = tables.backend(id) else {
        return without_backend(packet, tables, handoff);
    };
    if backend.flags & backend_flags::DEAD != 0 {
        if service.flags & service_flags::SILENT_ON_DEAD != 0 {
            return Verdict::drop(DropReason::DeadBackend);
        }
        return refuse(packet, tables, handoff, DropReason::DeadBackend);
    }
    let is_local = backend.flags & backend_flags::LOCAL != 0;
    if backend.flags & backend_flags::RESOLVED == 0 && !is_local {
        tables.count_unresolved(id);
        return Verdict::drop(DropReason::NoNextHop);
    }
    if is_local && (handoff.v6 != 0) != (backend.flags & backend_flags::OUTER_V6 != 0) {
        // It would see its client's address, which has the other family.
        return Verdict::drop(DropReason::NatUntranslatable);
    }
    let keep = is_local || keeps_client(tables, service, handoff.source);
    draft(packet, tables.now(), handoff, (backend, id), keep);
    GO_ON
}

#[inline(never)]
fn without_backend<P: Packet, T: NatTables>(
    packet: &mut P,
    tables: &T,
    handoff: &Handoff,
) -> Verdict {
    let (arrival, kind) = (handoff.arrival(), handoff.packet_kind());
    answer::without_backend(packet, tables, &arrival, handoff.service, kind)
}

/// Whether the backend is to see the client's own address. Not where the client
/// is a backend itself: it would be answered directly, past us.
#[inline(never)]
fn keeps_client<T: NatTables>(tables: &T, service: &Service, source: [u64; 2]) -> bool {
    if service.flags & service_flags::KEEP_CLIENT == 0 {
        return false;
    }
    !classify::is_dnat_backend(tables, source)
}

/// What is known of the flow before it has a tuple.
#[inline(always)]
fn draft<P: Packet>(
    packet: &P,
    now: u64,
    handoff: &mut Handoff,
    (backend, id): (&Backend, u16),
    keep: bool,
) {
    let v6 = backend.flags & backend_flags::OUTER_V6 != 0;
    let Handoff { flow, service, source, draft, keeps_client, .. } = handoff;
    draft.forward.to.source = address_of(&backend.outer_source, v6);
    draft.forward.to.destination = address_of(&backend.outer_destination, v6);
    draft.forward.to.ports = ports(flow.ports, backend.port);
    draft.forward.backend = id;
    draft.forward.service = *service;
    draft.forward.began = now;
    // A backend that is its own client would answer itself past us, and this
    // host an address of its own.
    *keeps_client = (keep && draft.forward.to.destination != *source) as u8;
    draft.reverse.hop = hop_of(packet);
}

#[inline(always)]
fn claim<T: NatTables>(tables: &T, handoff: &mut Handoff) -> Opened {
    let Some(settings) = tables.nat_settings() else { return Opened::Full };
    let (Some(service), Some(backend)) =
        (tables.service(handoff.service), tables.backend(handoff.draft.forward.backend))
    else {
        return Opened::Full;
    };
    let now = tables.now();
    let v6 = backend.flags & backend_flags::OUTER_V6 != 0;
    if v6 || handoff.v6 != 0 {
        let flows = flow::Tables { main: tables.wide(), new: tables.wide_new(), settings, now };
        claim_in(tables, &flows, handoff, (service, backend))
    } else {
        let flows = flow::Tables { main: tables.narrow(), new: tables.narrow_new(), settings, now };
        claim_in(tables, &flows, handoff, (service, backend))
    }
}

#[inline(never)]
fn claim_in<'a, T, M, N>(
    tables: &T,
    flows: &flow::Tables<'a, M, N>,
    handoff: &mut Handoff,
    (service, backend): (&Service, &Backend),
) -> Opened
where
    T: NatTables,
    M: Table<Body: 'a>,
    N: Table<Body = M::Body>,
{
    let Some(pool) = tables.pool(service.pool) else { return Opened::Exhausted };
    let v6 = backend.flags & backend_flags::OUTER_V6 != 0;
    let is_tcp = handoff.protocol == TCP;
    let Handoff { flow: key, draft, keeps_client, .. } = handoff;
    let life = if is_tcp { service.half_open } else { service.udp_idle };
    let keep = *keeps_client != 0;
    let mut flow = NewFlow {
        key,
        hash: flows.hash(key),
        draft,
        state: if is_tcp { NatState::Opening } else { NatState::UdpNew },
        expires: flows.now + life as u64,
        source: Source { pool, keep, v6 },
    };
    flows.open(&mut flow)
}

/// The address in an entry's sixteen bytes.
#[inline(always)]
fn address_of(bytes: &[u8; 16], v6: bool) -> [u64; 2] {
    if v6 { split(*bytes) } else { v4_mapped([bytes[0], bytes[1], bytes[2], bytes[3]]) }
}

/// With the backend's port in place of the service's.
#[inline(always)]
fn ports(of_client: u64, port: u16) -> u64 {
    match port {
        0 => of_client,
        _ => of_client & !0xffff_0000 | (port.swap_bytes() as u64) << 16,
    }
}
