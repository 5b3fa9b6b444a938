//! What the program under test finds in its maps: one VIP per shape of
//! service, or a hundred, each with a pool of its own.

use anyhow::Result;
use lb_common::abi::{
    Backend, MAX_BACKENDS, MAX_POOLS, MAX_SERVICES, POOL_ADDRESSES, PORT_BUCKETS, Pool, PortBucket,
    PortEntry, Service, SlotWord, Table, Unserved, VIP_BUCKETS, VipBucket, VipEntry, backend_flags,
    map_names, service_flags,
};
use lb_common::checksum;
use lb_common::hash::{FlowHash, FlowWords, join, split, v4_mapped};
use lb_common::lookup;
use lb_common::maglev::{self, Member, Scratch, Turns};
use lb_daemon::config;

use crate::kernel::Kernel;
use crate::mapped::Mapped;
use crate::slot_maps::SlotMaps;

pub const PORT: u16 = 80;
const TCP: u8 = 6;
const KEY: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
/// Index of the loopback device, the one a test run's packets come from.
const LOOPBACK: u32 = 1;
/// Backends of a service that is alone, and of each of a hundred. Their tables
/// are as large as the daemon makes them.
const ALONE: u16 = 100;
const OF_MANY: u16 = 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Dsr,
    Ipip,
    Nat,
    Dnat,
}

impl Mode {
    pub fn translates(self) -> bool {
        matches!(self, Self::Nat | Self::Dnat)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

/// In ticks; 200 ms at 250 a second.
const REPEAT_AFTER: u32 = 50;

/// What the slots of a service say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slots {
    AtRest,
    /// Look up.
    LookUp,
    /// Look up and store.
    Store,
}

/// Services of one shape, with consecutive VIPs, service ids and backend ids.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    pub mode: Mode,
    pub family: Family,
    pub slots: Slots,
    pub services: u16,
    first_service: u16,
    pub first_backend: u16,
    backends: u16,
    first_slot: u32,
    table: u32,
}

impl Group {
    /// Last 32 bits of the first VIP.
    pub fn first_vip(&self) -> u32 {
        0xcb00_0000 | self.first_service as u32
    }

    pub fn address(&self, vip: u32) -> [u64; 2] {
        address(self.family, vip)
    }

    /// Backends of all its services.
    pub fn all_backends(&self) -> u16 {
        self.services * self.backends
    }
}

/// An address with the last 32 bits given: 32 bits of IPv4, or in 2001:db8::/96.
pub fn address(family: Family, last: u32) -> [u64; 2] {
    match family {
        Family::V4 => v4_mapped(last.to_be_bytes()),
        Family::V6 => {
            let prefix =
                u128::from_be_bytes([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            split((prefix | last as u128).to_be_bytes())
        }
    }
}

pub struct World {
    vips: Mapped<VipBucket>,
    ports: Mapped<PortBucket>,
    services: Mapped<Service>,
    slots: SlotMaps,
    backends: Mapped<Backend>,
    pools: Mapped<Pool>,
    next_service: u16,
    next_backend: u16,
    next_slot: u32,
}

impl World {
    pub fn new(kernel: &Kernel) -> Result<Self> {
        Ok(Self {
            vips: Mapped::of(kernel.map(map_names::VIPS)?, VIP_BUCKETS)?,
            ports: Mapped::of(kernel.map(map_names::PORTS)?, PORT_BUCKETS)?,
            services: Mapped::of(kernel.map(map_names::SERVICES)?, MAX_SERVICES)?,
            slots: SlotMaps::of(kernel)?,
            backends: Mapped::of(kernel.map(map_names::BACKENDS)?, MAX_BACKENDS)?,
            pools: Mapped::of(kernel.map(map_names::POOLS)?, MAX_POOLS)?,
            next_service: 1,
            next_backend: 1,
            next_slot: 0,
        })
    }

    /// Adds one service, or many of small pools.
    pub fn add(&mut self, mode: Mode, family: Family, slots: Slots, services: u16) -> Group {
        let backends = if services == 1 { ALONE } else { OF_MANY };
        let table = config::default_table_size(backends.into());
        let group = Group {
            mode,
            family,
            slots,
            services,
            first_service: self.next_service,
            first_backend: self.next_backend,
            backends,
            first_slot: self.next_slot,
            table,
        };
        self.next_service += services;
        self.next_backend += group.all_backends();
        self.next_slot += services as u32 * table;
        for index in 0..services {
            self.add_service(&group, index);
        }
        group
    }

    /// Adds one service that looks for trouble in its traffic.
    pub fn add_watched(&mut self, mode: Mode, family: Family) -> Group {
        let group = self.add(mode, family, Slots::AtRest, 1);
        let id = group.first_service.into();
        let mut service = self.services.get(id);
        service.repeat_after = REPEAT_AFTER;
        service.half_open = FOREVER;
        self.services.set(id, service);
        group
    }

    fn add_service(&mut self, group: &Group, index: u16) {
        let id = group.first_service + index;
        let first_backend = group.first_backend + index * group.backends;
        for backend in first_backend..first_backend + group.backends {
            self.backends.set(backend.into(), backend_entry(group, backend));
        }
        let table = Table {
            base: group.first_slot + index as u32 * group.table,
            count: group.table,
            key: KEY,
        };
        let owners = owners(first_backend, group.backends, group.table);
        for (slot, owner) in (table.base..).zip(owners) {
            let next = first_backend + (owner - first_backend + 1) % group.backends;
            let word = match group.slots {
                Slots::AtRest => SlotWord::at_rest(owner, 1),
                Slots::LookUp => SlotWord::new(owner, owner, 1, true, false),
                Slots::Store => SlotWord::new(next, owner, 1, true, true),
            };
            self.slots.set(slot, word);
        }
        // Times matter to translated flows only.
        let mut service = Service { flags: service_flags::USED, table, ..Service::default() };
        if group.mode.translates() {
            self.translate(group, &mut service, id);
        }
        self.services.set(id.into(), service);
        self.add_port(PortEntry::new(id, TCP, PORT, id));
        let vip = group.address(group.first_vip() + index as u32);
        self.add_vip(vip, VipEntry::meta(id, Unserved::Reject, false, false));
    }

    fn translate(&mut self, group: &Group, service: &mut Service, id: u16) {
        service.flags |= service_flags::NAT | service_flags::NAT_LOOKUP;
        service.pool = id.into();
        for life in [&mut service.tcp_idle, &mut service.half_open, &mut service.closing] {
            *life = FOREVER;
        }
        let mut pool = Pool { first_port: 10_240, ports: 22_528, ..Pool::default() };
        let sources: [u32; POOL_ADDRESSES] =
            std::array::from_fn(|i| FIRST_POOL_ADDRESS + u32::from(id) * 16 + i as u32);
        for (i, source) in sources.into_iter().enumerate() {
            let address = group.address(source);
            match group.family {
                Family::V4 => pool.v4[i] = address[1],
                Family::V6 => pool.v6[i] = address,
            }
            self.add_vip(address, VipEntry::with_nat_source(VipEntry::NOT_A_VIP));
        }
        match group.family {
            Family::V4 => pool.v4_count = POOL_ADDRESSES as u32,
            Family::V6 => pool.v6_count = POOL_ADDRESSES as u32,
        }
        self.pools.set(id.into(), pool);
        if group.mode == Mode::Dnat {
            service.flags |= service_flags::KEEP_CLIENT;
            for backend in group.first_backend..group.first_backend + group.backends {
                let address = group.address(backend_address(backend));
                self.add_vip(address, VipEntry::with_dnat_backend(VipEntry::NOT_A_VIP));
            }
        }
    }

    /// A backend's entry.
    pub fn backend(&self, id: u16) -> Backend {
        self.backends.get(id.into())
    }

    fn add_port(&mut self, entry: PortEntry) {
        for index in lookup::port_buckets(entry.key()) {
            let mut bucket = self.ports.get(index);
            if let Some(free) = bucket.entries.iter_mut().find(|entry| entry.0 == 0) {
                *free = entry;
                self.ports.set(index, bucket);
                return;
            }
        }
        panic!("both buckets of a port are full");
    }

    fn add_vip(&mut self, address: [u64; 2], meta: u64) {
        for index in lookup::vip_buckets(address) {
            let mut bucket = self.vips.get(index);
            if let Some(free) = bucket.entries.iter_mut().find(|entry| !entry.used()) {
                *free = VipEntry { address, meta, reserved: 0 };
                self.vips.set(index, bucket);
                return;
            }
        }
        panic!("both buckets of a VIP are full");
    }

    /// The backend of a flow to the group's VIP `vip` (its last 32 bits), as
    /// the maps have it.
    pub fn owner(&self, group: &Group, flow: &FlowWords, vip: u32) -> (Backend, FlowHash) {
        let service = self.services.get(group.first_service as u32 + (vip - group.first_vip()));
        let hash = FlowHash::of(flow, service.table.key);
        let word = self.slots.get(service.table.base + hash.slot(service.table.count));
        (self.backends.get(word.settled().into()), hash)
    }
}

/// The Maglev table of `count` equal backends from id `first` on.
pub fn owners(first: u16, count: u16, size: u32) -> Vec<u16> {
    let members: Vec<Member> = (first..first + count)
        .map(|id| Member { id, weight: 1, identity: [0, id as u64] })
        .collect();
    let mut table = vec![0; size as usize];
    let mut scratch = Scratch {
        turns: &mut vec![Turns::default(); members.len()],
        calendar: &mut vec![0; size as usize],
    };
    maglev::build(&mut table, &members, 1, &mut scratch);
    table
}

/// Ticks, more than the bench lasts.
const FOREVER: u32 = 1 << 30;
const FIRST_POOL_ADDRESS: u32 = 0xc612_8000;

/// Last 32 bits of a backend's address.
fn backend_address(id: u16) -> u32 {
    0x0a00_0000 | u32::from(id)
}

const BALANCER: [u8; 4] = [192, 0, 2, 1];

fn backend_entry(group: &Group, id: u16) -> Backend {
    let [high, low] = id.to_be_bytes();
    let mut backend = Backend {
        flags: backend_flags::USED | backend_flags::RESOLVED | backend_flags::PROBED,
        ifindex: LOOPBACK,
        destination_mac: [2, 0, 0, 1, high, low],
        source_mac: [2, 0, 0, 2, 0, 1],
        mtu: 1500,
        ..Backend::default()
    };
    match group.mode {
        Mode::Dsr => return backend,
        Mode::Nat | Mode::Dnat => {
            let address = join(group.address(backend_address(id)));
            match group.family {
                Family::V4 => backend.outer_destination[..4].copy_from_slice(&address[12..]),
                Family::V6 => {
                    backend.flags |= backend_flags::OUTER_V6;
                    backend.outer_destination = address;
                }
            }
            return backend;
        }
        Mode::Ipip => {}
    }
    backend.flags |= backend_flags::TUNNEL;
    backend.outer_ttl = 64;
    match group.family {
        Family::V4 => {
            let destination = [10, 0, high, low];
            backend.outer_source[..4].copy_from_slice(&BALANCER);
            backend.outer_destination[..4].copy_from_slice(&destination);
            let [s0, s1, s2, s3] = BALANCER;
            let constant = [0x45, 0, 64, 0, s0, s1, s2, s3, 10, 0, high, low];
            let sum = constant.chunks(2).map(|w| u16::from_be_bytes([w[0], w[1]]) as u32).sum();
            backend.outer_sum = checksum::fold(sum);
        }
        Family::V6 => {
            backend.flags |= backend_flags::OUTER_V6;
            backend.outer_source[0] = 0xfd;
            backend.outer_destination = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, high, low];
        }
    }
    backend
}
