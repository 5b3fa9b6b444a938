//! Backends that leave the file, come back under another name, or at another port.

use lb_test_lab::{Daemon, Stats, wait_until};
use lb_test_netns::{Conversation, NatSite, Site, WEB, call, calling};
use serde_json::Value;

/// Connections with a server.
fn open(site: &Site, partner: &str, count: usize) -> Vec<Conversation> {
    let open = || Conversation::open(&site.lab.client, WEB.into(), 80).unwrap();
    let with = std::iter::repeat_with(open).filter(|one| one.partner == partner);
    with.take(count).collect()
}

fn removed(stats: &Stats) -> Value {
    stats.service("web")["removed"][0].clone()
}

/// Claims: connections of a server that left the file live on for as long as it says,
/// `stats` shows them and when that ends, and events tell how many were cut off.
#[test]
fn a_removed_server_is_shown_until_its_connections_are_cut_off() {
    let site = Site::new(2);
    let drain = |config: String| config.replace("  arming:", "  drain: 8s\n  arming:");
    let daemon = Daemon::start(&site.lab, &drain(site.config(&[(1, 1), (2, 1)]))).unwrap();
    let mut old = open(&site, "web-2", 3);
    daemon.reconfigure(&drain(site.config(&[(1, 1)]))).unwrap();
    let mut seen = false;
    while let [first, ..] = &mut old[..] {
        // Each sends now and then, and learns that it is over by that.
        if first.ask().is_err() {
            break;
        }
        old.iter_mut().skip(1).for_each(|one| drop(one.ask()));
        let stats = daemon.stats().unwrap();
        seen |= removed(&stats)["drain"]["flows"] == 3 && removed(&stats)["state"] == "draining";
    }
    assert!(seen, "{}", daemon.log());
    let over = daemon.wait_for("it is over", |stats| removed(stats)["state"] == "drained").unwrap();
    assert_eq!(removed(&over)["name"], "web-2");
    let told = "draining -> drained: its deadline has passed: 3 flows that were left are cut off";
    let events = daemon.order("events", &[]).unwrap();
    assert!(events.contains(told), "{events}");
    call(&site.lab.client, WEB, 80, 20).complete();
}

/// Claims: another name in the file is the same server: its connections, its health and
/// its counters stay, and no request fails.
#[test]
fn a_renamed_server_is_the_same_one() {
    let site = Site::new(2);
    let config = site.config(&[(1, 1), (2, 1)]);
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    let mut old = open(&site, "web-2", 5);
    daemon.order("drain", &["dns", "web-2", "--reason", "a test"]).unwrap();
    let before = daemon.stats().unwrap();
    let tally = calling(&site.lab.client, || {
        let said = daemon.reconfigure(&config.replace("name: web-2", "name: other")).unwrap();
        assert!(said.contains("is now named other"), "{said}");
        for one in &mut old {
            one.must_go_on("when its server has another name");
        }
    });
    tally.complete();
    let after = daemon.stats().unwrap();
    let (then, now) = (before.backend("web", "web-2"), after.backend("web", "other"));
    for key in ["state", "since", "share"] {
        assert_eq!(now[key], then[key], "{key}");
    }
    assert!(now["packets"].as_u64() >= then["packets"].as_u64());
    assert_eq!(after.service("web")["slots"]["moved"], 0);
    assert_eq!(after.backend("dns", "other")["drain"]["reason"], "a test");
}

/// Claims: with another port, translated connections go on at the port that they know, new
/// ones get the new one, and no request fails.
#[test]
fn another_port_is_for_new_connections() {
    let site = NatSite::behind(1);
    let config = site.nat(&[1]).replace(", port: 81", ", port: 80");
    let daemon = site.balance(&config);
    let mut old = Conversation::open(&site.lab.client, WEB.into(), 80).unwrap();
    let ports = || -> Vec<u64> {
        let flows = daemon.order("flows", &["--json", "--service", "web"]).unwrap();
        let flows = flows.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let living = flows.filter(|flow| flow["state"] == "established");
        living.filter_map(|flow| flow["backend_port"].as_u64()).collect()
    };
    wait_until("the flow is there", || ports() == [80]).unwrap();
    let address = site.addresses(1)[0];
    let other = config.replacen(
        &format!("address: \"{address}\""),
        &format!("address: \"{address}\", port: 81"),
        1,
    );
    let tally = calling(&site.lab.client, || {
        let said = daemon.reconfigure(&other).unwrap();
        assert!(said.contains("port 81"), "{said}");
        old.must_go_on("when its server has another port");
    });
    tally.complete();
    let mut new = Conversation::open(&site.lab.client, WEB.into(), 80).unwrap();
    old.must_go_on("later");
    new.must_go_on("at the new port");
    let mut both = ports();
    both.sort_unstable();
    assert_eq!(both, [80, 81]);
}
