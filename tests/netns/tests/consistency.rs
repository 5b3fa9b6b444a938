//! Connections stay with their backend whatever happens to the others.

use std::collections::BTreeSet;

use lb_test_lab::Daemon;
use lb_test_netns::{Conversation, Site, WEB, WEB6, call};

/// Connections over both families; more than enough for each backend to have some.
fn open_many(site: &Site, count: usize) -> Vec<Conversation> {
    (0..count)
        .map(|number| {
            let vip = if number % 2 == 0 { WEB.into() } else { WEB6.into() };
            Conversation::open(&site.lab.client, vip, 80).expect("a backend answers")
        })
        .collect()
}

fn all_go_on(conversations: &mut [Conversation], when: &str) {
    for conversation in conversations {
        conversation.must_go_on(when);
    }
}

fn partners(conversations: &[Conversation]) -> BTreeSet<&str> {
    conversations.iter().map(|conversation| conversation.partner.as_str()).collect()
}

/// Claims: an added backend takes new connections and no old ones; a removed one keeps
/// its connections and gets no new ones; weight 0 likewise.
#[test]
fn connections_stay_while_the_file_changes() {
    let site = Site::new(4);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1), (3, 1)])).unwrap();
    let mut old = open_many(&site, 80);
    assert_eq!(partners(&old), BTreeSet::from(["web-1", "web-2", "web-3"]));

    daemon.reconfigure(&site.config(&[(1, 1), (2, 1), (3, 1), (4, 1)])).unwrap();
    daemon.wait_for("web-4 has its share", |stats| stats.share("web", "web-4") > 0.2).unwrap();
    all_go_on(&mut old, "after a backend was added");
    let mut newer = open_many(&site, 80);
    assert!(partners(&newer).contains("web-4"), "{:?}", partners(&newer));

    daemon.reconfigure(&site.config(&[(2, 1), (3, 0), (4, 1)])).unwrap();
    daemon
        .wait_for("web-1 and web-3 have no share", |stats| {
            let [two, three, four] = ["web-2", "web-3", "web-4"].map(|b| stats.share("web", b));
            three == 0.0 && two + four > 0.999
        })
        .unwrap();
    all_go_on(&mut old, "after web-1 was removed and web-3 got weight 0");
    all_go_on(&mut newer, "after web-1 was removed and web-3 got weight 0");
    let tally = call(&site.lab.client, WEB, 80, 60).complete();
    assert_eq!(tally.of("web-2") + tally.of("web-4"), 60, "{tally:?}");
}

/// Claims: a backend whose probes time out gets no new connections and keeps those it
/// has; when it returns it gets new ones again, and nothing else moves.
#[test]
fn a_failing_backend_keeps_its_connections() {
    let site = Site::new(3);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1), (3, 1)])).unwrap();
    let mut old = open_many(&site, 60);

    site.stall(2, true);
    daemon
        .wait_for("web-2 fails", |stats| {
            stats.state("web", "web-2") == "failing" && stats.share("web", "web-2") == 0.0
        })
        .unwrap();
    all_go_on(&mut old, "while web-2 fails");
    let tally = call(&site.lab.client, WEB, 80, 60).complete();
    assert_eq!(tally.of("web-2"), 0, "{tally:?}");
    let mut newer = open_many(&site, 20);

    site.stall(2, false);
    daemon
        .wait_for("web-2 returns", |stats| {
            stats.state("web", "web-2") == "up" && stats.share("web", "web-2") > 0.2
        })
        .unwrap();
    all_go_on(&mut old, "after web-2 returned");
    all_go_on(&mut newer, "after web-2 returned");
    let tally = call(&site.lab.client, WEB, 80, 60).complete();
    assert!(tally.of("web-2") > 0, "{tally:?}");
}
