//! Answers of our own: when one is due, and within which budget. `reset` and
//! `unreachable` build them.

pub use headers::swap_v6_addresses;

mod headers;
mod reset;
mod unreachable;

use super::parse::TCP;
use super::{Arrival, Packet, Tables, Verdict, classify};
use crate::abi::{Answer, Budget, Unserved, VipEntry, service_flags};
use crate::reason::DropReason;
use crate::transition::PacketKind;

/// A protocol that no service can have.
#[inline(always)]
pub fn unserved_protocol(arrival: &Arrival) -> Verdict {
    match VipEntry::unserved_of(arrival.vip) {
        Unserved::Pass => Verdict::PASS,
        _ => Verdict::drop(DropReason::UnservedProtocol),
    }
}

/// A port that no service has, by the VIP's policy.
#[inline(always)]
pub fn unserved_port<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
    kind: PacketKind,
) -> Verdict {
    match VipEntry::unserved_of(arrival.vip) {
        Unserved::Pass => Verdict::PASS,
        Unserved::Drop => Verdict::drop(DropReason::UnservedPort),
        Unserved::Reject if matches!(kind, PacketKind::Rst) => {
            Verdict::drop(DropReason::UnservedPort)
        }
        Unserved::Reject => refuse(packet, tables, arrival, DropReason::UnservedPort),
    }
}

/// A packet that finds no backend in its service.
#[inline(always)]
pub fn without_backend<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
    service: u16,
    kind: Option<PacketKind>,
) -> Verdict {
    if may_refuse(tables, service, kind) {
        refuse(packet, tables, arrival, DropReason::NoBackend)
    } else {
        Verdict::drop(DropReason::NoBackend)
    }
}

/// RST and ICMP errors are never answered.
#[inline(never)]
fn may_refuse<T: Tables>(tables: &T, service: u16, kind: Option<PacketKind>) -> bool {
    !matches!(kind, None | Some(PacketKind::Rst))
        && tables.service(service).is_some_and(|one| one.flags & service_flags::REFUSE != 0)
}

#[inline(never)]
fn refuse<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
    dropped: DropReason,
) -> Verdict {
    if !may_answer(packet, tables, arrival) || !tables.take_token(Budget::Unserved) {
        return Verdict::drop(dropped);
    }
    if arrival.network.protocol == TCP {
        let built = reset::build(packet, arrival);
        return answered(built, Answer::Reset, dropped);
    }
    let built = unreachable::port(packet, arrival);
    answered(built, Answer::Unreachable, dropped)
}

/// RST for a flow that has no backend (any more).
#[inline(never)]
pub fn reset<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
    dropped: DropReason,
) -> Verdict {
    if !may_answer(packet, tables, arrival) || !tables.take_token(Budget::Reset) {
        return Verdict::drop(dropped);
    }
    answered(reset::build(packet, arrival), Answer::Reset, dropped)
}

/// Frag-needed or packet-too-big with the MTU that would fit. Never about an
/// ICMP error (RFC 1122, section 3.2.2).
#[inline(never)]
pub fn too_big<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
    mtu: u16,
) -> Verdict {
    let dropped = DropReason::TooBig;
    let about_icmp =
        arrival.network.protocol != TCP && arrival.network.protocol != super::parse::UDP;
    if about_icmp || !may_answer(packet, tables, arrival) || !tables.take_token(Budget::TooBig) {
        return Verdict::drop(dropped);
    }
    let built = unreachable::too_big(packet, arrival, mtu);
    answered(built, Answer::TooBig, dropped)
}

#[inline(always)]
fn answered(built: Option<()>, answer: Answer, dropped: DropReason) -> Verdict {
    match built {
        Some(()) => Verdict::answer(answer, dropped),
        None => Verdict::drop(dropped),
    }
}

/// Whether the sender is one host that may be answered: not a group, not
/// nobody, and not a VIP, since two balancers would answer each other for ever.
#[inline(always)]
pub fn may_answer<P: Packet, T: Tables>(packet: &P, tables: &T, arrival: &Arrival) -> bool {
    let Some([link, ..]) = packet.read::<6>(0) else { return false };
    let first = if arrival.network.v6 {
        arrival.network.source[0] as u8
    } else {
        (arrival.network.source[1] >> 32) as u8
    };
    let is_one_host = if arrival.network.v6 {
        first != 0xff && arrival.network.source != [0, 0]
    } else {
        first != 0 && first != 127 && first < 224
    };
    link & 1 == 0 && is_one_host && !is_vip(tables, arrival.network.source)
}

#[inline(always)]
fn is_vip<T: Tables>(tables: &T, address: [u64; 2]) -> bool {
    classify::vip(tables, address).is_some_and(VipEntry::is_vip)
}

/// Sends the frame back: swaps its MAC addresses.
#[inline(always)]
pub fn turn_around<P: Packet>(packet: &mut P) -> Option<()> {
    let destination = packet.read::<6>(0)?;
    let source = packet.read::<6>(6)?;
    packet.write(0, source)?;
    packet.write(6, destination)
}
