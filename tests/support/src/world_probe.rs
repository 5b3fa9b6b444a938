//! Probes through the data path, for the small balancer of [`World`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lb_common::abi::probe::{
    PROBE_HOST_MAC, PROBE_NAMESPACE_MAC, PROBE_V4, PROBE_V6, alias_v4, alias_v6,
};
use lb_common::abi::{ProbeWay, VipEntry};
use lb_common::hash::split;

use crate::packet::{Packet, Upper};
use crate::world::{OTHER_INTERFACE, World, mapped};

/// The pair's end on this host.
pub const PROBE_INTERFACE: u32 = OTHER_INTERFACE + 1;

impl World {
    /// Probes of `backend` under `vip` leave from `source`.
    pub fn probe_way(&mut self, number: u16, backend: u16, (vip, source): (IpAddr, IpAddr)) {
        let [vip, address] = [vip, source].map(|one| split(mapped(one)));
        let meta = ProbeWay::meta(backend, PROBE_INTERFACE);
        let way = ProbeWay { meta, vip, source: address, reserved: 0 };
        self.maps.probe_ways.insert(number, way);
        self.mark(source, VipEntry::with_probe_source);
    }
}

/// The prober's own address, and the alias of a way.
pub fn prober(number: u16, v6: bool) -> (IpAddr, IpAddr) {
    if v6 {
        (Ipv6Addr::from(PROBE_V6).into(), Ipv6Addr::from(alias_v6(number)).into())
    } else {
        (Ipv4Addr::from(PROBE_V4).into(), Ipv4Addr::from(alias_v4(number)).into())
    }
}

/// What the prober sends toward a way.
pub fn from_prober(number: u16, v6: bool, upper: Upper) -> Packet {
    let (own, alias) = prober(number, v6);
    Packet::new(own, alias, upper).with(|p| {
        (p.link_source, p.link_destination) = (PROBE_NAMESPACE_MAC, PROBE_HOST_MAC);
    })
}

/// What it gets from there.
pub fn to_prober(number: u16, v6: bool, upper: Upper) -> Packet {
    let (own, alias) = prober(number, v6);
    Packet::new(alias, own, upper).with(|p| {
        (p.link_source, p.link_destination) = (PROBE_HOST_MAC, PROBE_NAMESPACE_MAC);
    })
}
