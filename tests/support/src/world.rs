//! A small balancer in words: VIPs, services, slots and backends, as the
//! daemon would write them into the maps.

use std::net::IpAddr;

use lb_common::abi::{
    Backend, PortEntry, Service, Settings, SlotWord, Table, Unserved, VipEntry, backend_flags,
    service_flags,
};
use lb_common::hash::{FlowHash, FlowWords, split};
use lb_common::lookup;

use crate::host::Maps;
use crate::packet::protocol::{TCP, UDP};
use crate::packet::{Mac, Packet, Upper};

/// The interface that test runs come in on (loopback), and another.
pub const INGRESS: u32 = 1;
pub const OTHER_INTERFACE: u32 = 42;

const TICKS_PER_SECOND: u32 = 250;
const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

#[derive(Clone, Default)]
pub struct World {
    pub maps: Maps,
    vips: u16,
    next_slot: u32,
}

pub fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Client and VIP of each family.
pub fn ends() -> [(IpAddr, IpAddr); 2] {
    [("192.0.2.1", "203.0.113.10"), ("2001:db8:c::1", "2001:db8:f::10")]
        .map(|(client, vip)| (address(client), address(vip)))
}

/// An address as IP headers in the flow table have it.
pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => a.to_ipv6_mapped().octets(),
        IpAddr::V6(a) => a.octets(),
    }
}

/// A backend in the same network, MTU 1500.
pub fn direct(ifindex: u32) -> Backend {
    Backend {
        flags: backend_flags::USED | backend_flags::RESOLVED,
        ifindex,
        source_mac: [2, 0, 0, 0, 0xbb, 0],
        mtu: 1500,
        ..Backend::default()
    }
}

/// A backend behind a tunnel over a link of MTU 1500, TTL 64.
pub fn tunnel(ifindex: u32, source: IpAddr, destination: IpAddr) -> Backend {
    let mut backend = direct(ifindex);
    backend.flags |= backend_flags::TUNNEL;
    backend.outer_ttl = 64;
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            backend.mtu = 1480;
            backend.outer_source[..4].copy_from_slice(&source.octets());
            backend.outer_destination[..4].copy_from_slice(&destination.octets());
            backend.outer_sum = constant_sum(source.octets(), destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            backend.flags |= backend_flags::OUTER_V6;
            backend.mtu = 1460;
            backend.outer_source = source.octets();
            backend.outer_destination = destination.octets();
        }
        _ => panic!("a tunnel from {source} to {destination}"),
    }
    backend
}

/// See [`Backend::outer_sum`].
fn constant_sum(source: [u8; 4], destination: [u8; 4]) -> u16 {
    let [[a, b, c, d], [e, f, g, h]] = [source, destination];
    let words = [[0x45, 0], [64, 0], [a, b], [c, d], [e, f], [g, h]];
    let sum: u32 = words.into_iter().map(|word| u32::from(u16::from_be_bytes(word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

impl World {
    /// Budgets are ample.
    pub fn new() -> Self {
        let mut world = Self::default();
        world.maps.settings = Settings {
            ticks_per_second: TICKS_PER_SECOND,
            budget_per_second: [1_000_000; 8],
            ..Settings::default()
        };
        world
    }

    /// Adds a backend with a MAC address of its own; ids start at 1.
    pub fn backend(&mut self, mut backend: Backend) -> u16 {
        let id = self.maps.backends.len() as u16 + 1;
        let [high, low] = id.to_be_bytes();
        backend.destination_mac = [2, 0, 0, 0xbe, high, low];
        self.maps.backends.insert(id, backend);
        id
    }

    pub fn change_backend(&mut self, id: u16, change: impl FnOnce(&mut Backend)) {
        change(self.maps.backends.get_mut(&id).expect("a backend"));
    }

    pub fn kill(&mut self, id: u16) {
        self.change_backend(id, |b| b.flags |= backend_flags::DEAD);
    }

    /// MAC addresses that a frame for this backend has: destination, source.
    pub fn link_to(&self, id: u16) -> (Mac, Mac) {
        let backend = &self.maps.backends[&id];
        (backend.destination_mac, backend.source_mac)
    }

    /// Adds a service whose slots all have this word; resets flows of dead
    /// backends and keeps UDP flows.
    pub fn service(&mut self, word: SlotWord) -> u16 {
        const SLOTS: u32 = 7;
        let id = self.maps.services.len() as u16 + 1;
        let table = Table { base: self.next_slot, count: SLOTS, key: KEY };
        self.next_slot += 64;
        for slot in table.base..table.base + SLOTS {
            self.maps.slots.insert(slot, word);
        }
        let service = Service {
            flags: service_flags::USED | service_flags::RESET_ON_DEAD | service_flags::UDP_KEEP,
            table,
            tcp_idle: 350 * TICKS_PER_SECOND,
            half_open: 60 * TICKS_PER_SECOND,
            closing: 60 * TICKS_PER_SECOND,
            arming: 60 * TICKS_PER_SECOND,
            udp_idle: 60 * TICKS_PER_SECOND,
            ..Service::default()
        };
        self.maps.services.insert(id, service);
        id
    }

    pub fn change_service(&mut self, id: u16, change: impl FnOnce(&mut Service)) {
        change(self.maps.services.get_mut(&id).expect("a service"));
    }

    /// Adds a VIP.
    pub fn vip(&mut self, address: IpAddr, unserved: Unserved) {
        self.vips += 1;
        self.add_entry(address, VipEntry::meta(self.vips, unserved, false, false));
    }

    pub(crate) fn add_entry(&mut self, address: IpAddr, meta: u64) {
        let address = split(mapped(address));
        let entry = VipEntry { address, meta, reserved: 0 };
        for index in lookup::vip_buckets(address) {
            let bucket = self.maps.vips.entry(index).or_default();
            if let Some(free) = bucket.entries.iter_mut().find(|e| !e.used()) {
                *free = entry;
                return;
            }
        }
        panic!("no room for a VIP");
    }

    pub(crate) fn has_entry(&self, address: IpAddr) -> bool {
        let address = split(mapped(address));
        let mut entries = self.maps.vips.values().flat_map(|bucket| &bucket.entries);
        entries.any(|e| e.used() && e.address == address)
    }

    pub(crate) fn vip_entry(&mut self, address: IpAddr) -> &mut VipEntry {
        let address = split(mapped(address));
        let buckets = self.maps.vips.values_mut();
        let mut entries = buckets.flat_map(|bucket| &mut bucket.entries);
        entries.find(|e| e.used() && e.address == address).expect("a VIP")
    }

    /// Gives a port of a VIP to a service; port 0 stands for any.
    pub fn serve(&mut self, vip: IpAddr, protocol: u8, port: u16, service: u16) {
        let entry = self.vip_entry(vip);
        let (id, old) = (VipEntry::id_of(entry.meta), entry.meta);
        if port == 0 {
            let any = |p| p == protocol || VipEntry::any_port_of(old, p);
            entry.meta = VipEntry::meta(id, VipEntry::unserved_of(old), any(TCP), any(UDP));
        }
        let entry = PortEntry::new(id, protocol, port, service);
        for index in lookup::port_buckets(entry.key()) {
            let bucket = self.maps.ports.entry(index).or_default();
            if let Some(free) = bucket.entries.iter_mut().find(|e| **e == PortEntry::default()) {
                *free = entry;
                return;
            }
        }
        panic!("no room for a port");
    }

    /// The hash of a packet's flow in this service.
    pub fn hash(&self, service: u16, packet: &Packet) -> FlowHash {
        FlowHash::of(&FlowWords::from(&flow_key(packet)), self.maps.services[&service].table.key)
    }

    /// Index of the slot that a packet's flow has in this service.
    pub fn slot_of(&self, service: u16, packet: &Packet) -> u32 {
        let table = &self.maps.services[&service].table;
        table.base + self.hash(service, packet).slot(table.count)
    }
}

/// The flow that a TCP or UDP packet belongs to.
pub fn flow_key(packet: &Packet) -> lb_common::abi::FlowKey {
    let ports = match &packet.upper {
        Upper::Tcp { ports, .. } | Upper::Udp { ports, .. } => ports,
        other => panic!("{other:?} has no ports"),
    };
    lb_common::abi::FlowKey {
        source: mapped(packet.source),
        destination: mapped(packet.destination),
        source_port: ports[0].to_be_bytes(),
        destination_port: ports[1].to_be_bytes(),
        protocol: packet.upper.protocol(false),
        reserved: [0; 3],
    }
}
