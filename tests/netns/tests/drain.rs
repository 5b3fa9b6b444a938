//! Servers are taken out and put back, one after another, while clients ask.

use lb_test_lab::{Daemon, Stats, backend};
use lb_test_netns::{Conversation, Site, WEB, call, calling};

/// Runs a command of the daemon that has to succeed; returns what it says.
fn order(daemon: &Daemon, name: &str, args: &[&str]) -> String {
    let output = daemon.command(name).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {said}");
    said
}

fn is_out(stats: &Stats, name: &str) -> bool {
    stats.share("web", name) == 0.0 && stats.service("web")["slots"]["arming"] == 0
}

fn roll(mode: &str) {
    let site = Site::new(3);
    let config = site.config(&[(1, 1), (2, 1), (3, 1)]);
    let config = config.replace("mode: dsr", &format!("mode: {mode}"));
    let limits = "limits: { nat_flows: 4096, nat_flows_wide: 4096 }\n";
    let daemon = Daemon::start(&site.lab, &(limits.to_owned() + &config)).unwrap();
    call(&site.lab.client, WEB, 80, 40).complete();
    let tally = calling(&site.lab.client, || {
        for number in 1..=3 {
            let (name, host) = (format!("web-{number}"), backend(number).to_string());
            let mut old: Vec<_> = (0..12)
                .map(|_| Conversation::open(&site.lab.client, WEB.into(), 80).unwrap())
                .collect();
            order(&daemon, "drain", &["--host", &host, "--reason", "a new release"]);
            daemon.wait_for("it is out", |stats| is_out(stats, &name)).unwrap();
            for conversation in &mut old {
                conversation.must_go_on("while its backend is drained");
            }
            drop(old);
            // Nobody is left.
            site.stop(number);
            site.start(number);
            order(&daemon, "undrain", &["--host", &host]);
            daemon
                .wait_for("it is back", |stats| {
                    stats.state("web", &name) == "up" && stats.share("web", &name) > 0.2
                })
                .unwrap();
        }
    });
    let tally = tally.complete();
    assert!((1..=3).all(|number| tally.of(&format!("web-{number}")) > 0), "{tally:?}");
}

/// Claims: a pool is replaced server by server, no request fails, and connections of a
/// drained server go on as long as they like.
#[test]
fn a_pool_is_replaced_one_by_one_in_dsr() {
    roll("dsr");
}

/// The same, translated.
#[test]
fn a_pool_is_replaced_one_by_one_in_nat() {
    roll("nat");
}

/// Claims: a backend that an operator declares dead gets nothing any more; its connections
/// are reset on their next packet, all others go on.
#[test]
fn an_operator_declares_a_backend_dead() {
    let site = Site::new(2);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    let open = || Conversation::open(&site.lab.client, WEB.into(), 80).unwrap();
    let (dead, mut alive): (Vec<_>, Vec<_>) =
        (0..30).map(|_| open()).partition(|conversation| conversation.partner == "web-2");
    assert!(!dead.is_empty() && !alive.is_empty());
    let host = backend(2).to_string();
    let said = order(&daemon, "drain", &["--host", &host, "--now", "--reason", "broken disk"]);
    assert!(said.contains("treated as a dead backend's"), "{said}");
    daemon.wait_for("it is out", |stats| is_out(stats, "web-2")).unwrap();
    for mut conversation in dead {
        let error = conversation.ask().expect_err("its backend is declared dead");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    for conversation in &mut alive {
        conversation.must_go_on("after the other was declared dead");
    }
    assert_eq!(call(&site.lab.client, WEB, 80, 20).complete().of("web-1"), 20);
}
