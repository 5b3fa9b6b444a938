//! A backend's entry in the map: how packets get there, and its state.

use std::net::IpAddr;

use lb_common::{
    abi::{Backend, backend_flags as flag},
    checksum,
    transition::Health,
};

use crate::{
    config::{Mode, OuterSource, Tunnel},
    netlink::{NextHop, NextHopError},
};

const IPV4_HEADER: u32 = 20;
const IPV6_HEADER: u32 = 40;

/// What a backend's entry is made of.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub mode: &'a Mode,
    pub address: IpAddr,
    /// Of translated flows; 0: as the client's.
    pub port: u16,
    pub health: Health,
    /// Whether its state comes from probes.
    pub probed: bool,
    /// `None`: not looked up yet.
    pub next_hop: Option<&'a Result<NextHop, NextHopError>>,
}

/// The entry, given the one that is there. The next hop of that stays while
/// the kernel has not said anything else.
pub fn entry(wanted: &Wanted<'_>, present: &Backend) -> Backend {
    let state = state_flags(wanted);
    match wanted.next_hop {
        Some(Ok(hop)) => match reach(wanted, hop) {
            Some(reached) => Backend { flags: reached.flags | state | flag::RESOLVED, ..reached },
            None => Backend { flags: state, ..Backend::default() },
        },
        Some(Err(error)) if error.is_own_host() => here(wanted, state),
        None | Some(Err(NextHopError::Resolving(_))) if is_same_way(wanted, present) => {
            Backend { flags: state | present.flags & WAY, ..*present }
        }
        None | Some(Err(_)) => Backend { flags: state, ..Backend::default() },
    }
}

/// Flags that belong to the way rather than to the state.
const WAY: u32 = flag::RESOLVED | flag::LOCAL | flag::TUNNEL | flag::OUTER_V6;

/// A backend on this host.
fn here(wanted: &Wanted<'_>, state: u32) -> Backend {
    Backend {
        flags: state | flag::LOCAL | family(wanted.address),
        mtu: u16::MAX,
        outer_destination: bytes(wanted.address),
        port: wanted.port,
        ..Backend::default()
    }
}

const fn family(address: IpAddr) -> u32 {
    if address.is_ipv6() { flag::OUTER_V6 } else { 0 }
}

fn state_flags(wanted: &Wanted<'_>) -> u32 {
    let state = match wanted.health {
        Health::Up => 0,
        Health::Failing => flag::FAILING,
        Health::Dead => flag::DEAD,
    };
    let probed = if wanted.probed { flag::PROBED } else { 0 };
    flag::USED | state | probed
}

/// Whether `present` leads to the wanted address in the wanted way.
fn is_same_way(wanted: &Wanted<'_>, present: &Backend) -> bool {
    let tunnel = present.flags & flag::TUNNEL != 0;
    let same = match wanted.mode {
        Mode::Dsr => !tunnel,
        Mode::Nat(_) | Mode::Dnat(_) => {
            !tunnel
                && present.outer_destination == bytes(wanted.address)
                && present.port == wanted.port
        }
        Mode::Ipip(_) => tunnel && present.outer_destination == bytes(wanted.address),
    };
    same && present.flags & (flag::RESOLVED | flag::LOCAL) != 0
}

/// The way to the backend, if there is one in its mode.
fn reach(wanted: &Wanted<'_>, hop: &NextHop) -> Option<Backend> {
    let base = Backend {
        ifindex: hop.ifindex,
        destination_mac: hop.destination_mac.0,
        source_mac: hop.source_mac.0,
        ..Backend::default()
    };
    match wanted.mode {
        // A gateway would route the packet, still addressed to the VIP, back here.
        Mode::Dsr if hop.gateway.is_some() => None,
        Mode::Dsr => Some(Backend {
            flags: family(wanted.address),
            mtu: clamp(hop.mtu),
            outer_destination: bytes(wanted.address),
            ..base
        }),
        Mode::Ipip(tunnel) => through(tunnel, wanted.address, hop, base),
        Mode::Nat(_) | Mode::Dnat(_) => translated(wanted, hop, base),
    }
}

fn translated(wanted: &Wanted<'_>, hop: &NextHop, base: Backend) -> Option<Backend> {
    Some(Backend {
        flags: family(wanted.address),
        mtu: clamp(hop.mtu),
        outer_source: bytes(hop.source?),
        outer_destination: bytes(wanted.address),
        port: wanted.port,
        ..base
    })
}

fn through(tunnel: &Tunnel, address: IpAddr, hop: &NextHop, base: Backend) -> Option<Backend> {
    let (source, entropy_mask) = match tunnel.source_toward(address) {
        OuterSource::Route => (hop.source?, 0),
        OuterSource::Fixed(source) => (source, 0),
        OuterSource::Prefix(prefix) => (prefix.address, prefix.host_mask()),
    };
    let (header, family) = match address {
        IpAddr::V4(_) => (IPV4_HEADER, 0),
        IpAddr::V6(_) => (IPV6_HEADER, flag::OUTER_V6),
    };
    Some(Backend {
        flags: flag::TUNNEL | family,
        mtu: clamp(hop.mtu.saturating_sub(header)),
        outer_sum: outer_sum(source, address, tunnel.ttl),
        outer_source: bytes(source),
        outer_destination: bytes(address),
        entropy_mask,
        outer_ttl: tunnel.ttl,
        ..base
    })
}

/// The sum of an outer IPv4 header's constant words; an IPv6 header has none.
fn outer_sum(source: IpAddr, destination: IpAddr, ttl: u8) -> u16 {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => checksum::fold(
            0x4500
                + (u32::from(ttl) << 8)
                + checksum::words(source.octets())
                + checksum::words(destination.octets()),
        ),
        _ => 0,
    }
}

fn bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn clamp(mtu: u32) -> u16 {
    u16::try_from(mtu).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::Prefix, netlink::MacAddress};

    fn hop() -> NextHop {
        NextHop {
            ifindex: 3,
            interface: "eth0".into(),
            source_mac: MacAddress([2, 0, 0, 0, 0, 1]),
            destination_mac: MacAddress([2, 0, 0, 0, 0, 2]),
            mtu: 1500,
            source: Some("10.0.0.1".parse().unwrap()),
            gateway: None,
        }
    }

    fn made(mode: &Mode, address: &str, hop: NextHop, present: &Backend) -> Backend {
        let next_hop = Ok(hop);
        let wanted = Wanted {
            mode,
            address: address.parse().unwrap(),
            port: 0,
            health: Health::Up,
            probed: true,
            next_hop: Some(&next_hop),
        };
        entry(&wanted, present)
    }

    fn ipip(v4: OuterSource) -> Mode {
        Mode::Ipip(Tunnel { v4, v6: OuterSource::Route, ttl: 64 })
    }

    #[test]
    fn dsr_rewrites_macs_on_the_link_only() {
        let entry = made(&Mode::Dsr, "10.0.0.11", hop(), &Backend::default());
        assert_eq!(entry.flags, flag::USED | flag::PROBED | flag::RESOLVED);
        assert_eq!((entry.ifindex, entry.mtu), (3, 1500));
        assert_eq!(entry.destination_mac, [2, 0, 0, 0, 0, 2]);
        let gateway = Some("10.0.0.254".parse().unwrap());
        let far = made(&Mode::Dsr, "10.9.0.11", NextHop { gateway, ..hop() }, &Backend::default());
        assert_eq!(far.flags, flag::USED | flag::PROBED);
    }

    #[test]
    fn a_tunnel_has_its_sum_and_room_for_its_header() {
        let entry = made(&ipip(OuterSource::Route), "10.0.0.11", hop(), &Backend::default());
        assert_eq!(entry.flags & (flag::TUNNEL | flag::OUTER_V6), flag::TUNNEL);
        assert_eq!(entry.mtu, 1480);
        // 4500 + 4000 + 0a00 + 0001 + 0a00 + 000b
        assert_eq!(entry.outer_sum, 0x990c);
        assert_eq!(entry.outer_source[..4], [10, 0, 0, 1]);
    }

    #[test]
    fn entropy_comes_from_the_prefix_and_an_unknown_source_is_no_way() {
        let prefix = Prefix { address: "10.200.0.0".parse().unwrap(), length: 16 };
        let entry =
            made(&ipip(OuterSource::Prefix(prefix)), "10.0.0.11", hop(), &Backend::default());
        assert_eq!(entry.entropy_mask, 0xffff);
        let nowhere = NextHop { source: None, ..hop() };
        let entry = made(&ipip(OuterSource::Route), "10.0.0.11", nowhere, &Backend::default());
        assert_eq!(entry.flags & flag::RESOLVED, 0);
    }

    #[test]
    fn a_backend_on_this_host_is_left_to_the_kernel() {
        let target = "2001:db8::1".parse().unwrap();
        let wanted = Wanted {
            mode: &ipip(OuterSource::Route),
            address: target,
            port: 8080,
            health: Health::Failing,
            probed: true,
            next_hop: Some(&Err(NextHopError::OwnAddress { target })),
        };
        let entry = entry(&wanted, &Backend::default());
        let flags = flag::USED | flag::PROBED | flag::FAILING | flag::LOCAL | flag::OUTER_V6;
        assert_eq!((entry.flags, entry.port), (flags, 8080));
        assert_eq!(entry.outer_destination, bytes(target));
    }

    #[test]
    fn what_is_known_stays_until_the_kernel_says_otherwise() {
        let present = made(&Mode::Dsr, "10.0.0.11", hop(), &Backend::default());
        let address = "10.0.0.11".parse().unwrap();
        let wanted = |mode, next_hop| Wanted {
            mode,
            address,
            port: 0,
            health: Health::Dead,
            probed: true,
            next_hop,
        };
        let kept = entry(&wanted(&Mode::Dsr, None), &present);
        assert_eq!((kept.flags, kept.ifindex), (present.flags | flag::DEAD, 3));
        let tunnel = ipip(OuterSource::Route);
        let other_way = entry(&wanted(&tunnel, None), &present);
        assert_eq!(other_way.flags & flag::RESOLVED, 0);
        let target = "10.0.0.11".parse().unwrap();
        let no_route = Err(NextHopError::NoRoute { target, down: None });
        let lost = entry(&wanted(&Mode::Dsr, Some(&no_route)), &present);
        assert_eq!(lost.flags & flag::RESOLVED, 0);
    }
}
