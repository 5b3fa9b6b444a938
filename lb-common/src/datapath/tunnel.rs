//! IP in IP: RFC 2003 (4 in 4), RFC 2473 (4 and 6 in 6), RFC 4213 (6 in 4).
//!
//! DSCP and ECN are copied to the outer header (RFC 6040, normal mode). DF is
//! copied from IPv4; IPv6 is never fragmented on the way, so it sets DF. The
//! outer source is fixed unless a prefix for flow entropy was configured;
//! outer IPv6 carries the flow's hash in its flow label (RFC 6438).

use super::forward::link_addresses;
use super::{ETHERNET, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Network, Packet};
use crate::abi::{Backend, backend_flags};
use crate::checksum;
use crate::hash::FlowHash;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const DONT_FRAGMENT: u16 = 0x4000;
const PROTOCOL_IPV4: u8 = 4;
const PROTOCOL_IPV6: u8 = 41;

/// What the outer header takes from the inner one.
#[derive(Clone, Copy)]
struct Inner {
    /// DSCP and ECN.
    tos: u8,
    identification: u16,
    dont_fragment: bool,
    protocol: u8,
    length: u16,
}

impl Inner {
    #[inline(always)]
    fn read<P: Packet>(packet: &P, network: &Network) -> Option<Self> {
        let b = packet.read::<8>(ETHERNET)?;
        let length = network.length as u16;
        Some(if network.v6 {
            Self {
                tos: b[0] << 4 | b[1] >> 4,
                identification: 0,
                dont_fragment: true,
                protocol: PROTOCOL_IPV6,
                length,
            }
        } else {
            let dont_fragment = b[6] & 0x40 != 0;
            Self {
                tos: b[1],
                identification: u16::from_be_bytes([b[4], b[5]]),
                dont_fragment,
                protocol: PROTOCOL_IPV4,
                length,
            }
        })
    }
}

/// Puts the outer header for `backend` in front. Not inlined: its frame of
/// stack is not the main path's.
#[inline(never)]
pub fn encapsulate<P: Packet>(
    packet: &mut P,
    backend: &Backend,
    network: &Network,
    hash: FlowHash,
) -> Option<()> {
    let inner = Inner::read(packet, network)?;
    if backend.flags & backend_flags::OUTER_V6 != 0 {
        packet.grow_front(IPV6_HEADER)?;
        write_outer_v6(packet, backend, &inner, hash)?;
        packet.write(12, ETHERTYPE_IPV6)?;
    } else {
        packet.grow_front(IPV4_HEADER)?;
        packet.write(ETHERNET, outer_v4(backend, &inner, hash))?;
        packet.write(12, ETHERTYPE_IPV4)?;
    }
    packet.write(0, link_addresses(backend.destination_mac, backend.source_mac))
}

#[inline(always)]
fn outer_v4(backend: &Backend, inner: &Inner, hash: FlowHash) -> [u8; IPV4_HEADER] {
    let s = &backend.outer_source;
    let d = &backend.outer_destination;
    let total = inner.length.wrapping_add(IPV4_HEADER as u16);
    let (identification, flags) = if inner.dont_fragment {
        (0, DONT_FRAGMENT)
    } else {
        (inner.identification ^ hash.bits() as u16, 0)
    };
    let entropy = hash.bits() & backend.entropy_mask;
    let source = u32::from_be_bytes([s[0], s[1], s[2], s[3]]) | entropy;
    let sum = backend.outer_sum as u32
        + inner.tos as u32
        + total as u32
        + identification as u32
        + flags as u32
        + inner.protocol as u32
        + (entropy >> 16)
        + (entropy & 0xffff);
    let checksum = (!checksum::fold(sum)).to_be_bytes();
    let total = total.to_be_bytes();
    let identification = identification.to_be_bytes();
    let flags = flags.to_be_bytes();
    let source = source.to_be_bytes();
    [
        0x45,
        inner.tos,
        total[0],
        total[1],
        identification[0],
        identification[1],
        flags[0],
        flags[1],
        backend.outer_ttl,
        inner.protocol,
        checksum[0],
        checksum[1],
        source[0],
        source[1],
        source[2],
        source[3],
        d[0],
        d[1],
        d[2],
        d[3],
    ]
}

#[inline(always)]
fn write_outer_v6<P: Packet>(
    packet: &mut P,
    backend: &Backend,
    inner: &Inner,
    hash: FlowHash,
) -> Option<()> {
    let first = 6 << 28 | (inner.tos as u32) << 20 | hash.bits() & 0xf_ffff;
    let [f0, f1, f2, f3] = first.to_be_bytes();
    let [l0, l1] = inner.length.to_be_bytes();
    packet.write(ETHERNET, [f0, f1, f2, f3, l0, l1, inner.protocol, backend.outer_ttl])?;
    packet.write(ETHERNET + 8, backend.outer_source)?;
    packet.write(ETHERNET + 24, backend.outer_destination)?;
    if backend.entropy_mask == 0 {
        return Some(());
    }
    let s = &backend.outer_source;
    let entropy = hash.bits() & backend.entropy_mask;
    let tail = u32::from_be_bytes([s[12], s[13], s[14], s[15]]) | entropy;
    packet.write(ETHERNET + 20, tail.to_be_bytes())
}
