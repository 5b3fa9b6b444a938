//! Services that translate, for the small balancer of [`World`].

use std::net::IpAddr;

use lb_common::abi::{
    Backend, NatSettings, POOL_ADDRESSES, Pool, SlotWord, VipEntry, backend_flags, features,
    service_flags,
};
use lb_common::hash::split;

use crate::kernel::NAT_BUCKETS;
use crate::world::{World, direct, mapped};

/// Port that translated flows leave from.
pub const POOL_PORT: u16 = 20_000;

/// A backend at `address`, reached with translation; `port` 0: as the client's.
pub fn translated(ifindex: u32, address: IpAddr, port: u16) -> Backend {
    let mut backend = direct(ifindex);
    backend.port = port;
    match address {
        IpAddr::V4(address) => backend.outer_destination[..4].copy_from_slice(&address.octets()),
        IpAddr::V6(address) => {
            backend.flags |= backend_flags::OUTER_V6;
            backend.outer_destination = address.octets();
        }
    }
    backend
}

impl World {
    /// Makes a service translate, from these addresses and `ports` ports.
    pub fn translate(&mut self, service: u16, sources: &[IpAddr], ports: u16) {
        let mut pool = Pool { first_port: POOL_PORT, ports, ..Pool::default() };
        for source in sources {
            let words = split(mapped(*source));
            if source.is_ipv4() {
                pool.v4[pool.v4_count as usize] = words[1];
                pool.v4_count += 1;
            } else {
                pool.v6[pool.v6_count as usize] = words;
                pool.v6_count += 1;
            }
            assert!(pool.v4_count.max(pool.v6_count) as usize <= POOL_ADDRESSES);
            self.nat_source(*source);
        }
        let index = u32::from(service);
        self.maps.pools.insert(index, pool);
        self.change_service(service, |s| {
            s.flags |= service_flags::NAT | service_flags::NAT_LOOKUP;
            s.pool = index;
        });
        self.maps.settings.features |= features::FRAGMENTS;
        let ticks = self.maps.settings.ticks_per_second;
        self.maps.nat_settings = NatSettings {
            key: [0x0f1e_2d3c_4b5a_6978, 0x8796_a5b4_c3d2_e1f0],
            narrow: NAT_BUCKETS,
            wide: NAT_BUCKETS,
            narrow_new: NAT_BUCKETS,
            wide_new: NAT_BUCKETS,
            rest_client: 10 * ticks,
            rest_backend: 60 * ticks,
            rest_udp: ticks,
            guard: ticks,
            mixed: 1,
            least_mtu: 1500,
            ..NatSettings::default()
        };
    }

    /// Makes a service keep its clients' addresses.
    pub fn keep_clients(&mut self, service: u16, backends: &[IpAddr]) {
        self.change_service(service, |s| s.flags |= service_flags::KEEP_CLIENT);
        self.maps.settings.features |= features::DNAT;
        for backend in backends {
            self.mark(*backend, VipEntry::with_dnat_backend);
        }
    }

    fn nat_source(&mut self, address: IpAddr) {
        self.mark(address, VipEntry::with_nat_source);
    }

    /// Changes what the VIP table says of an address, VIP or not.
    pub(crate) fn mark(&mut self, address: IpAddr, change: impl Fn(u64) -> u64) {
        if !self.has_entry(address) {
            self.add_entry(address, VipEntry::NOT_A_VIP);
        }
        let entry = self.vip_entry(address);
        entry.meta = change(entry.meta);
    }

    /// A service that translates to one backend, all its slots at rest.
    pub fn nat_service(&mut self, backend: Backend, sources: &[IpAddr]) -> (u16, u16) {
        let backend = self.backend(backend);
        let service = self.service(SlotWord::at_rest(backend, 0));
        self.translate(service, sources, 1);
        (service, backend)
    }
}
