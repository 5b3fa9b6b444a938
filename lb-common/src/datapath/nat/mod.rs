//! Translated flows (NAT): the second program's way.
//!
//! ```text
//! hand-over ─► find ─► renew ─► rewrite ─► transmit
//!               ├─ open (select, claim a tuple)
//!               └─ direct (as if the service did not translate)
//! ```
//!
//! The first program finds out whose packet it is and hands it over, so that
//! services without translation do not pay for it. Each branch is a program
//! with a stack of its own.

mod egress;
mod evidence;
mod fragment;
mod icmp;
mod icmp_families;
mod open;
pub mod own_host;
mod rewrite;

pub use fragment::process as follow_fragment;
pub use open::open;

use super::{Arrival, Network, Next, Packet, Subject, Tables, Verdict, answer};
use crate::abi::{
    Draft, FragmentKey, FragmentWay, Handoff, NarrowBody, NatBody, NatHop, NatSettings, NatState,
    Pool, Service, Unserved, VipEntry, WideBody, backend_flags, mac_word, service_flags,
};
use crate::nat::flow::{self, End, Found, Renewed};
use crate::nat::table::Table;
use crate::reason::DropReason;
use crate::transition::PacketKind;

/// Stands for the service of a packet whose port no service has.
pub const NO_SERVICE: u16 = u16::MAX;
/// [`Handoff::kind`] of a message about a flow.
const MESSAGE: u8 = 5;

/// The maps of translated flows.
pub trait NatTables: Tables {
    type Narrow: Table<Body = NarrowBody>;
    type NarrowNew: Table<Body = NarrowBody>;
    type Wide: Table<Body = WideBody>;
    type WideNew: Table<Body = WideBody>;

    fn nat_settings(&self) -> Option<&NatSettings>;
    fn pool(&self, index: u32) -> Option<&Pool>;
    /// Flows that are IPv4 on both sides.
    fn narrow(&self) -> &Self::Narrow;
    fn narrow_new(&self) -> &Self::NarrowNew;
    /// All others.
    fn wide(&self) -> &Self::Wide;
    fn wide_new(&self) -> &Self::WideNew;
    /// How the first fragment of a packet left.
    fn fragment(&self, key: &FragmentKey) -> Option<&FragmentWay>;
    fn note_fragment(&self, key: &FragmentKey, way: &FragmentWay);
    /// Counts an answer of backend `id`.
    fn count_reply(&self, id: u16, bytes: usize);
    /// A packet of a flow from before the service translated.
    fn note_direct(&self, service: u16);
    /// Counts a new flow to backend `id` that found no source.
    fn count_refused(&self, id: u16);
    /// Tells the daemon of the flow that was opened, for its log.
    fn log_begin(&self, handoff: &Handoff);
}

/// Whether a packet for a port that no service has may answer a translated flow.
#[inline(always)]
pub fn may_be_answer(vip: u64) -> bool {
    VipEntry::is_nat_source(vip) || VipEntry::is_dnat_backend(vip)
}

/// Leaves the packet for the program that translates.
#[inline(always)]
pub(super) fn hand_over<T: Tables>(
    tables: &T,
    arrival: &Arrival,
    subject: &Subject,
    is_fragment: bool,
) -> Verdict {
    let Some(handoff) = tables.handoff() else {
        return Verdict::drop(DropReason::NatUnavailable);
    };
    handoff.source = arrival.network.source;
    handoff.destination = arrival.network.destination;
    handoff.vip = arrival.vip;
    handoff.flow = subject.flow;
    handoff.length = arrival.network.length as u32;
    handoff.upper = arrival.upper as u32;
    handoff.service = subject.service;
    handoff.protocol = arrival.network.protocol;
    handoff.v6 = arrival.network.v6 as u8;
    handoff.is_fragment = is_fragment as u8;
    handoff.kind = number_of(subject.kind);
    Verdict::next(Next::Nat)
}

/// [`Handoff::kind`].
#[inline(always)]
const fn number_of(kind: Option<PacketKind>) -> u8 {
    match kind {
        Some(PacketKind::Syn) => 0,
        Some(PacketKind::Data) => 1,
        Some(PacketKind::Fin) => 2,
        Some(PacketKind::Rst) => 3,
        Some(PacketKind::Udp) => 4,
        None => MESSAGE,
    }
}

impl Handoff {
    #[inline(always)]
    fn arrival(&self) -> Arrival {
        let network = Network {
            v6: self.v6 != 0,
            length: self.length as usize,
            source: self.source,
            destination: self.destination,
            protocol: self.protocol,
        };
        // No frame has its upper layer beyond: the bound is for the verifier.
        Arrival { network, upper: self.upper as usize & 0xfff, vip: self.vip }
    }

    #[inline(always)]
    const fn packet_kind(&self) -> Option<PacketKind> {
        match self.kind {
            0 => Some(PacketKind::Syn),
            1 => Some(PacketKind::Data),
            2 => Some(PacketKind::Fin),
            3 => Some(PacketKind::Rst),
            4 => Some(PacketKind::Udp),
            _ => None,
        }
    }
}

/// Decides about a packet that was handed over.
#[inline(always)]
pub fn process<P: Packet, T: NatTables>(
    packet: &mut P,
    tables: &T,
    handoff: &mut Handoff,
) -> Verdict {
    let Some(settings) = tables.nat_settings() else {
        return Verdict::drop(DropReason::NatUnavailable);
    };
    let now = tables.now();
    let mut fate = Fate::Unknown;
    if handoff.v6 == 0 {
        let narrow =
            flow::Tables { main: tables.narrow(), new: tables.narrow_new(), settings, now };
        fate = existing(packet, tables, &narrow, handoff);
    }
    if matches!(fate, Fate::Unknown) && (handoff.v6 != 0 || settings.mixed != 0) {
        let wide = flow::Tables { main: tables.wide(), new: tables.wide_new(), settings, now };
        fate = existing(packet, tables, &wide, handoff);
    }
    if !matches!(fate, Fate::Unknown) && evidence::may_be(handoff) {
        evidence::weigh(packet, tables, handoff);
    }
    match fate {
        Fate::Unknown => without_flow(packet, tables, handoff),
        Fate::ToBackend => egress::to_backend(packet, tables, handoff),
        Fate::ToClient => egress::to_client(packet, tables, handoff),
        Fate::Message => icmp::translate(packet, tables, handoff),
        Fate::Dead => refuse(packet, tables, handoff, DropReason::DeadBackend),
        Fate::Ended => refuse(packet, tables, handoff, DropReason::NatNoFlow),
    }
}

/// What is to become of a packet that was looked up. Where to is in the draft:
/// the ends and the backend in `forward`, the next hop of answers in `reverse`.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Fate {
    /// It has no flow.
    Unknown,
    ToBackend,
    ToClient,
    /// It speaks of the flow.
    Message,
    /// Its backend is dead.
    Dead,
    /// It has ended, which its backend does not know.
    Ended,
}

/// Looks for the packet's flow, and renews it.
#[inline(never)]
fn existing<'a, P, T, M, N>(
    packet: &P,
    tables: &T,
    flows: &flow::Tables<'a, M, N>,
    handoff: &mut Handoff,
) -> Fate
where
    P: Packet,
    T: NatTables,
    M: Table<Body: 'a>,
    N: Table<Body = M::Body>,
{
    let mut looks = 0;
    while looks < flow::LOOKS {
        if let Some(fate) = look(packet, tables, flows, handoff, looks == 0) {
            return fate;
        }
        looks += 1;
    }
    if handoff.is_answer != 0 { Fate::ToClient } else { Fate::ToBackend }
}

/// `None`: another packet of the flow changed it meanwhile.
#[inline(always)]
fn look<'a, P, T, M, N>(
    packet: &P,
    tables: &T,
    flows: &flow::Tables<'a, M, N>,
    handoff: &mut Handoff,
    is_first: bool,
) -> Option<Fate>
where
    P: Packet,
    T: NatTables,
    M: Table<Body: 'a>,
    N: Table<Body = M::Body>,
{
    let kind = handoff.packet_kind();
    let Handoff { flow: key, draft, is_answer, .. } = handoff;
    let hash = flows.hash(key);
    let Some(found) = flows.find(key, hash) else { return Some(Fate::Unknown) };
    let reverse = found.line.body.rest().is_reverse();
    learn(&found, draft);
    *is_answer = reverse as u8;
    let Some(kind) = kind else {
        draft.reverse.hop = found.line.body.hop();
        return Some(Fate::Message);
    };
    let end = End { key, hash };
    if reverse {
        if is_first {
            // Before it moves to the other table: what is counted moves with it.
            found.line.body.rest().count(packet.length());
        }
        answer_of(tables, flows, draft, (&found, &end, kind))
    } else {
        request(packet, tables, flows, draft, (&found, &end, kind))
    }
}

/// Where packets of the flow go, whose it is, and how it stands.
#[inline(always)]
fn learn<B: NatBody>(found: &Found<'_, B>, draft: &mut Draft) {
    let body = found.line.body;
    draft.forward.to = body.to();
    draft.forward.began = body.began();
    draft.forward.state = found.meta.state() as u8;
    draft.forward.packets = body.rest().packets();
    draft.forward.backend = body.backend();
    draft.forward.service = body.service();
}

/// A client's packet.
#[inline(always)]
fn request<'a, P, T, M, N>(
    packet: &P,
    tables: &T,
    flows: &flow::Tables<'a, M, N>,
    draft: &mut Draft,
    (found, end, kind): (&Found<'a, M::Body>, &End<'_>, PacketKind),
) -> Option<Fate>
where
    P: Packet,
    T: NatTables,
    M: Table<Body: 'a>,
    N: Table<Body = M::Body>,
{
    if found.meta.state().is_over() && matches!(kind, PacketKind::Syn | PacketKind::Udp) {
        // The client uses its port again; the old tuple rests.
        flow::free(found.line, found.meta);
        return Some(Fate::Unknown);
    }
    if tables.backend(draft.forward.backend).is_none_or(|b| b.flags & backend_flags::DEAD != 0) {
        flows.end(found, NatState::Reset, draft);
        // Whoever begins, or does not care, gets another backend.
        let begins = matches!(kind, PacketKind::Syn | PacketKind::Udp);
        return Some(if begins { Fate::Unknown } else { Fate::Dead });
    }
    let Some(service) = tables.service(draft.forward.service) else { return Some(Fate::Unknown) };
    draft.reverse.hop = hop_of(packet);
    match flows.renew(found, end, kind, service, draft) {
        Renewed::Gone => return Some(Fate::Unknown),
        Renewed::Late => return None,
        Renewed::Lives => {}
    }
    found.line.body.rest().count(packet.length());
    Some(Fate::ToBackend)
}

/// A backend's packet.
#[inline(always)]
fn answer_of<'a, T, M, N>(
    tables: &T,
    flows: &flow::Tables<'a, M, N>,
    draft: &mut Draft,
    (found, end, kind): (&Found<'a, M::Body>, &End<'_>, PacketKind),
) -> Option<Fate>
where
    T: NatTables,
    M: Table<Body: 'a>,
    N: Table<Body = M::Body>,
{
    let Some(service) = tables.service(draft.forward.service) else { return Some(Fate::Unknown) };
    draft.reverse.hop = found.line.body.hop();
    if matches!(kind, PacketKind::Udp) && is_last_answer(found.line.body, service) {
        flows.end(found, NatState::UdpDone, draft);
    } else {
        match flows.renew(found, end, kind, service, draft) {
            Renewed::Gone if matches!(kind, PacketKind::Rst) => return Some(Fate::Unknown),
            Renewed::Gone => return Some(Fate::Ended),
            Renewed::Late => return None,
            Renewed::Lives => {}
        }
    }
    Some(Fate::ToClient)
}

#[inline(always)]
fn is_last_answer<B: NatBody>(body: &B, service: &Service) -> bool {
    service.udp_responses != 0 && body.rest().packets() as u32 >= service.udp_responses
}

/// Where the packet came from is where answers go.
#[inline(always)]
fn hop_of<P: Packet>(packet: &P) -> NatHop {
    let destination = packet.read::<6>(6).unwrap_or_default();
    let source = packet.read::<6>(0).unwrap_or_default();
    NatHop {
        destination: mac_word(destination),
        source: mac_word(source),
        ifindex: packet.ingress() as u64,
    }
}

/// A packet of no translated flow.
#[inline(never)]
fn without_flow<P: Packet, T: NatTables>(packet: &mut P, tables: &T, handoff: &Handoff) -> Verdict {
    if handoff.service == NO_SERVICE {
        return stray(packet, tables, handoff);
    }
    let Some(service) = tables.service(handoff.service) else {
        return Verdict::drop(DropReason::NoBackend);
    };
    match handoff.packet_kind() {
        Some(PacketKind::Syn | PacketKind::Udp) if service.flags & service_flags::NAT != 0 => {
            return Verdict::next(Next::Open);
        }
        _ => {}
    }
    if service.flags & (service_flags::NAT | service_flags::DIRECT_TOO) != service_flags::NAT {
        if service.flags & service_flags::DIRECT_TOO != 0 {
            tables.note_direct(handoff.service);
        }
        return Verdict::next(Next::Direct);
    }
    match handoff.packet_kind() {
        Some(PacketKind::Rst) => Verdict::drop(DropReason::NatNoFlow),
        Some(_) => refuse(packet, tables, handoff, DropReason::NatNoFlow),
        None => Verdict::drop(DropReason::IcmpUnmatched),
    }
}

/// For a port of ours, or of a client, that no flow has.
#[inline(never)]
fn stray<P: Packet, T: NatTables>(packet: &mut P, tables: &T, handoff: &Handoff) -> Verdict {
    if !VipEntry::is_vip(handoff.vip) {
        return Verdict::PASS;
    }
    match handoff.packet_kind() {
        Some(kind) => answer::unserved_port(packet, tables, &handoff.arrival(), kind),
        None if VipEntry::unserved_of(handoff.vip) == Unserved::Pass => Verdict::PASS,
        None => Verdict::drop(DropReason::IcmpUnmatched),
    }
}

/// Tells the sender that there is no such flow, where its protocol can.
#[inline(never)]
fn refuse<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    handoff: &Handoff,
    reason: DropReason,
) -> Verdict {
    if handoff.protocol != super::parse::TCP {
        return Verdict::drop(reason);
    }
    answer::reset(packet, tables, &handoff.arrival(), reason)
}
