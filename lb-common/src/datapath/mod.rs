//! The way of a packet, one step per file:
//!
//! ```text
//! frame ─► parse ─► classify ─► select ─► forward ─► tunnel ─► transmit
//!                   │           (slot,    (next hop, (IP in IP)
//!                   │            flow)     MTU, MAC)
//!                   ├─ nat: another program, for translated flows
//!                   ├─ icmp: echo, errors about flows
//!                   └─ answer: reset, unreachable, too big
//! ```
//!
//! Each step continues or ends with a [`Verdict`]. The steps are generic over
//! the two edges, [`Packet`] and [`Tables`]: `lb-ebpf` binds them to an XDP
//! frame and BPF maps, tests to plain memory. Code here must stay acceptable
//! to the kernel's verifier: fixed-size reads, no slices, no panics.

mod answer;
mod classify;
mod evidence;
mod forward;
mod icmp;
pub mod local_client;
pub mod nat;
mod parse;
mod select;
mod tunnel;
mod verdict;

pub use forward::Egress;
use parse::{Ipv4, Ipv6, Transport, UpperLayer};
pub use verdict::{Next, Outcome, Verdict};

use crate::abi::{
    Backend, Budget, Evidence, Handoff, PortBucket, Service, SlotWord, VipBucket, VipEntry,
};
use crate::hash::FlowWords;
use crate::nat::Shared;
use crate::reason::DropReason;
use crate::transition::{FlowTable, PacketKind};

/// A frame, from its Ethernet header on.
pub trait Packet {
    /// Frame length in bytes.
    fn length(&self) -> usize;
    /// `N` bytes at `offset`, or `None` where the frame ends before.
    fn read<const N: usize>(&self, offset: usize) -> Option<[u8; N]>;
    /// Overwrites `N` bytes at `offset`; `None` where the frame ends before.
    fn write<const N: usize>(&mut self, offset: usize, bytes: [u8; N]) -> Option<()>;
    /// Makes room for `bytes` more in front; `None` if there is no headroom.
    fn grow_front(&mut self, bytes: usize) -> Option<()>;
    /// Cuts or pads the end so that the frame is `length` bytes long.
    fn set_length(&mut self, length: usize) -> Option<()>;
    /// Cuts off the first `bytes` bytes.
    fn shrink_front(&mut self, bytes: usize) -> Option<()>;
    /// Index of the interface the frame came in on.
    fn ingress(&self) -> u32;
    /// MTU of an interface, in bytes.
    fn mtu_of(&self, interface: u32) -> u32;
}

/// The maps.
pub trait Tables {
    /// Whether packets of services that translate are handed over. Else they go
    /// the way they would if their service did not translate.
    const TRANSLATES: bool;

    /// The flow table, seen from one flow in one slot.
    type Flow<'a>: FlowTable
    where
        Self: 'a;

    fn vip_bucket(&self, index: u32) -> Option<&VipBucket>;
    fn port_bucket(&self, index: u32) -> Option<&PortBucket>;
    fn service(&self, id: u16) -> Option<&Service>;
    /// The slot's owner at rest, or [`SEE_WORD`](crate::abi::SEE_WORD), read once.
    fn owner(&self, slot: u32) -> Option<u16>;
    /// Reads the slot's word, once.
    fn slot(&self, index: u32) -> Option<SlotWord>;
    fn backend(&self, id: u16) -> Option<&Backend>;
    /// Counts a packet for backend `id`.
    fn count(&self, id: u16, bytes: usize, new_connection: bool);
    /// Counts a packet that backend `id` did not get for want of a next hop.
    fn count_unresolved(&self, id: u16);
    /// A cell of the sketch of SYNs, see [`SynCell`](crate::abi::SynCell).
    fn syn_cell(&self, index: u32) -> Option<&Shared>;
    /// What the traffic says of backend `id`.
    fn evidence(&self, id: u16) -> Option<&Evidence>;
    /// Takes one token of a budget.
    fn take_token(&self, budget: Budget) -> bool;
    /// The clock, in ticks.
    fn now(&self) -> u64;
    /// Whether backends answer through here under their clients' addresses.
    fn has_dnat(&self) -> bool;
    /// Whether fragments may be of translated packets.
    fn follows_fragments(&self) -> bool;
    /// Where the packet is left for the program that translates. Each caller is
    /// the only one on its CPU.
    #[expect(clippy::mut_from_ref, reason = "it is memory of the kernel's")]
    fn handoff(&self) -> Option<&mut Handoff>;
    fn flow<'a>(&'a self, words: &'a FlowWords, context: &'a FlowContext<'a>) -> Self::Flow<'a>;
}

/// Where a flow lives: what its table needs beside the key.
#[derive(Clone, Copy)]
pub struct FlowContext<'a> {
    pub service: &'a Service,
    /// Index of the flow's slot, and its word.
    pub slot: u32,
    pub word: SlotWord,
}

const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ETHERNET: usize = 14;

/// Decides about a packet and rewrites it accordingly.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Verdict {
    let Some(ethertype) = packet.read::<2>(12) else { return Verdict::PASS };
    let arrived = match ethertype {
        ETHERTYPE_IPV4 => ipv4(packet, tables),
        ETHERTYPE_IPV6 => ipv6(packet, tables),
        _ => return Verdict::PASS,
    };
    match arrived {
        Ok(arrival) => upper_layer(packet, tables, &arrival),
        Err(verdict) => verdict,
    }
}

/// One client packet on its way, as the later steps need it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Network header.
    pub network: Network,
    /// Frame offset of the upper layer.
    pub upper: usize,
    /// The VIP table's entry.
    pub vip: u64,
}

impl Arrival {
    /// Whether the packet has `bytes` bytes of upper layer. The frame may be
    /// longer: Ethernet pads.
    #[inline(always)]
    fn holds(&self, bytes: usize) -> bool {
        self.upper + bytes <= ETHERNET + self.network.length
    }
}

/// What the later steps need of the network header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    pub v6: bool,
    /// Length of the packet from its IP header on, in bytes.
    pub length: usize,
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// Upper-layer protocol.
    pub protocol: u8,
}

#[inline(always)]
fn ipv4<P: Packet, T: Tables>(packet: &P, tables: &T) -> Result<Arrival, Verdict> {
    let Some(header) = Ipv4::read(packet, ETHERNET) else { return Err(Verdict::PASS) };
    let entry = classify::packet(tables, header.source(), header.destination());
    let vip = match entry {
        Some(entry) => entry,
        None if header.protocol() == parse::ICMP && icmp::is_about_dnat(packet, tables, false) => {
            classify::DNAT_ANSWER
        }
        None => return Err(Verdict::PASS),
    };
    if !header.is_sound(packet.length() - ETHERNET) {
        return Err(unusable(vip, DropReason::Malformed));
    }
    if header.is_fragment() {
        return Err(fragment(tables, vip));
    }
    Ok(Arrival { network: header.network(), upper: ETHERNET + header.header_length(), vip })
}

#[inline(always)]
fn ipv6<P: Packet, T: Tables>(packet: &P, tables: &T) -> Result<Arrival, Verdict> {
    let Some(header) = Ipv6::read(packet, ETHERNET) else { return Err(Verdict::PASS) };
    let entry = classify::packet(tables, header.source(), header.destination());
    let vip = match entry {
        Some(entry) => entry,
        None if header.next() == parse::ICMPV6 && icmp::is_about_dnat(packet, tables, true) => {
            classify::DNAT_ANSWER
        }
        None => return Err(Verdict::PASS),
    };
    if !header.is_sound(packet.length() - ETHERNET) {
        return Err(unusable(vip, DropReason::Malformed));
    }
    match parse::upper_layer(packet, header.next(), ETHERNET) {
        UpperLayer::At(protocol, upper) => {
            Ok(Arrival { network: header.network(protocol), upper, vip })
        }
        UpperLayer::Refused(DropReason::Fragment) => Err(fragment(tables, vip)),
        UpperLayer::Refused(reason) => Err(unusable(vip, reason)),
    }
}

/// Fragments are followed for services that translate only.
#[inline(always)]
fn fragment<T: Tables>(tables: &T, vip: u64) -> Verdict {
    if T::TRANSLATES && tables.follows_fragments() {
        return Verdict::next(Next::Fragment);
    }
    unusable(vip, DropReason::Fragment)
}

/// A packet that no step can take further: not ours to judge where the address
/// is no VIP.
#[inline(always)]
fn unusable(vip: u64, reason: DropReason) -> Verdict {
    if VipEntry::is_vip(vip) { Verdict::drop(reason) } else { Verdict::PASS }
}

/// The flow that a packet belongs to or speaks of.
#[derive(Clone, Copy)]
struct Subject {
    service: u16,
    flow: FlowWords,
    /// `None`: a message about the flow, which must not touch its entry.
    kind: Option<PacketKind>,
}

#[inline(always)]
fn upper_layer<P: Packet, T: Tables>(packet: &mut P, tables: &T, arrival: &Arrival) -> Verdict {
    let subject = match arrival.network.protocol {
        parse::TCP | parse::UDP => flow_of(packet, tables, arrival),
        parse::ICMP if !arrival.network.v6 => icmp::message(packet, tables, arrival),
        parse::ICMPV6 if arrival.network.v6 => icmp::message(packet, tables, arrival),
        _ => return answer::unserved_protocol(arrival),
    };
    let subject = match subject {
        Ok(subject) => subject,
        Err(verdict) => return verdict,
    };
    match select::backend(tables, &subject) {
        select::Selected::Backend(id, hash) => {
            let is_new = matches!(subject.kind, Some(PacketKind::Syn));
            if is_new {
                evidence::syn(packet, tables, arrival.upper, &subject, id);
            }
            forward::to_backend(packet, tables, arrival, id, hash, is_new)
        }
        select::Selected::Reset => answer::reset(packet, tables, arrival, DropReason::DeadBackend),
        select::Selected::Refused(reason) => Verdict::drop(reason),
        select::Selected::Nat => nat::hand_over(tables, arrival, &subject, false),
    }
}

#[inline(always)]
fn flow_of<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
) -> Result<Subject, Verdict> {
    let Some(transport) = Transport::read(packet, arrival) else {
        return Err(unusable(arrival.vip, DropReason::Malformed));
    };
    let service = classify::service(tables, arrival.vip, &transport);
    let subject = Subject {
        service: service.unwrap_or(nat::NO_SERVICE),
        flow: transport.flow(&arrival.network),
        kind: Some(transport.kind),
    };
    if service.is_some() {
        return Ok(subject);
    }
    if nat::may_be_answer(arrival.vip) {
        return Err(nat::hand_over(tables, arrival, &subject, false));
    }
    Err(answer::unserved_port(packet, tables, arrival, transport.kind))
}
