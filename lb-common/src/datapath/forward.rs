//! On to a backend: its next hop, whether the packet fits, and the rewrite of
//! the MAC addresses (direct server return) or the tunnel.

use super::{Arrival, Packet, Tables, Verdict, answer, tunnel};
use crate::abi::backend_flags;
use crate::hash::FlowHash;
use crate::reason::DropReason;

/// The interface a packet leaves by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Egress {
    /// The one it came in on.
    Same,
    /// The one with this index.
    Other(u32),
}

#[inline(always)]
pub fn to_backend<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    arrival: &Arrival,
    id: u16,
    hash: FlowHash,
    new_connection: bool,
) -> Verdict {
    let Some(backend) = tables.backend(id) else { return Verdict::drop(DropReason::NoBackend) };
    if backend.flags & backend_flags::RESOLVED == 0 {
        return without_next_hop(tables, id, packet.length(), new_connection);
    }
    if arrival.network.length > backend.mtu as usize {
        return answer::too_big(packet, tables, arrival, backend.mtu);
    }
    let bytes = packet.length();
    let sent = if backend.flags & backend_flags::TUNNEL != 0 {
        tunnel::encapsulate(packet, backend, &arrival.network, hash)
    } else {
        packet.write::<12>(0, link_addresses(backend.destination_mac, backend.source_mac))
    };
    if sent.is_none() {
        return Verdict::drop(DropReason::NoHeadroom);
    }
    tables.count(id, bytes, new_connection);
    if backend.ifindex == packet.ingress() {
        Verdict::forward(Egress::Same)
    } else {
        Verdict::forward(Egress::Other(backend.ifindex))
    }
}

/// A backend on this host gets the packet from the kernel, as it is: its server
/// listens on the VIP. Looks the backend up again, so that the usual way keeps
/// nothing for this one.
#[inline(never)]
fn without_next_hop<T: Tables>(tables: &T, id: u16, bytes: usize, new_connection: bool) -> Verdict {
    if tables.backend(id).is_some_and(|backend| backend.flags & backend_flags::LOCAL != 0) {
        tables.count(id, bytes, new_connection);
        return Verdict::PASS;
    }
    tables.count_unresolved(id);
    Verdict::drop(DropReason::NoNextHop)
}

#[inline(always)]
pub fn link_addresses(destination: [u8; 6], source: [u8; 6]) -> [u8; 12] {
    let [a, b, c, d, e, f] = destination;
    let [g, h, i, j, k, l] = source;
    [a, b, c, d, e, f, g, h, i, j, k, l]
}
