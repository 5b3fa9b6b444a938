//! Clients keep their address in `dnat`, and backends may be clients of their own service.

use std::net::IpAddr;

use lb_test_lab::{CLIENT, CLIENT6, run};
use lb_test_netns::{Conversation, NatSite, OTHER6, WEB, ask_udp, call};

/// Claims: the backends see the client's address, and answers go back through the balancer.
#[test]
fn backends_see_their_clients() {
    let site = NatSite::behind(2);
    site.lab.route_through_balancer().unwrap();
    let daemon = site.balance(&site.dnat(&[1, 2]));
    for (vip, client) in
        [(IpAddr::from(WEB), IpAddr::from(CLIENT)), (OTHER6.into(), CLIENT6.into())]
    {
        let tally = call(&site.lab.client, vip, 80, 20).complete();
        assert!(tally.of("web-1") > 0 && tally.of("web-2") > 0, "{vip}: {tally:?}");
        let mut held = Conversation::open(&site.lab.client, vip, 80).unwrap();
        let host = site.lab.backends.iter().find(|host| host.name == held.partner).unwrap();
        let sockets = run(host.command("ss").args(["-Htn", "state", "established"])).unwrap();
        assert!(sockets.contains(&client.to_string()), "{client} is not in: {sockets}");
        held.must_go_on("while its socket was looked at");
    }
    ask_udp(&site.lab.client, WEB, 53, 10).complete();
    assert_eq!(daemon.stats().unwrap().all_drops(), 0);
}

/// Claims: a backend that is a client reaches every backend, itself among them.
#[test]
fn backends_are_clients_of_their_own_service() {
    let site = NatSite::behind(2);
    site.lab.route_through_balancer().unwrap();
    let daemon = site.balance(&site.nat(&[1, 2]));
    for config in [site.nat(&[1, 2]), site.dnat(&[1, 2])] {
        daemon.reconfigure(&config).unwrap();
        for host in &site.lab.backends {
            for vip in [IpAddr::from(WEB), OTHER6.into()] {
                let tally = call(host, vip, 80, 20).complete();
                let all = tally.of("web-1") > 0 && tally.of("web-2") > 0;
                assert!(all, "{} asks {vip}: {tally:?}", host.name);
            }
        }
    }
}
