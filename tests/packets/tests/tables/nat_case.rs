//! One client, one VIP, one backend behind translation: every mode and pair of
//! families, and what each end sends and sees.

use std::net::IpAddr;

use lb_common::abi::Unserved;
use lb_test_support::bench::{Bench, Expect};
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::packet::{BALANCER, Mac, Packet, ROUTER, Upper};
use lb_test_support::world::{INGRESS, World, ends};
use lb_test_support::world_nat::{POOL_PORT, translated};

use crate::nat::{BACKEND_PORT, inside};

pub const CLIENT_PORT: u16 = 40_000;
/// Where a backend's frames come from.
const BACKEND_MAC: Mac = [2, 0, 0, 0, 0, 9];

pub struct Case {
    pub client: IpAddr,
    pub vip: IpAddr,
    pub backend_v6: bool,
    /// The backend sees the client's own address and port.
    pub keeps: bool,
    pub world: World,
    pub service: u16,
    pub id: u16,
}

impl Case {
    pub fn all() -> impl Iterator<Item = Self> {
        Self::nat().chain(Self::dnat())
    }

    pub fn nat() -> impl Iterator<Item = Self> {
        ends().into_iter().flat_map(|ends| [false, true].map(|v6| Self::new(ends, v6, false)))
    }

    pub fn dnat() -> impl Iterator<Item = Self> {
        ends().into_iter().map(|ends| Self::new(ends, ends.0.is_ipv6(), true))
    }

    /// The pool has one port.
    fn new((client, vip): (IpAddr, IpAddr), backend_v6: bool, keeps: bool) -> Self {
        let mut world = World::new();
        let (backend, source) = inside(backend_v6);
        let entry = translated(INGRESS, backend, BACKEND_PORT);
        let (service, id) = world.nat_service(entry, &[source]);
        world.vip(vip, Unserved::Drop);
        world.serve(vip, TCP, 80, service);
        world.serve(vip, UDP, 80, service);
        if keeps {
            world.keep_clients(service, &[backend]);
        }
        Self { client, vip, backend_v6, keeps, world, service, id }
    }

    pub fn backend(&self) -> IpAddr {
        inside(self.backend_v6).0
    }

    /// Whom the backend takes for its client.
    pub fn seen_client(&self) -> (IpAddr, u16) {
        match self.keeps {
            true => (self.client, CLIENT_PORT),
            false => (inside(self.backend_v6).1, POOL_PORT),
        }
    }

    /// What the client sends.
    pub fn of_client(&self, upper: Upper) -> Packet {
        Packet::new(self.client, self.vip, upper.between([CLIENT_PORT, 80]))
    }

    /// The same as the backend gets it.
    pub fn to_backend(&self, upper: Upper) -> Packet {
        let (source, port) = self.seen_client();
        Packet::new(source, self.backend(), upper.between([port, BACKEND_PORT]))
            .with(|p| (p.link_destination, p.link_source) = self.world.link_to(self.id))
    }

    /// What the backend sends.
    pub fn of_backend(&self, upper: Upper) -> Packet {
        let (source, port) = self.seen_client();
        Packet::new(self.backend(), source, upper.between([BACKEND_PORT, port]))
            .with(|p| p.link_source = BACKEND_MAC)
    }

    /// The same as the client gets it.
    pub fn to_client(&self, upper: Upper) -> Packet {
        Packet::new(self.vip, self.client, upper.between([80, CLIENT_PORT]))
            .with(|p| (p.link_destination, p.link_source) = (ROUTER, BALANCER))
    }

    /// The client sends, and the backend gets it.
    pub fn asks(&self, bench: &mut Bench, upper: Upper) {
        let out = self.to_backend(upper.clone()).frame();
        let what = self.what(&format!("{upper:?}"));
        bench.expect(&what, &self.of_client(upper).frame(), Expect::Transmit(out));
    }

    /// The backend sends, and the client gets it.
    pub fn answers(&self, bench: &mut Bench, upper: Upper) {
        let out = self.to_client(upper.clone()).frame();
        let what = self.what(&format!("answer {upper:?}"));
        bench.expect(&what, &self.of_backend(upper).frame(), Expect::Transmit(out));
    }

    pub fn what(&self, step: &str) -> String {
        let Self { client, vip, .. } = self;
        let mode = if self.keeps { "dnat" } else { "nat" };
        format!("{mode}, {client} to {vip} on {}: {step}", self.backend())
    }
}
