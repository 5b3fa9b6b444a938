//! Ways of probes through the data path.

use std::{net::IpAddr, sync::Arc};

use lb_common::{
    abi::{ProbeWay, VipEntry},
    lookup::{vip_buckets, vip_in},
};

use super::world::{World, address, service};
use crate::{
    dataplane::{DataPlane, words_of},
    health::{
        PathTarget,
        path::{Way, Ways},
    },
    netlink::{MacAddress, NextHop, NextHopError, NextHops},
};

const INTERFACE: u32 = 3;
const PAIR: u32 = 77;

fn hop(last: u8) -> NextHop {
    NextHop {
        ifindex: INTERFACE,
        interface: "eth0".into(),
        source_mac: MacAddress([2, 0, 0, 0, 0, 0]),
        destination_mac: MacAddress([2, 0, 0, 0, 0, last]),
        mtu: 1500,
        source: Some(address(250)),
        gateway: None,
    }
}

fn world(services: &[String]) -> (World, Arc<Ways>) {
    let ways = Arc::new(Ways::default());
    let mut world = World::with_ways(services, ways.clone());
    let view = world.controller.view_mut();
    view.next_hops = Arc::new((1..=3).map(|last| (address(last), Ok(hop(last)))).collect());
    view.seen = [INTERFACE].into();
    view.probe_interface = PAIR;
    follow(&mut world);
    (world, ways)
}

fn follow(world: &mut World) {
    world.controller.refresh().unwrap();
    world.controller.follow_probe_ways().unwrap();
    world.settle();
}

fn change(world: &mut World, last: u8, to: Result<NextHop, NextHopError>) {
    let mut hops: NextHops = (*world.controller.view.next_hops).clone();
    hops.insert(address(last), to);
    world.controller.view_mut().next_hops = Arc::new(hops);
    follow(world);
}

/// What the prober is told of a backend of 192.0.2.1:80.
fn way(world: &World, ways: &Ways, last: u8) -> Option<Way> {
    let config = world.controller.config();
    let path = PathTarget::of(&config.services[0]).unwrap();
    ways.known().get(&path.way(address(last), IpAddr::from([192, 0, 2, 1]))).cloned()
}

fn number(world: &World, ways: &Ways, last: u8) -> u16 {
    match way(world, ways, last) {
        Some(Way::Open { number, .. }) => number,
        other => panic!("{other:?}"),
    }
}

fn is_probe_source(world: &World, of: IpAddr) -> bool {
    let plane = &world.controller.plane;
    let words = words_of(of);
    let found = vip_buckets(words).into_iter().find_map(|i| vip_in(&plane.vip_bucket(i), words));
    found.is_some_and(VipEntry::is_probe_source)
}

#[test]
fn every_backend_has_a_way_and_services_share_it() {
    let two = [
        service("web", 1, "", &[(1, 1), (2, 1)]),
        service("web-too", 1, "", &[(1, 1)]).replace("port: 80", "port: 81"),
    ];
    let (mut world, ways) = world(&two);
    let numbers = [1, 2].map(|last| number(&world, &ways, last));
    assert_ne!(numbers[0], numbers[1]);
    assert_eq!(ways.known().len(), 2);
    let expected = ProbeWay {
        meta: ProbeWay::meta(world.id("web", 1).unwrap(), PAIR),
        vip: words_of(IpAddr::from([192, 0, 2, 1])),
        source: words_of(address(250)),
        reserved: 0,
    };
    assert_eq!(world.controller.plane.probe_way(numbers[0]), expected);
    assert!(is_probe_source(&world, address(250)));
    // It goes over to the service that is left.
    world.reload(&two[1..]).unwrap();
    follow(&mut world);
    assert_eq!(number(&world, &ways, 1), numbers[0]);
    let meta = ProbeWay::meta(world.id("web-too", 1).unwrap(), PAIR);
    assert_eq!(world.controller.plane.probe_way(numbers[0]).meta, meta);
    assert_eq!(world.controller.plane.probe_way(numbers[1]), ProbeWay::default());
    // Without probes there is nothing left.
    world.reload(&[two[1].replace("type: tcp", "type: tcp, via: direct")]).unwrap();
    follow(&mut world);
    assert_eq!(world.controller.plane.probe_way(numbers[0]), ProbeWay::default());
    assert!(!is_probe_source(&world, address(250)) && ways.known().is_empty());
}

#[test]
fn what_stands_in_the_way_is_told_apart() {
    let (mut world, ways) = world(&[service("web", 1, "", &[(1, 1)])]);
    let open = way(&world, &ways, 1);
    let target = address(1);
    let resolving = || {
        let since = std::time::Instant::now();
        let neighbour =
            crate::netlink::Neighbour { target, address: target, interface: "eth0".into(), since };
        NextHopError::Resolving(neighbour)
    };
    change(&mut world, 1, Err(resolving()));
    assert_eq!(way(&world, &ways, 1), open, "it stays while the kernel asks again");
    change(&mut world, 1, Err(NextHopError::NoRoute { target, down: None }));
    assert_eq!(way(&world, &ways, 1), Some(Way::Closed("no route to 10.0.0.1".into())));
    change(&mut world, 1, Err(resolving()));
    assert_eq!(way(&world, &ways, 1), None, "nothing is known any more");
    change(&mut world, 1, Err(NextHopError::OwnAddress { target }));
    assert_eq!(way(&world, &ways, 1), Some(Way::OwnHost));
    let far = NextHop { gateway: Some(address(254)), ..hop(1) };
    change(&mut world, 1, Ok(far));
    assert!(matches!(way(&world, &ways, 1), Some(Way::Closed(why)) if why.contains("gateway")));
    change(&mut world, 1, Ok(NextHop { ifindex: 9, interface: "eth9".into(), ..hop(1) }));
    let said = world.controller.unseen_ways();
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("backend 10.0.0.1 probed past") && said[0].contains("eth9"),
        "{said:?}"
    );
    change(&mut world, 1, Ok(NextHop { source: Some([192, 0, 2, 1].into()), ..hop(1) }));
    let said = world.controller.unseen_ways();
    assert!(said[0].contains("no IPv4 address on eth0"), "never a VIP: {said:?}");
    change(&mut world, 1, Ok(hop(1)));
    assert!(matches!(way(&world, &ways, 1), Some(Way::Open { .. })));
}

/// What an earlier daemon left leads nowhere.
#[test]
fn a_new_daemon_begins_without_ways() {
    let services = [service("web", 1, "", &[(1, 1)])];
    let (world, ways) = world(&services);
    let number = number(&world, &ways, 1);
    let next = world.succeed(&services);
    assert_eq!(next.controller.plane.probe_way(number), ProbeWay::default());
}
