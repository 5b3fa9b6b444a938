//! Trouble found from the traffic, while all probes succeed.

use lb_test_lab::{Daemon, Stats};
use lb_test_netns::{Crowd, NatSite, Site, WEB};

fn is_out(stats: &Stats) -> bool {
    stats.state("web", "web-2") == "failing" && stats.share("web", "web-2") == 0.0
}

fn reason(stats: &Stats) -> String {
    stats.backend("web", "web-2")["reason"].as_str().unwrap_or_default().to_owned()
}

/// The probe's own view.
fn probe_is_content(stats: &Stats) -> bool {
    stats.backend("web", "web-2")["probe"]["problem"].is_null()
}

/// Claims: a backend that answers probes and no client is found by what clients do, and
/// taken out; clients that knew nothing but to try again are served by the others.
#[test]
fn a_black_hole_is_found_where_answers_do_not_pass_the_balancer() {
    let site = Site::new(3);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1), (3, 1)])).unwrap();
    let crowd = Crowd::new(&site.lab);
    crowd.ask(WEB, || {
        daemon
            .wait_for("web-2 serves", |stats| {
                stats.backend("web", "web-2")["new_connections"].as_u64() > Some(20)
            })
            .unwrap();
        // Whatever it would send from the service's port goes nowhere.
        site.lab.backends[1].ip("rule add ipproto tcp sport 80 pref 1 blackhole").unwrap();
        let stats = daemon.wait_for("web-2 is out", is_out).unwrap();
        assert!(probe_is_content(&stats));
        let reason = reason(&stats);
        assert!(reason.starts_with("from the traffic: "), "{reason}");
        assert!(reason.contains(" connections unanswered in "), "{reason}");
        assert_eq!(stats.state("dns", "web-2"), "up", "another service of the same host");
    });
    crowd.answers();
    crowd.ask(WEB, || {
        let wanted = daemon.stats().unwrap().service("web")["new_connections"].as_u64().unwrap();
        daemon
            .wait_for("clients go on", |stats| {
                stats.service("web")["new_connections"].as_u64() > Some(wanted + 500)
            })
            .unwrap();
    });
    let answers = crowd.answers();
    let answered_by: Vec<_> = answers.keys().map(String::as_str).collect();
    assert_eq!(answered_by, ["web-1", "web-3"], "{answers:?}");
}

/// Claims: SYNs of nobody, which are sent again and again, are evidence against all
/// backends alike and take none out; clients are served all the while.
#[test]
fn a_flood_of_repeated_syns_takes_nobody_out() {
    let site = Site::new(3);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1), (3, 1)])).unwrap();
    let crowd = Crowd::new(&site.lab);
    crowd.ask(WEB, || crowd.spoof(WEB, 3000, 6));
    let answers = crowd.answers();
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["web-1", "web-2", "web-3"], "{answers:?}");
    let stats = daemon.stats().unwrap();
    for backend in ["web-1", "web-2", "web-3"] {
        let unanswered = stats.backend("web", backend)["passive"]["unanswered"].as_u64();
        assert!(unanswered > Some(500), "{backend}: {unanswered:?}");
        assert_eq!(stats.backend("web", backend)["passive"]["times_out"], 0, "{backend}");
        assert_eq!(stats.state("web", backend), "up");
    }
}

/// Claims: a server that refuses clients while something else answers its probes is
/// found and taken out.
#[test]
fn a_server_that_is_gone_is_found_where_answers_pass_the_balancer() {
    let site = NatSite::behind(3);
    let daemon = site.balance(&site.nat(&[1, 2, 3]));
    let crowd = Crowd::new(&site.lab);
    crowd.ask(WEB, || {
        daemon
            .wait_for("web-2 serves", |stats| {
                stats.backend("web", "web-2")["new_connections"].as_u64() > Some(20)
            })
            .unwrap();
        site.answer_probes_only(2);
        let stats = daemon.wait_for("web-2 is out", is_out).unwrap();
        let reason = reason(&stats);
        assert!(reason.contains(" connections refused in "), "{reason}");
    });
    crowd.answers();
    crowd.ask(WEB, || {
        daemon.wait_for("a while", |stats| stats.share("web", "web-2") == 0.0).unwrap();
        std::thread::sleep(std::time::Duration::from_secs(1));
    });
    let answers = crowd.answers();
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["web-1", "web-3"], "{answers:?}");
}
