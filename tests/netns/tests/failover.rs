//! A backend that refuses is dead: new connections go elsewhere, its own are reset.

use std::net::IpAddr;

use lb_test_lab::{Daemon, Stats};
use lb_test_netns::{Conversation, DNS, Site, WEB, WEB6, ask_udp, call};

/// Whether both services have taken web-2 out.
fn is_out(stats: &Stats) -> bool {
    ["web", "dns"].iter().all(|service| {
        stats.state(service, "web-2") == "dead" && stats.share(service, "web-2") == 0.0
    })
}

fn is_back(stats: &Stats) -> bool {
    ["web", "dns"]
        .iter()
        .all(|service| stats.state(service, "web-2") == "up" && stats.share(service, "web-2") > 0.2)
}

/// Asks both services over both families, and panics unless all is answered; returns how
/// many answers came from web-2 by TCP and by UDP.
fn answers_of_web_2(site: &Site) -> (usize, usize) {
    let mut counts = (0, 0);
    for vip in [IpAddr::from(WEB), IpAddr::from(WEB6)] {
        counts.0 += call(&site.lab.client, vip, 80, 40).complete().of("web-2");
        counts.1 += ask_udp(&site.lab.client, vip, DNS, 40).complete().of("web-2");
    }
    counts
}

/// Claims: all requests are answered, before, after the death and after the return; the
/// connections of the dead backend end, the others stay.
#[test]
fn traffic_moves_off_a_dead_backend_and_returns() {
    let site = Site::new(3);
    let config = site.config(&[(1, 1), (2, 1), (3, 1)]);
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    let (tcp, udp) = answers_of_web_2(&site);
    assert!(tcp > 0 && udp > 0, "web-2 got {tcp} connections and {udp} datagrams");
    let old: Vec<_> = (0..40)
        .map(|_| Conversation::open(&site.lab.client, WEB.into(), 80).expect("all backends serve"))
        .collect();

    site.stop(2);
    daemon.wait_for("web-2 is dead", is_out).unwrap();
    assert_eq!(answers_of_web_2(&site), (0, 0));
    let (dead, mut alive): (Vec<_>, Vec<_>) =
        old.into_iter().partition(|conversation| conversation.partner == "web-2");
    assert!(!dead.is_empty() && !alive.is_empty());
    for conversation in &mut alive {
        conversation.must_go_on("after web-2 died");
    }
    for mut conversation in dead {
        assert!(conversation.ask().is_err(), "nobody is there to answer");
    }

    site.start(2);
    daemon.wait_for("web-2 is back", is_back).unwrap();
    let (tcp, udp) = answers_of_web_2(&site);
    assert!(tcp > 0 && udp > 0, "web-2 got {tcp} connections and {udp} datagrams");
    for conversation in &mut alive {
        conversation.must_go_on("after web-2 returned");
    }
}

/// Claims: connections of a host that is gone altogether are answered with RST by the
/// balancer, on their next packet.
#[test]
fn connections_of_a_vanished_host_are_reset() {
    let site = Site::new(2);
    // The kernel believes in a neighbour for 30 s, more or less, before it asks again.
    site.lab.balancer.sysctl(&["net.ipv4.neigh.eth0.base_reachable_time_ms=2000"]).unwrap();
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    let mut old: Vec<_> = (0..20)
        .map(|_| Conversation::open(&site.lab.client, WEB.into(), 80).expect("all backends serve"))
        .filter(|conversation| conversation.partner == "web-2")
        .collect();
    assert!(!old.is_empty());

    site.lab.set_cable(2, false).unwrap();
    daemon.wait_for("the neighbour of web-2 has failed", is_out).unwrap();
    let answered = call(&site.lab.client, WEB, 80, 40).complete();
    assert_eq!(answered.of("web-1"), 40, "{answered:?}");
    for conversation in &mut old {
        let error = conversation.ask().expect_err("nobody is there to answer");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    daemon
        .wait_for("the resets are counted", |stats| stats.answers("reset") >= old.len() as u64)
        .unwrap();
}
