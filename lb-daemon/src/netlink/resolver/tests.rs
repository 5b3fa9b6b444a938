//! The resolver on made-up events and a clock that moves when told to.

use std::time::Duration;

use super::*;
use crate::netlink::{
    event::Prefix,
    neighbour::{FAILURE_HOLD, Resolution, Sighting},
};

const ETH0: u32 = 2;
const ETH1: u32 = 3;
const TUN0: u32 = 4;
const BACKEND: &str = "10.0.0.11";
const REMOTE: &str = "192.0.2.7";
const GATEWAY: &str = "10.0.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mac(last: u8) -> MacAddress {
    MacAddress([2, 0, 0, 0, 0, last])
}

fn link(index: u32, name: &str, operation: Operation) -> Link {
    Link {
        index,
        name: name.into(),
        mac: (index != TUN0).then(|| mac(index as u8)),
        mtu: 1500,
        operation,
        loopback: false,
        kind: String::new(),
        master: None,
        lower: None,
        elsewhere: None,
        xdp: None,
    }
}

fn key(ifindex: u32, address: &str) -> NeighbourKey {
    NeighbourKey { ifindex, address: ip(address) }
}

fn sighting(state: Resolution) -> Sighting {
    Sighting { state, fixed: false, managed: true, own: true }
}

fn known(last: u8) -> Sighting {
    sighting(Resolution::Known(mac(last)))
}

fn route(ifindex: u32, gateway: Option<&str>) -> Lookup {
    Ok(Route { ifindex, gateway: gateway.map(ip), source: Some(ip("10.0.0.5")), mtu: None })
}

/// A resolver, a clock, and the routes that its lookups find.
struct Bench {
    resolver: Resolver,
    now: Instant,
    routes: BTreeMap<IpAddr, Lookup>,
    lookups: Vec<IpAddr>,
}

impl Bench {
    /// Watches `targets`; eth0 and eth1 are up, tun0 too.
    fn watching(targets: &[(&str, Lookup)]) -> Self {
        let mut bench = Self {
            resolver: Resolver::default(),
            now: Instant::now(),
            routes: targets.iter().map(|(target, lookup)| (ip(target), lookup.clone())).collect(),
            lookups: Vec::new(),
        };
        for (index, name) in [(ETH0, "eth0"), (ETH1, "eth1"), (TUN0, "tun0")] {
            bench.resolver.event(Event::Link(link(index, name, Operation::Up)), bench.now);
        }
        bench.resolver.watch(&bench.routes.keys().copied().collect());
        bench
    }

    /// One backend on eth0, resolved and managed.
    fn resolved() -> Self {
        let mut bench = Self::watching(&[(BACKEND, route(ETH0, None))]);
        bench.settle();
        bench.event(Event::Neighbour(key(ETH0, BACKEND), known(11)));
        bench.resolver.take_changed();
        bench
    }

    fn event(&mut self, event: Event) -> Vec<Request> {
        self.resolver.event(event, self.now);
        self.settle()
    }

    fn neighbour(&mut self, state: Resolution) -> Vec<Request> {
        self.event(Event::Neighbour(key(ETH0, BACKEND), sighting(state)))
    }

    fn settle(&mut self) -> Vec<Request> {
        self.lookups = self.resolver.stale();
        for target in &self.lookups {
            self.resolver.looked_up(*target, self.routes[target].clone());
        }
        self.resolver.settle(self.now)
    }

    fn pass(&mut self, time: Duration) -> Vec<Request> {
        self.now += time;
        self.settle()
    }

    fn hop(&self, target: &str) -> &Result<NextHop, NextHopError> {
        &self.resolver.next_hops()[&ip(target)]
    }

    fn error(&self, target: &str) -> &NextHopError {
        self.hop(target).as_ref().expect_err("no next hop")
    }

    fn destination(&self, target: &str) -> MacAddress {
        self.hop(target).as_ref().expect("a next hop").destination_mac
    }
}

#[test]
fn a_next_hop_needs_route_interface_and_neighbour() {
    let mut bench = Bench::watching(&[(BACKEND, route(ETH0, None))]);
    assert!(bench.resolver.next_hops().is_empty(), "nothing is known before the first lookup");
    let requests = bench.settle();
    assert_eq!(requests, [Request::Manage(key(ETH0, BACKEND))]);
    assert!(matches!(bench.error(BACKEND), NextHopError::Resolving(_)));
    bench.event(Event::Neighbour(key(ETH0, BACKEND), known(11)));
    let expected = NextHop {
        ifindex: ETH0,
        interface: "eth0".into(),
        source_mac: mac(2),
        destination_mac: mac(11),
        mtu: 1500,
        source: Some(ip("10.0.0.5")),
        gateway: None,
    };
    assert_eq!(bench.hop(BACKEND), &Ok(expected));
}

#[test]
fn a_gateway_is_the_neighbour_of_all_behind_it() {
    let via = route(ETH1, Some(GATEWAY));
    let mut bench = Bench::watching(&[(REMOTE, via.clone()), ("192.0.2.8", via)]);
    assert_eq!(bench.settle(), [Request::Manage(key(ETH1, GATEWAY))]);
    bench.event(Event::Neighbour(key(ETH1, GATEWAY), known(1)));
    for target in [REMOTE, "192.0.2.8"] {
        assert_eq!(bench.destination(target), mac(1));
    }
}

#[test]
fn the_lower_mtu_counts() {
    for (route_mtu, expected) in [(None, 1500), (Some(1400), 1400), (Some(9000), 1500)] {
        let lookup = Ok(Route { mtu: route_mtu, ..route(ETH0, None).unwrap() });
        let mut bench = Bench::watching(&[(BACKEND, lookup)]);
        bench.event(Event::Neighbour(key(ETH0, BACKEND), known(11)));
        assert_eq!(bench.hop(BACKEND).as_ref().unwrap().mtu, expected);
    }
}

#[test]
fn only_what_a_change_may_concern_is_looked_up_again() {
    let mut bench =
        Bench::watching(&[(BACKEND, route(ETH0, None)), (REMOTE, route(ETH1, Some(GATEWAY)))]);
    bench.settle();
    let prefix = |address, length| Event::Routes(Prefix { address: ip(address), length });
    let address = || Event::Address(ip("10.0.0.9"), ETH0);
    let both = [BACKEND, REMOTE];
    let cases: [(Event, &[&str]); 7] = [
        (prefix("192.0.2.0", 24), &[REMOTE]),
        (prefix("198.51.100.0", 24), &[]),
        (prefix("0.0.0.0", 0), &both),
        (prefix("::", 0), &[]),
        (Event::AllRoutes, &both),
        (address(), &both),
        (address(), &[]),
    ];
    for (event, expected) in cases {
        let what = format!("{event:?}");
        bench.event(event);
        let expected: Vec<_> = expected.iter().map(|target| ip(target)).collect();
        assert_eq!(bench.lookups, expected, "{what}");
    }
}

#[test]
fn what_changes_nothing_is_not_published() {
    let mut bench = Bench::resolved();
    for event in [
        Event::Neighbour(key(ETH0, BACKEND), known(11)),
        Event::Neighbour(key(ETH0, "10.0.0.99"), known(99)),
        Event::NeighbourGone(key(ETH0, "10.0.0.99")),
        Event::Link(link(ETH0, "eth0", Operation::Up)),
        Event::AllRoutes,
    ] {
        bench.event(event);
    }
    assert_eq!(bench.resolver.take_changed(), Changed::default());
    bench.event(Event::Neighbour(key(ETH0, BACKEND), known(12)));
    let changed = Changed { next_hops: true, ..Changed::default() };
    assert_eq!(bench.resolver.take_changed(), changed);
    assert_eq!(bench.destination(BACKEND), mac(12));
}

#[test]
fn a_deleted_neighbour_is_asked_for_again_and_its_mac_used_meanwhile() {
    let mut bench = Bench::resolved();
    bench.pass(Duration::from_secs(60));
    // The kernel announces a deletion by hand as a failure first.
    bench.neighbour(Resolution::Failed);
    assert_eq!(bench.destination(BACKEND), mac(11));
    let requests = bench.event(Event::NeighbourGone(key(ETH0, BACKEND)));
    assert_eq!(requests, [Request::Manage(key(ETH0, BACKEND))]);
    bench.neighbour(Resolution::Asking);
    bench.pass(FAILURE_HOLD * 2);
    assert_eq!(bench.destination(BACKEND), mac(11));
    assert!(!bench.resolver.take_changed().next_hops);
    bench.neighbour(Resolution::Failed);
    bench.pass(FAILURE_HOLD);
    assert!(bench.error(BACKEND).is_dead(), "it did not answer when asked again");
}

#[test]
fn two_that_work_against_each_other_do_not_spin() {
    let mut bench = Bench::resolved();
    let gone = || Event::NeighbourGone(key(ETH0, BACKEND));
    bench.pass(Duration::from_secs(60));
    assert_eq!(bench.event(gone()).len(), 1);
    bench.neighbour(Resolution::Asking);
    assert_eq!(bench.event(gone()), [], "deleted again at once");
    let deadline = bench.resolver.deadline().expect("a deadline");
    assert!(deadline > bench.now && deadline <= bench.now + Duration::from_millis(20));
    bench.now = deadline;
    assert_eq!(bench.settle().len(), 1);
}

#[test]
fn a_failure_counts_when_it_lasts_and_until_there_is_an_answer() {
    let mut bench = Bench::resolved();
    bench.neighbour(Resolution::Failed);
    assert_eq!(bench.destination(BACKEND), mac(11), "perhaps it is being deleted");
    let deadline = bench.resolver.deadline().expect("a deadline");
    assert_eq!(deadline, bench.now + FAILURE_HOLD);
    bench.now = deadline;
    bench.settle();
    assert!(bench.resolver.take_changed().next_hops);
    assert!(matches!(bench.error(BACKEND), NextHopError::NeighbourFailed(_)));
    assert!(bench.error(BACKEND).is_dead());
    let since = bench.error(BACKEND).age(bench.now);
    assert_eq!(since, Some(FAILURE_HOLD));
    // The kernel tries again and again.
    for state in [Resolution::Asking, Resolution::Failed, Resolution::Asking] {
        bench.pass(Duration::from_secs(5));
        bench.neighbour(state);
        assert!(bench.error(BACKEND).is_dead());
    }
    bench.event(Event::NeighbourGone(key(ETH0, BACKEND)));
    assert!(bench.error(BACKEND).is_dead(), "collected by the kernel");
    bench.event(Event::Neighbour(key(ETH0, BACKEND), known(11)));
    assert_eq!(bench.destination(BACKEND), mac(11));
}

#[test]
fn one_that_never_answered_is_not_called_dead() {
    let mut bench = Bench::watching(&[(BACKEND, route(ETH0, None))]);
    bench.neighbour(Resolution::Asking);
    assert!(matches!(bench.error(BACKEND), NextHopError::Resolving(_)));
    bench.neighbour(Resolution::Failed);
    bench.pass(FAILURE_HOLD);
    assert!(matches!(bench.error(BACKEND), NextHopError::NeighbourSilent(_)));
    assert!(!bench.error(BACKEND).is_dead());
}

#[test]
fn a_failed_gateway_says_nothing_about_the_hosts_behind_it() {
    let mut bench = Bench::watching(&[(REMOTE, route(ETH1, Some(GATEWAY)))]);
    bench.event(Event::Neighbour(key(ETH1, GATEWAY), known(1)));
    bench.event(Event::Neighbour(key(ETH1, GATEWAY), sighting(Resolution::Failed)));
    bench.pass(FAILURE_HOLD);
    assert!(matches!(bench.error(REMOTE), NextHopError::NeighbourFailed(_)));
    assert!(!bench.error(REMOTE).is_dead());
    assert!(bench.error(REMOTE).to_string().contains("gateway 10.0.0.1 on eth1"));
}

#[test]
fn behind_a_link_that_was_down_the_neighbour_is_asked_anew() {
    let mut bench = Bench::resolved();
    bench.event(Event::Link(link(ETH0, "eth0", Operation::NoCarrier)));
    assert!(matches!(
        bench.error(BACKEND),
        NextHopError::InterfaceDown { operation: Operation::NoCarrier, .. }
    ));
    bench.event(Event::NeighbourGone(key(ETH0, BACKEND)));
    let requests = bench.event(Event::Link(link(ETH0, "eth0", Operation::Up)));
    assert_eq!(requests, [Request::Manage(key(ETH0, BACKEND))]);
    assert!(matches!(bench.error(BACKEND), NextHopError::Resolving(_)));
}

#[test]
fn no_route_names_the_interface_that_took_it_along() {
    let mut bench = Bench::resolved();
    bench.routes.insert(ip(BACKEND), Err(RouteError::None));
    bench.event(Event::Link(link(ETH0, "eth0", Operation::Down)));
    for _ in 0..2 {
        let text = bench.error(BACKEND).to_string();
        assert_eq!(text, "no route to 10.0.0.11: eth0, through which it was reached, is down");
        bench.event(Event::AllRoutes);
    }
    bench.event(Event::Link(link(ETH0, "eth0", Operation::Up)));
    assert_eq!(bench.error(BACKEND).to_string(), "no route to 10.0.0.11");
}

#[test]
fn what_cannot_be_sent_to_is_said_in_words() {
    let cases = [
        (route(99, None), "leads to interface 99, which is not there"),
        (route(TUN0, None), "tun0 toward 10.0.0.11 has no MAC addresses"),
        (Err(RouteError::OwnAddress), "10.0.0.11 is an address of this host"),
        (Err(RouteError::Refused("blackhole")), "of type blackhole"),
        (Err(RouteError::NotUnicast("broadcast")), "is a broadcast address"),
        (Err(RouteError::Encapsulated), "encapsulation"),
        (Err(RouteError::Other("no memory".into())), "no memory"),
    ];
    for (lookup, words) in cases {
        let mut bench = Bench::watching(&[(BACKEND, lookup)]);
        assert_eq!(bench.settle(), [], "{words}");
        let text = bench.error(BACKEND).to_string();
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn only_own_neighbours_are_released() {
    let entries = [("10.0.0.1", true, true), ("10.0.0.2", true, false), ("10.0.0.3", false, true)];
    let targets: Vec<_> = entries.iter().map(|(target, ..)| (*target, route(ETH0, None))).collect();
    let mut bench = Bench::watching(&targets);
    for (target, managed, own) in entries {
        let sighting = Sighting { managed, own, ..known(1) };
        bench.event(Event::Neighbour(key(ETH0, target), sighting));
    }
    bench.resolver.watch(&BTreeSet::new());
    assert_eq!(bench.settle(), [Request::Release(key(ETH0, "10.0.0.1"))]);
    assert!(bench.resolver.next_hops().is_empty());
}

#[test]
fn an_operators_entry_is_used_and_left_alone() {
    let mut bench = Bench::watching(&[(BACKEND, route(ETH0, None))]);
    let fixed = Sighting { fixed: true, managed: false, own: false, ..known(11) };
    bench.resolver.event(Event::Neighbour(key(ETH0, BACKEND), fixed), bench.now);
    assert_eq!(bench.settle(), []);
    assert_eq!(bench.destination(BACKEND), mac(11));
    bench.resolver.hurry(ip(BACKEND), bench.now);
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
}

#[test]
fn where_the_kernel_does_not_keep_them_fresh_neighbours_are_asked_for_periodically() {
    let mut bench = Bench::watching(&[(BACKEND, route(ETH0, None))]);
    let plain = Sighting { managed: false, ..known(11) };
    bench.settle();
    assert!(bench.resolver.wanted().outcome(false), "found out now");
    assert!(!bench.resolver.wanted().outcome(false), "and reported once");
    bench.event(Event::Neighbour(key(ETH0, BACKEND), plain));
    let ask = [Request::Resolve(key(ETH0, BACKEND))];
    assert_eq!(bench.pass(Duration::from_secs(1)), ask);
    assert_eq!(bench.pass(Duration::from_secs(14)), []);
    assert_eq!(bench.pass(Duration::from_secs(1)), ask);
    bench.event(Event::Neighbour(
        key(ETH0, BACKEND),
        Sighting { state: Resolution::Failed, ..plain },
    ));
    assert_eq!(bench.pass(Duration::from_secs(15)), ask);
    assert_eq!(bench.pass(Duration::from_secs(1)), ask, "sooner while it does not answer");
}

#[test]
fn packets_that_wait_hurry_the_request_but_do_not_flood() {
    let mut bench = Bench::watching(&[(BACKEND, route(ETH0, None))]);
    bench.settle();
    bench.neighbour(Resolution::Failed);
    bench.pass(Duration::from_secs(10));
    for (time, expected) in [(0, 1), (10, 0), (900, 0), (90, 1)] {
        bench.now += Duration::from_millis(time);
        for _ in 0..3 {
            bench.resolver.hurry(ip(BACKEND), bench.now);
        }
        let requests = bench.settle();
        assert_eq!(requests.len(), expected, "after {time} ms more: {requests:?}");
    }
    bench.resolver.hurry(ip("10.0.0.200"), bench.now);
    assert_eq!(bench.settle(), [], "not watched");
}

#[test]
fn a_complete_listing_removes_what_is_not_in_it() {
    let mut bench =
        Bench::watching(&[(BACKEND, route(ETH0, None)), (REMOTE, route(ETH1, Some(GATEWAY)))]);
    bench.event(Event::Address(ip("10.0.0.5"), ETH0));
    bench.event(Event::Address(ip("10.0.0.6"), ETH0));
    bench.event(Event::Neighbour(key(ETH0, BACKEND), known(11)));
    bench.event(Event::Neighbour(key(ETH1, GATEWAY), known(1)));
    bench.resolver.take_changed();
    let listing = vec![
        Event::Link(link(ETH0, "eth0", Operation::Up)),
        Event::Address(ip("10.0.0.5"), ETH0),
        Event::Neighbour(key(ETH0, BACKEND), known(12)),
    ];
    bench.resolver.resynchronise(listing, bench.now);
    bench.settle();
    let all = Changed { links: true, addresses: true, next_hops: true };
    assert_eq!(bench.resolver.take_changed(), all);
    assert_eq!(bench.lookups, [ip(BACKEND), ip(REMOTE)]);
    assert_eq!(bench.destination(BACKEND), mac(12));
    assert!(matches!(bench.error(REMOTE), NextHopError::InterfaceMissing { ifindex: ETH1, .. }));
    assert_eq!(bench.resolver.links().iter().count(), 1);
    assert!(!bench.resolver.addresses().contains(ip("10.0.0.6")));
}
