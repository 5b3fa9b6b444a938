//! A file with a problem changes nothing; a good one only what is different in it.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use lb_test_lab::Daemon;
use lb_test_netns::{Conversation, Site, WEB, call};

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let site = Site::new(2);
    let good = site.config(&[(1, 1), (2, 1)]);
    let daemon = Daemon::start(&site.lab, &good).unwrap();
    let mut old = Conversation::open(&site.lab.client, WEB.into(), 80).unwrap();
    let before = daemon.stats().unwrap();

    // The first service would be gone, the second is wrong.
    daemon
        .write_config(&good.replace("name: web\n", "name: other\n").replace("udp", "upd"))
        .unwrap();
    let refused = daemon.reload().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("lb.yaml:") && why.contains("upd"), "{why}");

    let after = daemon.stats().unwrap();
    assert_eq!(after.0["config"]["loaded_at"], before.0["config"]["loaded_at"]);
    assert!(after.0["config"]["last_error"].is_string(), "{after:?}");
    assert!(daemon.log().contains("upd"), "the log says why, too: {}", daemon.log());
    old.must_go_on("after a refused reload");
    let tally = call(&site.lab.client, WEB, 80, 40).complete();
    assert!(tally.of("web-1") > 0 && tally.of("web-2") > 0, "{tally:?}");
}

#[test]
fn health_and_counters_survive_a_reload() {
    let site = Site::new(3);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    call(&site.lab.client, WEB, 80, 40).complete();
    let before = daemon.stats().unwrap();
    daemon.reconfigure(&site.config(&[(1, 1), (2, 1), (3, 1)])).unwrap();
    let after =
        daemon.wait_for("web-3 is there", |stats| stats.share("web", "web-3") > 0.2).unwrap();
    for backend in ["web-1", "web-2"] {
        let [then, now] = [&before, &after].map(|stats| stats.backend("web", backend));
        assert_eq!(now["since"], then["since"], "its health is not asked for anew");
        assert!(now["packets"].as_u64() >= then["packets"].as_u64(), "{now} after {then}");
        assert!(now["packets"].as_u64() > Some(0), "{now}");
    }
}

/// Claims: SIGHUP does what `reload` does.
#[test]
fn a_hangup_reloads() {
    let site = Site::new(2);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1)])).unwrap();
    daemon.write_config(&site.config(&[(1, 1), (2, 1)])).unwrap();
    daemon.signal(nix::sys::signal::Signal::SIGHUP).unwrap();
    daemon.wait_for("web-2 is there", |stats| stats.share("web", "web-2") > 0.3).unwrap();
}

/// Claims: the service manager hears of a start, and of a reload's begin and end, also
/// when the file is bad.
#[test]
fn the_service_manager_is_told() {
    let site = Site::new(1);
    let manager = UnixDatagram::bind(site.lab.file("notify")).unwrap();
    manager.set_nonblocking(true).unwrap();
    let heard = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let good = site.config(&[(1, 1)]);
    let daemon = Daemon::start(&site.lab, &good).unwrap();
    assert_eq!(heard(), "READY=1");
    for config in ["nonsense", &good] {
        daemon.write_config(config).unwrap();
        assert_eq!(daemon.reload().unwrap().status.success(), config == good);
        let reloading = heard();
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").map(str::parse::<u64>);
        assert!(matches!(since, Some(Ok(1..))), "{reloading}");
        assert_eq!(heard(), "READY=1");
    }
}

/// Claims: a reload changes who may read statistics; a group that does not exist is
/// refused, and changes nothing.
#[test]
fn the_group_that_may_read_follows_the_file() {
    let site = Site::new(1);
    let alone = site.config(&[(1, 1)]);
    let daemon = Daemon::start(&site.lab, &alone).unwrap();
    let socket = format!("/run/lb-daemon/{}.sock", site.lab.name);
    let access = || {
        let found = Path::new(&socket).metadata().unwrap();
        (found.mode() & 0o777, found.gid())
    };
    assert_eq!(access(), (0o600, 0));
    let group = nix::unistd::Group::from_name("daemon").unwrap().expect("a group of every Debian");
    daemon.reconfigure(&format!("{alone}control: {{ group: daemon }}\n")).unwrap();
    assert_eq!(access(), (0o660, group.gid.as_raw()));

    daemon.write_config(&format!("{alone}control: {{ group: lb-nobodys }}\n")).unwrap();
    let refused = daemon.reload().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(why.contains("groupadd lb-nobodys"), "{why}");
    assert_eq!(access(), (0o660, group.gid.as_raw()));

    daemon.reconfigure(&alone).unwrap();
    assert_eq!(access(), (0o600, 0));
}
