//! The daemon may die at any time: the program goes on, and the next daemon adopts it.

use std::thread;

use lb_test_lab::{Daemon, wait_until};
use lb_test_netns::{Conversation, Site, Traffic, WEB, WEB6, call};
use nix::sys::signal::Signal;

/// Claims: not one request fails while the daemon is killed, absent and started again;
/// the new one goes on with counters, health and flows.
#[test]
fn killing_the_daemon_loses_nothing_and_the_next_adopts() {
    let site = Site::new(3);
    let mut daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1), (3, 1)])).unwrap();
    let vips = [WEB.into(), WEB6.into()];
    let traffic = Traffic::new(&site.lab.client, &vips);
    let tallies = thread::scope(|scope| {
        let thread = scope.spawn(|| traffic.run());
        traffic.wait_for_more(100);
        let before = daemon.stats().unwrap();
        daemon.stop(Signal::SIGKILL).unwrap();
        traffic.wait_for_more(300);
        daemon.start_again().unwrap();
        traffic.wait_for_more(100);
        let after = daemon.stats().unwrap();
        traffic.stop();
        assert_ne!(before.pid(), after.pid());
        assert!(after.total("forwarded") > before.total("forwarded"), "{before:?} {after:?}");
        thread.join().unwrap()
    });
    let answered: usize = tallies.into_iter().map(|tally| tally.complete().answered()).sum();
    assert!(answered > 0);
    let tally = call(&site.lab.client, WEB, 80, 60).complete();
    assert!(["web-1", "web-2", "web-3"].iter().all(|name| tally.of(name) > 0), "{tally:?}");
}

/// Claims: a file that was edited while no daemon ran is applied like a reload; the
/// connections stay.
#[test]
fn a_file_edited_meanwhile_moves_no_connection() {
    let site = Site::new(3);
    let mut daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    let mut old: Vec<_> = (0..40)
        .map(|_| Conversation::open(&site.lab.client, WEB.into(), 80).expect("a backend answers"))
        .collect();
    daemon.stop(Signal::SIGKILL).unwrap();
    daemon.write_config(&site.config(&[(2, 1), (3, 1)])).unwrap();
    daemon.start_again().unwrap();
    daemon
        .wait_for("web-3 has its share and web-1 none", |stats| {
            stats.share("web", "web-2") + stats.share("web", "web-3") > 0.999
        })
        .unwrap();
    for conversation in &mut old {
        conversation.must_go_on("after a restart with another file");
    }
}

/// Claims: since when a backend is up, and why, is known to the next daemon.
#[test]
fn since_when_backends_are_up_outlives_the_daemon() {
    let site = Site::new(1);
    let mut daemon = Daemon::start(&site.lab, &site.config(&[(1, 1)])).unwrap();
    let before = daemon.stats().unwrap();
    wait_until("a second is over", || daemon.stats().unwrap().0["uptime"].as_u64() > Some(1))
        .unwrap();
    daemon.stop(Signal::SIGTERM).unwrap();
    daemon.start_again().unwrap();
    let after = daemon.stats().unwrap();
    for key in ["state", "since", "reason"] {
        let [then, now] = [&before, &after].map(|stats| &stats.backend("web", "web-1")[key]);
        assert_eq!(now, then, "{key}");
    }
}

/// Claims: a second daemon refuses to serve the same instance and names the first.
#[test]
fn a_second_daemon_is_refused() {
    let site = Site::new(1);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1)])).unwrap();
    let pid = daemon.stats().unwrap().pid();
    let mut second = daemon.command("run");
    let out = second.arg("--config").arg(daemon.config_path()).output().unwrap();
    assert!(!out.status.success());
    let why = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(why.contains(&pid.to_string()), "{why}");
    call(&site.lab.client, WEB, 80, 10).complete();
}
