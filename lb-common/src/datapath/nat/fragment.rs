//! Fragments of translated packets. The first has the ports: it takes the way of
//! a whole packet, and how it left is noted for the others, which follow it.
//!
//! What leaves gets an identification of its own: packets of several clients may
//! have the same one, and after translation also the same source. Only flows
//! within one family are followed.

use super::super::forward::link_addresses;
use super::super::parse::{Ipv4, Ipv6, TCP, Transport, UDP};
use super::super::{
    Arrival, ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Network, Packet, Subject, Verdict, classify,
    unusable,
};
use super::{NO_SERVICE, NatTables, egress, hand_over, may_be_answer, rewrite};
use crate::abi::{FragmentKey, FragmentWay, Handoff, NatHop, mac_of, service_flags};
use crate::checksum::Sum;
use crate::hash::{FlowWords, is_v4};
use crate::nat::table::NatHash;
use crate::reason::DropReason;

/// Next header of an IPv6 fragment header, and its length.
pub const FRAGMENT_HEADER: u8 = 44;
const FRAGMENT_LENGTH: usize = 8;
/// Frame offsets of the identification.
const V4_IDENTIFICATION: usize = ETHERNET + 4;
const V6_IDENTIFICATION: usize = ETHERNET + Ipv6::LENGTH + 4;
/// Times the guard that fragments are waited for: as long as Linux does.
const GUARDS: u64 = 30;

/// A fragment, as its headers say.
struct Fragment {
    network: Network,
    /// Frame offset of what is fragmented.
    upper: usize,
    is_first: bool,
}

/// Decides about a fragment for an address of ours.
#[inline(always)]
pub fn process<P: Packet, T: NatTables>(packet: &mut P, tables: &T) -> Verdict {
    let mut key = FragmentKey::default();
    let Some(fragment) = read(packet, &mut key) else { return Verdict::PASS };
    let Some(vip) = classify::packet(tables, key.source, key.destination) else {
        return Verdict::PASS;
    };
    if !fragment.is_first {
        return later(packet, tables, &key, vip);
    }
    let arrival = Arrival { network: fragment.network, upper: fragment.upper & 0xfff, vip };
    first(packet, tables, &arrival)
}

#[inline(always)]
fn read<P: Packet>(packet: &P, key: &mut FragmentKey) -> Option<Fragment> {
    match packet.read::<2>(12)? {
        ETHERTYPE_IPV4 => read_v4(packet, key),
        ETHERTYPE_IPV6 => read_v6(packet, key),
        _ => None,
    }
}

#[inline(always)]
fn read_v4<P: Packet>(packet: &P, key: &mut FragmentKey) -> Option<Fragment> {
    let header = Ipv4::read(packet, ETHERNET)?;
    if !header.is_sound(packet.length() - ETHERNET) {
        return None;
    }
    let [a, b] = packet.read::<2>(V4_IDENTIFICATION)?;
    let network = header.network();
    note_ends(key, &network, u32::from_ne_bytes([a, b, 0, 0]));
    let upper = ETHERNET + header.header_length();
    Some(Fragment { network, upper, is_first: !header.is_later_fragment() })
}

/// With the fragment header right behind the IPv6 header, where senders put it.
#[inline(always)]
fn read_v6<P: Packet>(packet: &P, key: &mut FragmentKey) -> Option<Fragment> {
    let header = Ipv6::read(packet, ETHERNET)?;
    if !header.is_sound(packet.length() - ETHERNET) || header.next() != FRAGMENT_HEADER {
        return None;
    }
    let [next, _, high, low, id @ ..] = packet.read::<FRAGMENT_LENGTH>(ETHERNET + Ipv6::LENGTH)?;
    let network = header.network(next);
    note_ends(key, &network, u32::from_ne_bytes(id));
    let upper = ETHERNET + Ipv6::LENGTH + FRAGMENT_LENGTH;
    let is_first = u16::from_be_bytes([high, low]) & 0xfff8 == 0;
    Some(Fragment { network, upper, is_first })
}

#[inline(always)]
fn note_ends(key: &mut FragmentKey, network: &Network, identification: u32) {
    key.source = network.source;
    key.destination = network.destination;
    key.identification = identification;
    key.protocol = network.protocol as u32;
}

/// On to where whole packets of translated flows go.
#[inline(never)]
fn first<P: Packet, T: NatTables>(packet: &mut P, tables: &T, arrival: &Arrival) -> Verdict {
    let refused = unusable(arrival.vip, DropReason::Fragment);
    if !matches!(arrival.network.protocol, TCP | UDP) {
        return refused;
    }
    let Some(transport) = Transport::read(packet, arrival) else { return refused };
    let service = classify::service(tables, arrival.vip, &transport);
    let is_translated = match service {
        None => may_be_answer(arrival.vip),
        Some(id) => tables.service(id).is_some_and(|s| s.flags & service_flags::NAT_LOOKUP != 0),
    };
    if !is_translated {
        return refused;
    }
    let subject = Subject {
        service: service.unwrap_or(NO_SERVICE),
        flow: transport.flow(&arrival.network),
        kind: Some(transport.kind),
    };
    hand_over(tables, arrival, &subject, true)
}

/// Follows the first one.
#[inline(never)]
fn later<P: Packet, T: NatTables>(
    packet: &mut P,
    tables: &T,
    key: &FragmentKey,
    vip: u64,
) -> Verdict {
    let refused = unusable(vip, DropReason::Fragment);
    let Some(way) = tables.fragment(key) else { return refused };
    if way.expires < tables.now() {
        return refused;
    }
    let bytes = packet.length();
    if rewrite(packet, &way.to, way.identification).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    if way.is_reply != 0 {
        tables.count_reply(way.backend, bytes);
    } else {
        tables.count(way.backend, bytes, false);
    }
    if way.hop.ifindex == 0 {
        return Verdict::PASS;
    }
    let link = link_addresses(mac_of(way.hop.destination), mac_of(way.hop.source));
    if packet.write(0, link).is_none() {
        return Verdict::drop(DropReason::Malformed);
    }
    egress::leave(packet, way.hop.ifindex as u32)
}

#[inline(always)]
fn rewrite<P: Packet>(packet: &mut P, to: &FlowWords, identification: u32) -> Option<()> {
    if is_v4(to.source) {
        rewrite::replace_v4_addresses(packet, ETHERNET, to)?;
    } else {
        rewrite::replace_v6_addresses(packet, ETHERNET, to)?;
    }
    identify(packet, is_v4(to.source), identification)
}

/// Gives the fragment another identification.
#[inline(always)]
fn identify<P: Packet>(packet: &mut P, v4: bool, identification: u32) -> Option<()> {
    let new @ [a, b, ..] = identification.to_ne_bytes();
    if !v4 {
        return packet.write(V6_IDENTIFICATION, new);
    }
    let [old_a, old_b] = packet.read::<2>(V4_IDENTIFICATION)?;
    let checksum = packet.read::<2>(ETHERNET + 10)?;
    let change = Sum::ZERO.without([old_a, old_b, 0, 0]).bytes([a, b, 0, 0]);
    packet.write(ETHERNET + 10, change.update(checksum))?;
    packet.write(V4_IDENTIFICATION, [a, b])
}

/// Notes how the first fragment, which was just rewritten, leaves.
#[inline(never)]
pub fn note<P: Packet, T: NatTables>(
    packet: &mut P,
    tables: &T,
    handoff: &Handoff,
    hop: &NatHop,
    is_reply: bool,
) -> Option<()> {
    let to = &handoff.draft.forward.to;
    let settings = tables.nat_settings()?;
    let old = if handoff.v6 != 0 {
        u32::from_ne_bytes(packet.read::<4>(V6_IDENTIFICATION)?)
    } else {
        let [a, b] = packet.read::<2>(V4_IDENTIFICATION)?;
        u32::from_ne_bytes([a, b, 0, 0])
    };
    let key = FragmentKey {
        source: handoff.source,
        destination: handoff.destination,
        identification: old,
        protocol: handoff.protocol as u32,
    };
    let ends = FlowWords { source: key.source, destination: key.destination, ports: old as u64 };
    let identification = NatHash::of(&ends, settings.key).word() as u32;
    tables.note_fragment(
        &key,
        &FragmentWay {
            to: *to,
            hop: *hop,
            expires: tables.now() + GUARDS * settings.guard as u64,
            identification,
            backend: handoff.draft.forward.backend,
            is_reply: is_reply as u16,
            reserved: 0,
        },
    );
    identify(packet, handoff.v6 == 0, identification)
}
