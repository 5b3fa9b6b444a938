//! Connections that this host itself makes to a VIP.
//!
//! Their packets never come in on an interface. Instead, the socket gets the
//! address of a backend in place of the VIP at the moment it connects, or sends
//! a datagram, and talks to the backend directly: nothing is translated later.

use super::parse::Transport;
use super::{Tables, classify};
use crate::abi::{backend_flags, service_flags};
use crate::hash::{FlowHash, FlowWords, is_v4, split, v4_mapped};
use crate::transition::PacketKind;

/// Slots looked at for a backend that can be reached.
const TRIES: u64 = 8;

/// An address, and a port in host order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub address: [u64; 2],
    pub port: u16,
}

/// A socket that names a target.
#[derive(Clone, Copy)]
pub struct Socket {
    /// Its number: it gets the same backend each time.
    pub cookie: u64,
    /// TCP or UDP.
    pub protocol: u8,
    /// The families it takes.
    pub v4: bool,
    pub v6: bool,
}

/// Where the socket's packets for `to` are to go instead, if that is a VIP's
/// port that has a backend to offer.
#[inline(always)]
pub fn backend_for<T: Tables>(tables: &T, socket: &Socket, to: &Place) -> Option<Place> {
    let vip = classify::vip(tables, to.address)?;
    let [high, low] = to.port.to_be_bytes();
    let ports = [0, 0, high, low];
    let transport = Transport { protocol: socket.protocol, ports, kind: PacketKind::Data };
    let service = classify::service(tables, vip, &transport)?;
    let service = tables.service(service)?;
    if service.flags & service_flags::USED == 0 {
        return None;
    }
    let mut attempt = 0;
    while attempt < TRIES {
        let seed = FlowWords {
            source: [attempt, socket.cookie],
            destination: to.address,
            ports: to.port as u64 | (socket.protocol as u64) << 32,
        };
        attempt += 1;
        let slot = FlowHash::of(&seed, service.table.key).slot(service.table.count);
        let id = tables.slot(service.table.base.wrapping_add(slot))?.current();
        let Some(backend) = tables.backend(id) else { continue };
        let flags = backend.flags;
        if flags & backend_flags::LOCAL != 0 && service.flags & service_flags::NAT == 0 {
            // Its server listens on the VIP.
            return None;
        }
        let is_v6 = flags & backend_flags::OUTER_V6 != 0;
        let can_be_reached = flags & (backend_flags::RESOLVED | backend_flags::LOCAL) != 0
            && flags & backend_flags::DEAD == 0
            && (if is_v6 { socket.v6 } else { socket.v4 })
            // A socket that names an IPv4 address may be bound to one.
            && (!is_v6 || !is_v4(to.address));
        if can_be_reached {
            let b = &backend.outer_destination;
            let address = if is_v6 { split(*b) } else { v4_mapped([b[0], b[1], b[2], b[3]]) };
            let port = if backend.port == 0 { to.port } else { backend.port };
            return Some(Place { address, port });
        }
    }
    None
}
