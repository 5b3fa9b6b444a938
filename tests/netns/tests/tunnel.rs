//! Mode `ipip`: VIPs of both families through tunnels of both families.

use std::net::IpAddr;

use lb_test_lab::{Daemon, backend, backend6};
use lb_test_netns::{DNS, Site, TunnelEnd, WEB, WEB6, ask_udp, call};

/// Claims: 4 in 4, 6 in 4, 4 in 6 and 6 in 6 reach the servers, over TCP and UDP, and all
/// packets come through the tunnels.
fn both_families_are_served_through(outer: fn(usize) -> IpAddr) {
    let site = Site::new(2);
    let ends = [1, 2].map(|number: usize| TunnelEnd::start(&site.lab.backends[number - 1]));
    let mut config = site.config(&[(1, 1), (2, 1)]).replace("mode: dsr", "mode: ipip");
    // Probes are not to be among what is counted.
    config = config.replace("health: { ", "health: { via: direct, ");
    for number in [1, 2] {
        let (from, to) = (backend(number), outer(number));
        config = config.replace(&format!("address: {from},"), &format!("address: \"{to}\","));
    }
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    for vip in [IpAddr::from(WEB), WEB6.into()] {
        let before: usize = ends.iter().map(TunnelEnd::unwrapped).sum();
        let tcp = call(&site.lab.client, vip, 80, 40).complete();
        assert!(tcp.of("web-1") > 0 && tcp.of("web-2") > 0, "{tcp:?}");
        let udp = ask_udp(&site.lab.client, vip, DNS, 40).complete();
        assert!(udp.of("web-1") > 0 && udp.of("web-2") > 0, "{udp:?}");
        let after: usize = ends.iter().map(TunnelEnd::unwrapped).sum();
        assert!(after - before >= 40 * 4 + 40, "{} packets came through", after - before);
    }
    daemon
        .wait_for("each forwarded packet came through", |stats| {
            stats.total("forwarded") == ends.iter().map(TunnelEnd::unwrapped).sum::<usize>() as i64
        })
        .unwrap();
}

#[test]
fn through_ipv4() {
    both_families_are_served_through(|number| backend(number).into());
}

#[test]
fn through_ipv6() {
    both_families_are_served_through(|number| backend6(number).into());
}
