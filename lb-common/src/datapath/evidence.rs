//! Trouble found from the traffic: clients that get no answer ask again.
//!
//! A client repeats a SYN, sequence number and all, until it is answered. Where
//! answers do not pass here, that is what is seen of a backend that does not
//! answer. Recent SYNs are marked in a sketch of fixed size; one whose mark is
//! there already counts against the backend that the first one went to.
//!
//! Copies within moments are of the network's making and prove nothing.

use super::{Packet, Subject, Tables};
use crate::abi::{SynCell, Trouble};
use crate::hash::{FlowHash, is_v4};

/// A mark is kept for so many times the least time between repeated SYNs:
/// until the first has come (clients repeat after a second, RFC 6298). Only
/// then does it give way, so that a flood is sampled and does not blind us.
const KEPT: u32 = 6;

/// Sequence number in a TCP header.
const SEQUENCE: usize = 4;

/// A SYN goes to backend `id`.
#[inline(never)]
pub(super) fn syn<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    upper: usize,
    subject: &Subject,
    id: u16,
) {
    let Some(service) = tables.service(subject.service) else { return };
    if service.repeat_after == 0 {
        return;
    }
    let Some(sequence) = packet.read::<4>(upper + SEQUENCE) else { return };
    let flow = FlowHash::of(&subject.flow, service.table.key).0;
    let hash = mix(flow ^ u32::from_le_bytes(sequence) as u64);
    let Some(cell) = tables.syn_cell(SynCell::index(hash)) else { return };
    let (now, old) = (tables.now(), SynCell(cell.load()));
    let age = old.age(now);
    if old.0 != 0 && old.is_of(hash) && age <= service.half_open {
        if age < service.repeat_after {
            return;
        }
        cell.store(old.repeated(now).0);
        let trouble = if old.has_repeated() { Trouble::RepeatedAgain } else { Trouble::Unanswered };
        note(tables, old.backend(), trouble, network(subject.flow.source, service.table.key));
    } else if old.0 == 0 || age >= service.repeat_after * KEPT {
        cell.store(SynCell::new(hash, id, now).0);
    }
}

#[inline(always)]
pub(super) fn note<T: Tables>(tables: &T, backend: u16, trouble: Trouble, network: u64) {
    if let Some(evidence) = tables.evidence(backend) {
        evidence.note(trouble, network);
    }
}

/// The bit of a client's network: the /24 or /56 that its address is in. Keyed, so
/// that nobody can choose it.
#[inline(always)]
pub(super) fn network(source: [u64; 2], key: [u64; 2]) -> u64 {
    let prefix = if is_v4(source) { source[1] >> 32 & 0xff_ffff } else { source[0] << 8 };
    1 << (mix(prefix ^ key[1]) >> 58)
}

#[inline(always)]
fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 32).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let word = (word ^ word >> 29).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 32
}
