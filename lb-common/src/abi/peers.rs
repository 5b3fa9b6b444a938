//! What sockets of this host were given in place of the VIPs they named, kept
//! with the socket: it goes when the socket goes.

/// Targets remembered of one socket; only datagrams have more than one.
pub const PEERS: usize = 4;

/// A VIP and what stands for it. 40 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Peer {
    /// Backend's address, as two words.
    pub backend: [u64; 2],
    pub vip: [u64; 2],
    /// Ports, in host order.
    pub backend_port: u16,
    pub vip_port: u16,
    pub reserved: u32,
}

/// The last [`PEERS`] targets of a socket. 168 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(8))]
pub struct Peers {
    pub peers: [Peer; PEERS],
    /// Where the next one goes, modulo [`PEERS`].
    pub next: u64,
}

const _: () = assert!(size_of::<Peers>() == 168);

impl Peers {
    /// Remembers `peer` in place of the oldest one, unless it is there.
    #[inline(always)]
    pub fn note(&mut self, peer: &Peer) {
        if self.find(peer.backend, peer.backend_port).is_some_and(|known| known == *peer) {
            return;
        }
        self.peers[self.next as usize & (PEERS - 1)] = *peer;
        self.next += 1;
    }

    /// The VIP that this backend stands for: the one named last.
    #[inline(always)]
    pub fn find(&self, backend: [u64; 2], port: u16) -> Option<Peer> {
        let mut i = 1;
        while i <= PEERS as u64 {
            let peer = &self.peers[self.next.wrapping_sub(i) as usize & (PEERS - 1)];
            if peer.vip_port != 0 && peer.backend_port == port && peer.backend == backend {
                return Some(*peer);
            }
            i += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(backend: u64, vip: u64) -> Peer {
        Peer { backend: [0, backend], vip: [0, vip], backend_port: 8080, vip_port: 80, reserved: 0 }
    }

    #[test]
    fn the_vip_named_last_is_found_and_the_oldest_forgotten() {
        let mut peers = Peers::default();
        assert_eq!(peers.find([0, 1], 8080), None);
        for backend in 1..=4 {
            peers.note(&peer(backend, 100));
        }
        peers.note(&peer(2, 100));
        assert_eq!(peers.next, 4, "known already");
        assert_eq!(peers.find([0, 1], 8080), Some(peer(1, 100)));
        peers.note(&peer(2, 200));
        assert_eq!(peers.find([0, 2], 8080), Some(peer(2, 200)));
        assert_eq!(peers.find([0, 1], 8080), None, "the oldest");
        assert_eq!(peers.find([0, 2], 8081), None);
    }
}
