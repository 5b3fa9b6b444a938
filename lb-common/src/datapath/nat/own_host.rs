//! Answers of a backend on this host.
//!
//! Its packets do not come in on any interface: the kernel sends them, from the
//! backend's address to the client's. On their way out they are looked up like
//! any backend's answers, and only their source becomes the VIP again; the
//! kernel has already decided where they go.

use super::super::parse::{self, Ipv4, Ipv6, Transport, UpperLayer};
use super::super::{Arrival, ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Network, Packet};
use super::{Fate, NatTables, answer_of, evidence, learn};
use crate::abi::{Handoff, NatBody, NatSettings};
use crate::nat::flow::{self, End};
use crate::nat::table::Table;

/// Whether a packet that leaves this host answers a translated flow. The draft
/// then says the ends it is to have.
#[inline(always)]
pub fn is_answer<P: Packet, T: NatTables>(packet: &P, tables: &T, handoff: &mut Handoff) -> bool {
    let Some(settings) = tables.nat_settings() else { return false };
    if !read(packet, handoff) {
        return false;
    }
    let answers = answers(packet, tables, settings, handoff);
    if answers && evidence::may_be(handoff) {
        evidence::weigh(packet, tables, handoff);
    }
    answers
}

#[inline(always)]
fn answers<P: Packet, T: NatTables>(
    packet: &P,
    tables: &T,
    settings: &NatSettings,
    handoff: &mut Handoff,
) -> bool {
    let now = tables.now();
    // Flows of backends on this host stay within their family.
    if handoff.v6 == 0 {
        let flows = flow::Tables { main: tables.narrow(), new: tables.narrow_new(), settings, now };
        belongs(packet, tables, &flows, handoff)
    } else {
        let flows = flow::Tables { main: tables.wide(), new: tables.wide_new(), settings, now };
        belongs(packet, tables, &flows, handoff)
    }
}

/// Reads the packet's ends. False: it has none. Apart from the search, which
/// takes most of the stack.
#[inline(never)]
fn read<P: Packet>(packet: &P, handoff: &mut Handoff) -> bool {
    let arrival = match packet.read::<2>(12) {
        Some(ETHERTYPE_IPV4) => ipv4(packet),
        Some(ETHERTYPE_IPV6) => ipv6(packet),
        _ => None,
    };
    let Some(arrival) = arrival else { return false };
    if !matches!(arrival.network.protocol, parse::TCP | parse::UDP) {
        return false;
    }
    let Some(transport) = Transport::read(packet, &arrival) else { return false };
    handoff.v6 = arrival.network.v6 as u8;
    handoff.upper = arrival.upper as u32;
    handoff.protocol = arrival.network.protocol;
    handoff.flow = transport.flow(&arrival.network);
    handoff.kind = super::number_of(Some(transport.kind));
    handoff.is_answer = 1;
    true
}

/// The packet may be many segments in one, longer than its header can say.
#[inline(always)]
fn whole<P: Packet>(packet: &P, network: Network) -> Network {
    Network { length: packet.length().wrapping_sub(ETHERNET), ..network }
}

#[inline(always)]
fn ipv4<P: Packet>(packet: &P) -> Option<Arrival> {
    let header = Ipv4::read(packet, ETHERNET)?;
    if !header.has_sound_header() || header.is_fragment() {
        return None;
    }
    let upper = ETHERNET + header.header_length();
    Some(Arrival { network: whole(packet, header.network()), upper, vip: 0 })
}

#[inline(always)]
fn ipv6<P: Packet>(packet: &P) -> Option<Arrival> {
    let header = Ipv6::read(packet, ETHERNET)?;
    let UpperLayer::At(protocol, upper) = parse::upper_layer(packet, header.next(), ETHERNET)
    else {
        return None;
    };
    Some(Arrival { network: whole(packet, header.network(protocol)), upper, vip: 0 })
}

#[inline(never)]
fn belongs<'a, P, T, M, N>(
    packet: &P,
    tables: &T,
    flows: &flow::Tables<'a, M, N>,
    handoff: &mut Handoff,
) -> bool
where
    P: Packet,
    T: NatTables,
    M: Table<Body: 'a>,
    N: Table<Body = M::Body>,
{
    let Some(kind) = handoff.packet_kind() else { return false };
    let Handoff { flow: key, draft, .. } = handoff;
    let hash = flows.hash(key);
    let Some(found) = flows.find(key, hash) else { return false };
    if !found.line.body.rest().is_reverse() {
        return false;
    }
    learn(&found, draft);
    let end = End { key, hash };
    found.line.body.rest().count(packet.length());
    let fate = answer_of(tables, flows, draft, (&found, &end, kind));
    // One that comes late leaves like the others.
    let answers = matches!(fate, None | Some(Fate::ToClient));
    if answers {
        tables.count_reply(draft.forward.backend, packet.length());
    }
    answers
}
