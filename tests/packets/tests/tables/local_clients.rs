//! Which backend a socket of the balancer's own host gets in place of a VIP.

use std::net::IpAddr;

use lb_common::abi::{SlotWord, Unserved, backend_flags, service_flags};
use lb_common::datapath::local_client::{Place, Socket, backend_for};
use lb_common::hash::split;
use lb_test_support::host::Host;
use lb_test_support::packet::protocol::{TCP, UDP};
use lb_test_support::world::{INGRESS, World, address, mapped};
use lb_test_support::world_nat::translated;

fn place(text: &str, port: u16) -> Place {
    Place { address: split(mapped(address(text))), port }
}

fn socket(v4: bool, v6: bool, protocol: u8) -> Socket {
    Socket { cookie: 0x1234, protocol, v4, v6 }
}

const OF_V4: (bool, bool) = (true, false);
/// Of IPv6, where `connect` takes both families and a datagram its own alone.
const OF_BOTH: (bool, bool) = (true, true);
const OF_V6: (bool, bool) = (false, true);

/// TCP port 80 of both families' VIPs, to one backend's port 8080.
fn world(backend: &str, translates: bool, change: impl FnOnce(&mut u32)) -> World {
    let mut world = World::new();
    let port = if translates { 8080 } else { 0 };
    let id = world.backend(translated(INGRESS, address(backend), port));
    world.change_backend(id, |b| change(&mut b.flags));
    let service = world.service(SlotWord::at_rest(id, 0));
    if translates {
        world.change_service(service, |s| s.flags |= service_flags::NAT);
    }
    for vip in ["203.0.113.10", "2001:db8::10"] {
        let vip: IpAddr = address(vip);
        world.vip(vip, Unserved::Drop);
        world.serve(vip, TCP, 80, service);
    }
    world
}

const V4: &str = "203.0.113.10";
const V6: &str = "2001:db8::10";

#[test]
fn the_families_that_a_socket_takes() {
    let (near, far) = ("10.0.0.8", "2001:db8:b::8");
    for (what, backend, families, vip, expected) in [
        ("IPv4", near, OF_V4, V4, Some(near)),
        ("IPv6", far, OF_BOTH, V6, Some(far)),
        ("a datagram over IPv6", far, OF_V6, V6, Some(far)),
        ("a mapped address", near, OF_BOTH, V4, Some(near)),
        ("an IPv4 backend over IPv6", near, OF_BOTH, V6, Some(near)),
        ("the same for a datagram", near, OF_V6, V6, None),
        ("an IPv6 backend over IPv4", far, OF_V4, V4, None),
        ("the same from an IPv6 socket", far, OF_BOTH, V4, None),
    ] {
        let host = Host::new(world(backend, true, |_| {}).maps);
        let socket = socket(families.0, families.1, TCP);
        let found = backend_for(&host, &socket, &place(vip, 80));
        assert_eq!(found, expected.map(|text| place(text, 8080)), "{what}");
    }
}

#[test]
fn what_has_no_backend_to_offer_stays_as_it_is() {
    let found = |world: World, to: Place, protocol| {
        backend_for(&Host::new(world.maps), &socket(true, false, protocol), &to)
    };
    let nat = |change: fn(&mut u32)| world("10.0.0.8", true, change);
    let vip = || place(V4, 80);
    assert_eq!(found(nat(|_| {}), place("203.0.113.11", 80), TCP), None, "another address");
    assert_eq!(found(nat(|_| {}), place(V4, 81), TCP), None, "a port without a service");
    assert_eq!(found(nat(|_| {}), vip(), UDP), None, "another protocol");
    assert_eq!(found(nat(|f| *f |= backend_flags::DEAD), vip(), TCP), None, "a dead backend");
    let unresolved = nat(|f| *f &= !backend_flags::RESOLVED);
    assert_eq!(found(unresolved, vip(), TCP), None, "no way to it");
}

#[test]
fn a_backend_on_this_host_is_asked_on_the_vip_unless_it_translates() {
    let local = |f: &mut u32| *f = *f & !backend_flags::RESOLVED | backend_flags::LOCAL;
    let found = |translates| {
        let host = Host::new(world("10.0.0.1", translates, local).maps);
        backend_for(&host, &socket(true, false, TCP), &place(V4, 80))
    };
    assert_eq!(found(true), Some(place("10.0.0.1", 8080)));
    assert_eq!(found(false), None);
    let remote = Host::new(world("10.0.0.8", false, |_| {}).maps);
    let asked = backend_for(&remote, &socket(true, false, TCP), &place(V4, 80));
    assert_eq!(asked, Some(place("10.0.0.8", 80)), "its own address, the client's port");
}
