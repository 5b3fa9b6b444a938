//! Too few backends are up, and the service has said what is to happen then.

use std::io::ErrorKind;
use std::net::IpAddr;

use lb_test_lab::{Daemon, Stats};
use lb_test_netns::{Conversation, DNS, NatSite, Site, WEB, WEB6, ask_udp, call};

fn serving(stats: &Stats, service: &str, who: &str) -> bool {
    stats.service(service)["serving"] == who
}

fn with_defaults(config: &str, more: &str) -> String {
    config.replacen("defaults:\n", &format!("defaults:\n  {more}\n"), 1)
}

/// What the daemon says has happened, one JSON object a line.
fn events(daemon: &Daemon) -> String {
    let output = daemon.command("events").arg("--json").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn conversations(site: &Site, count: usize) -> Vec<Conversation> {
    let open = || Conversation::open(&site.lab.client, WEB.into(), 80);
    (0..count).map(|_| open().expect("backends serve")).collect()
}

fn refusing(mode: &str) {
    let site = Site::new(2);
    let config = site.config(&[(1, 1), (2, 1)]).replace("mode: dsr", &format!("mode: {mode}"));
    let config = with_defaults(&config, "on_all_down: reject");
    let limits = "limits: { nat_flows: 4096, nat_flows_wide: 4096 }\n";
    let daemon = Daemon::start(&site.lab, &(limits.to_owned() + &config)).unwrap();
    let mut old = conversations(&site, 10);

    (1..=2).for_each(|number| site.stall(number, true));
    let nobody =
        |stats: &Stats| ["web", "dns"].iter().all(|service| serving(stats, service, "nobody"));
    let stats = daemon.wait_for("both fail", nobody).unwrap();
    assert_eq!(stats.service("web")["state"], "down", "{stats:?}");
    assert_eq!(stats.service("web")["healthy"], 0);
    daemon
        .wait_for("their slots are nobody's", |stats| {
            ["web-1", "web-2"].iter().all(|name| stats.share("web", name) == 0.0)
        })
        .unwrap();
    for vip in [IpAddr::from(WEB), WEB6.into()] {
        let refused = Conversation::open(&site.lab.client, vip, 80).err().expect("nobody is up");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{vip}");
        let refused = ask_udp(&site.lab.client, vip, DNS, 1);
        assert!(refused.failures[0].contains("Connection refused"), "{vip}: {refused:?}");
    }
    let url = format!("http://{WEB}/");
    let curl = site.lab.client.command("curl").args(["-sS", "-m", "5", &url]).output().unwrap();
    let said = String::from_utf8_lossy(&curl.stderr).into_owned();
    assert_eq!(curl.status.code(), Some(7), "could not connect: {said}");
    for conversation in &mut old {
        conversation.must_go_on("while new ones are refused");
    }

    (1..=2).for_each(|number| site.stall(number, false));
    daemon.wait_for("both serve", Stats::all_serve).unwrap();
    call(&site.lab.client, WEB, 80, 20).complete();
    for conversation in &mut old {
        conversation.must_go_on("after new ones were refused");
    }
    let told = events(&daemon);
    let down = told.lines().any(|line| {
        line.contains(r#""kind":"service""#)
            && line.contains(r#""service":"web""#)
            && line.contains(r#""to":"down""#)
            && line.contains("min_healthy is 1")
    });
    assert!(down, "{told}");
    assert!(daemon.log().contains("min_healthy is 1"), "{}", daemon.log());
}

/// Claims: with no backend up, new connections and datagrams are refused at once; those
/// that exist go on, and nothing is broken when backends are back. The service is
/// reported down meanwhile.
#[test]
fn a_service_that_rejects_refuses_at_once_in_dsr() {
    refusing("dsr");
}

/// The same, translated.
#[test]
fn a_service_that_rejects_refuses_at_once_in_nat() {
    refusing("nat");
}

fn backing_up(mode: &str) {
    let site = Site::new(3);
    let config = site.config(&[(1, 1), (2, 1), (3, 1)]);
    let config = config.replace("mode: dsr", &format!("mode: {mode}"));
    let config = config.replace("name: web-3,", "name: web-3, backup: true,");
    let limits = "limits: { nat_flows: 4096, nat_flows_wide: 4096 }\n";
    let daemon = Daemon::start(&site.lab, &(limits.to_owned() + &config)).unwrap();
    let mut old = conversations(&site, 12);
    assert!(old.iter().all(|one| one.partner != "web-3"), "it stands by");

    (1..=2).for_each(|number| site.stall(number, true));
    daemon
        .wait_for("the backup serves", |stats| {
            serving(stats, "web", "backups") && stats.share("web", "web-3") > 0.99
        })
        .unwrap();
    assert_eq!(call(&site.lab.client, WEB, 80, 20).complete().of("web-3"), 20);
    old.extend(conversations(&site, 12));

    (1..=2).for_each(|number| site.stall(number, false));
    daemon
        .wait_for("the backup stands by", |stats| {
            serving(stats, "web", "primaries")
                && stats.share("web", "web-3") == 0.0
                && stats.service("web")["slots"]["arming"] == 0
        })
        .unwrap();
    assert_eq!(call(&site.lab.client, WEB, 80, 20).complete().of("web-3"), 0);
    for conversation in &mut old {
        conversation.must_go_on("after the backup has left");
    }
}

/// Claims: a backup takes over when no other is up, and leaves when they are back; no
/// connection breaks, neither theirs nor its own.
#[test]
fn a_backup_takes_over_and_leaves_in_dsr() {
    backing_up("dsr");
}

/// The same, translated.
#[test]
fn a_backup_takes_over_and_leaves_in_nat() {
    backing_up("nat");
}

fn is_dead(stats: &Stats) -> bool {
    stats.state("web", "web-2") == "dead" && stats.share("web", "web-2") == 0.0
}

/// One with web-2, among some.
fn with_web_2(open: impl Fn() -> Conversation) -> Conversation {
    (0..30).map(|_| open()).find(|one| one.partner == "web-2").expect("web-2 serves")
}

/// Claims: with `on_backend_dead: drop`, a dead backend's client hears nothing, neither
/// an answer nor a RST.
#[test]
fn clients_of_a_dead_backend_hear_nothing_in_dsr() {
    let site = Site::new(2);
    site.lab.balancer.sysctl(&["net.ipv4.neigh.eth0.base_reachable_time_ms=2000"]).unwrap();
    let config = with_defaults(&site.config(&[(1, 1), (2, 1)]), "on_backend_dead: drop");
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    let open = || Conversation::open(&site.lab.client, WEB.into(), 80).expect("backends serve");
    let mut old = with_web_2(open);
    site.lab.set_cable(2, false).unwrap();
    daemon.wait_for("web-2 is dead", is_dead).unwrap();
    let error = old.ask().expect_err("nobody is there to answer");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "no answer in time: {error}");
    let stats = daemon.stats().unwrap();
    assert!(stats.drops("dead_backend") > 0, "{stats:?}");
    assert_eq!(stats.answers("reset"), 0, "{stats:?}");
}

/// Claims: the same where addresses are translated, and there the connection goes on
/// when its backend is back.
#[test]
fn clients_of_a_dead_backend_hear_nothing_until_it_is_back_in_nat() {
    let site = NatSite::behind(2);
    let soon =
        ["ipv4", "ipv6"].map(|ip| format!("net.{ip}.neigh.eth1.base_reachable_time_ms=2000"));
    site.lab.balancer.sysctl(&soon.each_ref().map(String::as_str)).unwrap();
    let daemon = site.balance(&with_defaults(&site.nat(&[1, 2]), "on_backend_dead: drop"));
    let open = || Conversation::open(&site.lab.client, WEB.into(), 80).expect("backends serve");
    let mut old = with_web_2(open);
    site.lab.set_cable(2, false).unwrap();
    daemon.wait_for("web-2 is dead", is_dead).unwrap();
    let error = old.ask().expect_err("nobody is there to answer");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "no answer in time: {error}");
    site.lab.set_cable(2, true).unwrap();
    daemon.wait_for("web-2 is back", |stats| stats.share("web", "web-2") > 0.2).unwrap();
    old.must_go_on("after its backend has returned");
}
