//! Next hops, interfaces and addresses as the daemon sees them, on real
//! interfaces in namespaces of each test's own:
//!
//! ```text
//!   lb                      far
//!   a0 10.9.0.1/24 ──────── a1 10.9.0.2, 10.9.0.3
//!   b0 10.9.1.1/24 ──────── b1 10.9.1.2
//! ```
use std::{
    fs::File,
    net::IpAddr,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use lb_daemon::netlink::{
    Links, MacAddress, Monitor, NextHop, NextHopError, NextHops, Operation, XdpMode,
};
use nix::sched::{CloneFlags, setns};
use tokio::sync::watch;

/// Long enough for any machine; each wait ends as soon as what it waits for is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// The two hosts of a test, removed at its end.
struct Hosts {
    lb: String,
    far: String,
}

impl Hosts {
    fn new(test: &str) -> Self {
        let hosts = Self { lb: format!("nl-{test}-lb"), far: format!("nl-{test}-far") };
        hosts.delete();
        for host in [&hosts.lb, &hosts.far] {
            run(&format!("ip netns add {host}"));
            run(&format!("ip -n {host} link set lo up"));
        }
        for (link, net) in [("a", 0), ("b", 1)] {
            let (lb, far) = (&hosts.lb, &hosts.far);
            run(&format!("ip -n {lb} link add {link}0 type veth peer name {link}1 netns {far}"));
            run(&format!("ip -n {lb} address add 10.9.{net}.1/24 dev {link}0"));
            run(&format!("ip -n {far} address add 10.9.{net}.2/24 dev {link}1"));
            run(&format!("ip -n {lb} -6 address add fd09:{net}::1/64 dev {link}0 nodad"));
            run(&format!("ip -n {far} -6 address add fd09:{net}::2/64 dev {link}1 nodad"));
            run(&format!("ip -n {far} link set {link}1 up"));
            run(&format!("ip -n {lb} link set {link}0 up"));
        }
        run(&format!("ip -n {} address add 10.9.0.3/24 dev a1", hosts.far));
        hosts
    }

    fn delete(&self) {
        for host in [&self.lb, &self.far] {
            // Not there, usually.
            let _ = Command::new("ip").args(["netns", "delete", host]).output();
        }
    }

    /// `ip` on the balancer.
    fn lb(&self, command: &str) -> String {
        run(&format!("ip -n {} {command}", self.lb))
    }

    /// `ip` on the other host.
    fn far(&self, command: &str) -> String {
        run(&format!("ip -n {} {command}", self.far))
    }

    /// The balancer's view, from a thread inside.
    fn monitor(&self) -> Monitor {
        self.inside(|| Monitor::start().expect("start the monitor"))
    }

    /// Runs `work` on a thread inside the balancer's namespace.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.lb)).expect("open the namespace");
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&namespace, CloneFlags::CLONE_NEWNET).expect("enter the namespace");
                work()
            });
            thread.join().expect("the thread inside the namespace")
        })
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.delete();
    }
}

fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().expect("a command")).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{command}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Waits until `found` accepts the published state.
fn wait<S: Clone, T>(
    receiver: &mut watch::Receiver<S>,
    what: &str,
    mut found: impl FnMut(&S) -> Option<T>,
) -> T
where
    S: std::fmt::Debug,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let state = receiver.borrow_and_update().clone();
            if let Some(found) = found(&state) {
                return found;
            }
            let changed = tokio::time::timeout_at(deadline, receiver.changed()).await;
            match changed {
                Ok(result) => result.expect("the monitor lives"),
                Err(_) => panic!("waited in vain for {what}; the last state: {state:#?}"),
            }
        }
    })
}

type Hops = watch::Receiver<Arc<NextHops>>;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mac(text: &str) -> MacAddress {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    MacAddress(bytes.try_into().unwrap())
}

fn wait_hop(hops: &mut Hops, target: &str, accept: impl Fn(&NextHop) -> bool) -> NextHop {
    let key = address(target);
    wait(hops, &format!("a next hop of {target}"), |state| {
        state.get(&key)?.as_ref().ok().filter(|hop| accept(hop)).cloned()
    })
}

fn wait_error(hops: &mut Hops, target: &str, accept: impl Fn(&NextHopError) -> bool) {
    let key = address(target);
    wait(hops, &format!("an error about {target}"), |state| {
        state.get(&key)?.as_ref().err().filter(|error| accept(error)).cloned()
    });
}

#[test]
fn resolves_neighbours_and_gateways_in_both_families() {
    let hosts = Hosts::new("basic");
    hosts.far("link set a1 address 02:00:00:00:0a:01");
    hosts.far("link set b1 address 02:00:00:00:0b:01");
    hosts.lb("link set a0 address 02:00:00:00:0a:00");
    hosts.lb("route add 192.0.2.0/24 via 10.9.1.2 src 10.9.1.1 mtu 1400");
    hosts.lb("-6 route add 2001:db8::/32 via fd09:1::2");
    let monitor = hosts.monitor();
    let mut hops = monitor.next_hops();
    let targets = ["10.9.0.2", "192.0.2.7", "fd09:0::2", "2001:db8::7"];
    monitor.watch(targets.map(address));

    let on_link = wait_hop(&mut hops, "10.9.0.2", |_| true);
    assert_eq!(on_link.interface, "a0");
    assert_eq!(on_link.source_mac, mac("02:00:00:00:0a:00"));
    assert_eq!(on_link.destination_mac, mac("02:00:00:00:0a:01"));
    assert_eq!((on_link.mtu, on_link.gateway), (1500, None));
    assert_eq!(on_link.source, Some(address("10.9.0.1")));

    let routed = wait_hop(&mut hops, "192.0.2.7", |_| true);
    assert_eq!(routed.interface, "b0");
    assert_eq!(routed.destination_mac, mac("02:00:00:00:0b:01"));
    assert_eq!((routed.mtu, routed.gateway), (1400, Some(address("10.9.1.2"))));
    assert_eq!(routed.source, Some(address("10.9.1.1")));

    let on_link = wait_hop(&mut hops, "fd09:0::2", |_| true);
    assert_eq!(on_link.destination_mac, mac("02:00:00:00:0a:01"));
    let routed = wait_hop(&mut hops, "2001:db8::7", |_| true);
    assert_eq!(routed.destination_mac, mac("02:00:00:00:0b:01"));
    assert_eq!(routed.source, Some(address("fd09:1::1")));
    monitor.stop();
}

#[test]
fn follows_what_an_operator_changes() {
    let hosts = Hosts::new("follow");
    hosts.lb("route add 192.0.2.0/24 via 10.9.0.2");
    let monitor = hosts.monitor();
    let mut hops = monitor.next_hops();
    monitor.watch(["10.9.0.2", "10.9.0.3", "192.0.2.7"].map(address));
    let before = wait_hop(&mut hops, "192.0.2.7", |_| true);

    let mut latencies = Vec::new();
    let mut timed = |what: &str, change: &dyn Fn(), seen: &mut dyn FnMut()| {
        change();
        let start = Instant::now();
        seen();
        latencies.push((what.to_string(), start.elapsed()));
    };
    timed("own MAC", &|| drop(hosts.lb("link set a0 address 02:00:00:00:00:01")), &mut || {
        wait_hop(&mut hops, "10.9.0.2", |hop| hop.source_mac == mac("02:00:00:00:00:01"));
    });
    timed(
        "neighbour's MAC",
        &|| drop(hosts.lb("neigh replace 10.9.0.3 lladdr 02:00:00:00:00:99 dev a0")),
        &mut || {
            wait_hop(&mut hops, "10.9.0.3", |hop| hop.destination_mac == mac("02:00:00:00:00:99"));
        },
    );
    timed("MTU", &|| drop(hosts.lb("link set a0 mtu 1300")), &mut || {
        wait_hop(&mut hops, "10.9.0.2", |hop| hop.mtu == 1300);
    });
    timed("gateway", &|| drop(hosts.lb("route replace 192.0.2.0/24 via 10.9.0.3")), &mut || {
        wait_hop(&mut hops, "192.0.2.7", |hop| hop.gateway == Some(address("10.9.0.3")));
    });
    timed(
        "route to another interface",
        &|| drop(hosts.lb("route replace 192.0.2.0/24 via 10.9.1.2")),
        &mut || {
            wait_hop(&mut hops, "192.0.2.7", |hop| hop.interface == "b0");
        },
    );
    timed(
        "more specific route",
        &|| drop(hosts.lb("route add 192.0.2.7/32 via 10.9.0.2")),
        &mut || {
            wait_hop(&mut hops, "192.0.2.7", |hop| hop.ifindex == before.ifindex);
        },
    );
    timed("renamed", &|| drop(hosts.lb("link set a0 down")), &mut || {
        wait_error(
            &mut hops,
            "10.9.0.2",
            |error| matches!(error, NextHopError::NoRoute { down: Some(name), .. } if name == "a0"),
        );
    });
    hosts.lb("link set a0 name a9");
    timed("up again", &|| drop(hosts.lb("link set a9 up")), &mut || {
        wait_hop(&mut hops, "10.9.0.2", |hop| hop.interface == "a9");
    });
    timed("carrier lost", &|| drop(hosts.far("link set b1 down")), &mut || {
        hosts.lb("route replace 192.0.2.7/32 via 10.9.1.2");
        wait_error(&mut hops, "192.0.2.7", |error| {
            matches!(error, NextHopError::InterfaceDown { operation: Operation::NoCarrier, .. })
        });
    });
    timed("blackhole", &|| drop(hosts.lb("route replace blackhole 192.0.2.7/32")), &mut || {
        wait_error(&mut hops, "192.0.2.7", |error| matches!(error, NextHopError::Refused { .. }));
    });
    timed("own address", &|| drop(hosts.lb("address add 10.9.0.3/32 dev lo")), &mut || {
        wait_error(&mut hops, "10.9.0.3", |error| matches!(error, NextHopError::OwnAddress { .. }));
    });
    for (what, latency) in latencies {
        println!("{what}: seen after {latency:?}");
    }
    monitor.stop();
}
