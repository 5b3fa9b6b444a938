//! Trouble found from the traffic: clients that get no answer ask again.
//!
//! A client repeats a SYN, sequence number and all, until it is answered. Where
//! answers do not pass here, that is what is seen of a backend that does not
//! answer. Recent SYNs are marked in a sketch of fixed size; one whose mark is
//! there already counts against the backend that the first one went to.
//!
//! Copies within moments are of the network's making and prove nothing.

use super::{Packet, Subject, Tables};
use crate::abi::{SynCell, SynMark, Trouble};
use crate::hash::{FlowHash, is_v4};

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
    match old.says(hash, now, service.repeat_after, service.half_open) {
        SynMark::Copy | SynMark::Taken => return,
        SynMark::Free => return cell.store(SynCell::new(hash, id, now).0),
        SynMark::Again => cell.store(old.repeated(now).0),
    }
    let trouble = if old.has_repeated() { Trouble::RepeatedAgain } else { Trouble::Unanswered };
    note(tables, old.backend(), trouble, network(subject.flow.source, service.table.key));
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
