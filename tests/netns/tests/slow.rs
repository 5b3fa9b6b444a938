//! A server that is only slow loses new clients, and keeps those it has.

use lb_test_lab::{Daemon, Stats};
use lb_test_netns::{Conversation, Site, WEB, call, calling};

fn is_failing(stats: &Stats) -> bool {
    stats.state("web", "web-2") == "failing" && stats.share("web", "web-2") == 0.0
}

fn is_back(stats: &Stats) -> bool {
    stats.state("web", "web-2") == "up" && stats.share("web", "web-2") > 0.2
}

fn slows_down(mode: &str) {
    let site = Site::new(3);
    let config = site.config(&[(1, 1), (2, 1), (3, 1)]);
    let config = config.replace("mode: dsr", &format!("mode: {mode}"));
    let limits = "limits: { nat_flows: 4096, nat_flows_wide: 4096 }\n";
    let daemon = Daemon::start(&site.lab, &(limits.to_owned() + &config)).unwrap();
    let mut old: Vec<_> = (0..40)
        .map(|_| Conversation::open(&site.lab.client, WEB.into(), 80).expect("all serve"))
        .collect();
    assert!(old.iter().any(|one| one.partner == "web-2"));

    let tally = calling(&site.lab.client, || {
        site.stall(2, true);
        daemon.wait_for("web-2 is failing", is_failing).unwrap();
        for conversation in &mut old {
            conversation.must_go_on("while web-2 is slow");
        }
        let others = call(&site.lab.client, WEB, 80, 40).complete();
        assert_eq!(others.of("web-2"), 0, "{others:?}");
        site.stall(2, false);
        daemon.wait_for("web-2 is back", is_back).unwrap();
    });
    tally.complete();
    for conversation in &mut old {
        conversation.must_go_on("after web-2 recovered");
    }
    assert_eq!(daemon.stats().unwrap().answers("reset"), 0);
}

/// Claims: while probes of a server time out it gets no new connection, those it has go
/// on, and no request fails; when probes succeed again it gets its share.
#[test]
fn a_slow_server_loses_new_clients_not_its_own_in_dsr() {
    slows_down("dsr");
}

/// The same, translated.
#[test]
fn a_slow_server_loses_new_clients_not_its_own_in_nat() {
    slows_down("nat");
}
