//! Traffic is spread by weight, and each packet is counted once.

use lb_test_lab::{Daemon, Stats};
use lb_test_netns::{DNS, Site, WEB, WEB6, ask_udp, call};

/// A third of 300 is 100, with a standard deviation of 8: outside of this one in a
/// million runs.
fn is_a_third_of_300(count: usize) -> bool {
    (60..140).contains(&count)
}

#[test]
fn answers_follow_the_weights() {
    let site = Site::new(2);
    let _daemon = Daemon::start(&site.lab, &site.config(&[(1, 2), (2, 1)])).unwrap();
    for vip in [std::net::IpAddr::from(WEB), WEB6.into()] {
        let tcp = call(&site.lab.client, vip, 80, 300).complete();
        assert!(is_a_third_of_300(tcp.of("web-2")), "{tcp:?}");
        let udp = ask_udp(&site.lab.client, vip, DNS, 300).complete();
        assert!(is_a_third_of_300(udp.of("web-2")), "{udp:?}");
    }
}

fn is_quiet(stats: &Stats) -> bool {
    let [received, forwarded, passed, dropped] =
        ["received", "forwarded", "passed", "dropped"].map(|name| stats.total(name));
    stats.total("residual") == 0
        && received == forwarded + passed + dropped
        && stats.all_drops() as i64 == dropped
}

#[test]
fn received_is_forwarded_passed_or_dropped() {
    let site = Site::new(2);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    let before = daemon.wait_for("the counters agree before", is_quiet).unwrap();
    call(&site.lab.client, WEB, 80, 50).complete();
    ask_udp(&site.lab.client, WEB6, DNS, 50).complete();
    // Refused: a drop with an answer.
    assert_eq!(call(&site.lab.client, WEB, 81, 5).answered(), 0);
    let after = daemon
        .wait_for("the counters agree after", |stats| {
            is_quiet(stats) && stats.drops("unserved_port") >= before.drops("unserved_port") + 5
        })
        .unwrap();
    // At least SYN, ACK, question, FIN of each connection, and each datagram.
    let forwarded = after.total("forwarded") - before.total("forwarded");
    assert!(forwarded >= 50 * 4 + 50, "{forwarded}");
    let by_service: u64 = ["web", "dns"]
        .iter()
        .map(|name| after.service(name)["packets"].as_u64().unwrap_or(0))
        .sum();
    assert_eq!(by_service as i64, after.total("forwarded"), "{after:?}");
}
