//! Backends that die, and pools that are too small.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::thread;

use lb_test_lab::Host;
use lb_test_netns::{Conversation, NatSite, OTHER6, WEB, call};

/// Claims: when a backend dies, whoever sends on a connection with it meets a RST at once,
/// all others go on, and new ones go elsewhere; it is used again when it is back.
#[test]
fn connections_of_a_dead_backend_are_reset() {
    let site = NatSite::behind(2);
    // The kernel believes in a neighbour for 30 s, more or less, before it asks again.
    let soon =
        ["ipv4", "ipv6"].map(|ip| format!("net.{ip}.neigh.eth1.base_reachable_time_ms=2000"));
    site.lab.balancer.sysctl(&soon.each_ref().map(String::as_str)).unwrap();
    let daemon = site.balance(&site.nat(&[1, 2]));
    let vips = [IpAddr::from(WEB), OTHER6.into()];
    let old: Vec<_> = vips
        .iter()
        .cycle()
        .take(40)
        .map(|vip| Conversation::open(&site.lab.client, *vip, 80).expect("all backends serve"))
        .collect();
    // Unlike an end of its servers, this sends no FIN or RST to anybody.
    site.lab.set_cable(2, false).unwrap();
    daemon
        .wait_for("web-2 is out", |stats| {
            ["web", "other"].iter().all(|service| stats.state(service, "web-2") == "dead")
        })
        .unwrap();
    let (dead, mut alive): (Vec<_>, Vec<_>) =
        old.into_iter().partition(|conversation| conversation.partner == "web-2");
    assert!(!dead.is_empty() && !alive.is_empty());
    for conversation in &mut alive {
        conversation.must_go_on("after web-2 died");
    }
    for mut conversation in dead {
        let error = conversation.ask().expect_err("nobody is there to answer");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    for vip in vips {
        assert_eq!(call(&site.lab.client, vip, 80, 40).complete().of("web-1"), 40);
    }
    site.lab.set_cable(2, true).unwrap();
    daemon
        .wait_for("web-2 is back", |stats| {
            ["web", "other"].iter().all(|service| stats.share(service, "web-2") > 0.2)
        })
        .unwrap();
    for vip in vips {
        assert!(call(&site.lab.client, vip, 80, 40).complete().of("web-2") > 0);
    }
}

/// Claims: of more connections than a pool has ports, as many are served as it has; the
/// others are counted, and break none that exists.
#[test]
fn a_pool_without_a_free_port_refuses_and_counts() {
    const PORTS: usize = 64;
    let site = NatSite::behind(1);
    let config =
        site.nat(&[1]).replacen("defaults:\n", "defaults:\n  snat: { ports: 10240-10303 }\n", 1);
    let daemon = site.balance(&config);
    let open = open_at_once(&site.lab.client, 200);
    assert!(open.len() <= PORTS, "{} connections on {PORTS} ports", open.len());
    assert!(open.len() > PORTS / 2, "only {} connections on {PORTS} ports", open.len());
    for mut conversation in open {
        conversation.must_go_on("while others were refused");
    }
    let stats = daemon.stats().unwrap();
    assert!(stats.drops("nat_exhausted") > 0, "{stats:?}");
}

/// Connections that succeed out of so many attempts, and stay.
fn open_at_once(client: &Host, attempts: usize) -> Vec<Conversation> {
    thread::scope(|scope| {
        let threads: Vec<_> = (0..attempts)
            .map(|_| scope.spawn(|| Conversation::open(client, WEB.into(), 80).ok()))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    })
}
