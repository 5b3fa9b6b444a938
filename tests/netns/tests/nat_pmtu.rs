//! Path MTU discovery through NAT: whoever sends too much learns of it, though the router
//! that cannot forward it knows neither the one end nor the other.

use std::net::IpAddr;

use lb_test_lab::{Daemon, iperf3, run};
use lb_test_netns::{HEALTH, NatSite, OTHER, OTHER6, WEB, WEB6};

/// One family on both sides.
const VIPS: [IpAddr; 2] = [IpAddr::V4(WEB), IpAddr::V6(OTHER6)];

/// `nat` with iperf3 in the place of the web servers, web-1 of them at these addresses.
fn config([v4, v6]: [&str; 2]) -> String {
    let service = |name: &str, vips: [IpAddr; 2], backend: &str| {
        format!(
            "  - name: {name}
    vip: [\"{}\", \"{}\"]
    port: 5201
    backends: [{{ name: web-1, address: \"{backend}\" }}]
",
            vips[0], vips[1]
        )
    };
    let head = format!(
        "interfaces: [eth0, eth1]
defaults: {{ mode: nat, health: {{ port: {HEALTH}, interval: 500ms }} }}
services:
"
    );
    head + &service("bulk", [WEB.into(), WEB6.into()], v4)
        + &service("bulk-other", [OTHER.into(), OTHER6.into()], v6)
}

/// Transfers some bytes each way over all families.
fn transfer(site: &NatSite, daemon: &Daemon) {
    for vip in VIPS {
        for more in [&["-n", "2M"][..], &["-n", "2M", "-R"]] {
            let mut command = site.lab.client.command("timeout");
            let done = run(command.args(["20", "iperf3", "-c", &vip.to_string()]).args(more));
            done.unwrap_or_else(|error| {
                let stats = daemon.stats().unwrap();
                panic!("{vip} {more:?}: {error:#}; {}, {}", stats.0["drops"], stats.0["services"])
            });
        }
    }
}

/// Claims: a link of 1,400 bytes between client and balancer, which neither end's
/// interface tells of, delays no transfer for good.
#[test]
fn a_narrow_link_before_the_balancer() {
    let site = NatSite::behind(1);
    let (lab, host) = (&site.lab, &site.lab.backends[0]);
    let _server = iperf3(lab, host).unwrap();
    let daemon = site.balance(&config(["10.0.1.11", "2001:db8:3::b"]));
    // The router's way to the client. What the client sends has its own way.
    lab.router.ip("route change 198.51.100.0/24 dev eth0 mtu lock 1400").unwrap();
    lab.router.ip("-6 route add 2001:db8:1::2/128 dev eth0 mtu lock 1400").unwrap();
    transfer(&site, &daemon);
    learned(&daemon, host, "10.0.1.2", "2001:db8:3::2");
}

/// Whether the host has heard of the smaller MTU toward both addresses.
fn learned(daemon: &Daemon, host: &lb_test_lab::Host, v4: &str, v6: &str) {
    for to in [v4, v6] {
        let route = run(host.command("ip").args(["route", "get", to])).unwrap();
        assert!(route.contains("mtu 1400"), "{to}: {route}; {:?}", daemon.stats().unwrap());
    }
}

/// Claims: the same with a narrow link beyond the backends' first router.
#[test]
fn a_narrow_link_behind_the_balancer() {
    let site = NatSite::behind(2);
    let lab = &site.lab;
    let [router, server] = [&lab.backends[0], &lab.backends[1]];
    lab.connect_hosts((router, "far"), (server, "far")).unwrap();
    router.sysctl(&["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"]).unwrap();
    router.ip("addr add 10.0.2.1/24 dev far\naddr add 2001:db8:4::1/64 dev far nodad").unwrap();
    server
        .ip("link set eth0 down\naddr add 10.0.2.2/24 dev far
        addr add 2001:db8:4::2/64 dev far nodad
        route add default via 10.0.2.1\nroute add default via 2001:db8:4::1")
        .unwrap();
    lab.balancer.ip("route add 10.0.2.0/24 via 10.0.1.11").unwrap();
    lab.balancer.ip("route add 2001:db8:4::/64 via 2001:db8:3::b").unwrap();
    router.ip("route change 10.0.2.0/24 dev far mtu lock 1400").unwrap();
    router.ip("-6 route add 2001:db8:4::2/128 dev far mtu lock 1400").unwrap();
    let _server = iperf3(lab, server).unwrap();
    let daemon = site.balance(&config(["10.0.2.2", "2001:db8:4::2"]));
    transfer(&site, &daemon);
    learned(&daemon, &lab.client, &WEB.to_string(), &OTHER6.to_string());
}
