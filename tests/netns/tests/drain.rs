//! Servers are taken out and put back while clients ask.

use std::time::{Duration, Instant};

use lb_test_lab::{Daemon, Process, Stats, backend, wait_until};
use lb_test_netns::{Conversation, Site, WEB, ask_udp, call, calling};
use nix::sys::signal::Signal;

/// After which nobody waits for a silent connection.
const IDLE: Duration = Duration::from_secs(3);

fn is_out(stats: &Stats, name: &str) -> bool {
    stats.share("web", name) == 0.0 && stats.service("web")["slots"]["arming"] == 0
}

/// Two servers, and times that a test can wait for.
fn hasty(site: &Site, mode: &str) -> String {
    let times = "  idle: { tcp: 3s, udp: 2s }\n  half_open: 2s\n  closing: 1s\n";
    let config = site.config(&[(1, 1), (2, 1)]);
    let config = config.replace("  arming:", &format!("{times}  arming:"));
    let limits = "limits: { nat_flows: 4096, nat_flows_wide: 4096 }\n";
    limits.to_owned() + &config.replace("mode: dsr", &format!("mode: {mode}"))
}

/// A connection with the second server.
fn with_the_second(site: &Site) -> Conversation {
    let open = || Conversation::open(&site.lab.client, WEB.into(), 80).unwrap();
    std::iter::repeat_with(open).find(|one| one.partner == "web-2").unwrap()
}

/// `drain web web-2 --wait`, as it runs.
fn waiting(site: &Site, daemon: &Daemon, name: &str) -> Process {
    let mut command = daemon.command("drain");
    command.args(["web", "web-2", "--wait"]);
    Process::spawn(&mut command, &site.lab.file(name)).unwrap()
}

fn wait(mode: &str) {
    let site = Site::new(2);
    let mut daemon = Daemon::start(&site.lab, &hasty(&site, mode)).unwrap();
    let mut old = with_the_second(&site);
    let mut waiting = waiting(&site, &daemon, "wait.log");
    daemon.wait_for("it is out", |stats| is_out(stats, "web-2")).unwrap();
    // Longer than a silent one would be waited for, and over a restart.
    for round in 0..20 {
        old.must_go_on("while somebody waits for its end");
        assert!(waiting.is_running(), "{}", waiting.log());
        std::thread::sleep(IDLE / 10);
        if round == 10 {
            daemon.stop(Signal::SIGKILL).unwrap();
            daemon.start_again().unwrap();
        }
    }
    let said = waiting.log();
    assert!(said.contains("web/web-2: 1 flow is left of those seen since the drain"), "{said}");
    assert_eq!(said.contains("silent ones may be, too: they are known after"), mode == "dsr");
    drop(old);
    wait_until("nobody is left", || !waiting.is_running()).unwrap();
    let said = waiting.log();
    assert!(said.contains("web/web-2 is drained: no flow is left; drained by root"), "{said}");
    assert_eq!(daemon.stats().unwrap().state("web", "web-2"), "drained");
}

/// Claims: who waits is told what is left, waits as long as a connection lives, and no
/// longer; a restart of the daemon does not end it.
#[test]
fn a_drain_is_waited_for_in_dsr() {
    wait("dsr");
}

/// The same, translated: the balancer knows all connections, silent ones too.
#[test]
fn a_drain_is_waited_for_in_nat() {
    wait("nat");
}

/// Claims: nobody says "drained" before a connection that nobody has seen since would have
/// been silent for the idle time.
#[test]
fn a_silent_connection_is_waited_for_although_nobody_sees_it() {
    let site = Site::new(2);
    let daemon = Daemon::start(&site.lab, &hasty(&site, "dsr")).unwrap();
    let begun = Instant::now();
    let mut silent = with_the_second(&site);
    let said = daemon.order("drain", &["web", "web-2", "--wait"]).unwrap();
    assert!(begun.elapsed() > IDLE, "{said}");
    assert!(said.contains("0 flows are left"), "{said}");
    // It was silent for longer than promised.
    drop(silent.ask());
}

/// Claims: a host is taken out of all its services at once, and stays out when the daemon
/// is killed and started again; who did that, when and why is known, was told, and is in
/// the events.
#[test]
fn a_host_is_drained_everywhere_and_over_a_kill() {
    let site = Site::new(2);
    let told = site.lab.file("told.jsonl");
    let tell = format!(
        "allow_exec: true\nnotify: {{ events: [drain, stopping], command: [/bin/sh, -c, 'cat >> \
         {}'] }}\n",
        told.display()
    );
    let mut daemon = Daemon::start(&site.lab, &(tell + &hasty(&site, "dsr"))).unwrap();
    let host = backend(2).to_string();
    let said = daemon.order("drain", &["--host", &host, "--reason", "a new disk"]).unwrap();
    assert_eq!(said.lines().filter(|line| line.contains("is drained")).count(), 2, "{said}");
    let is_out_of = |stats: &Stats, service: &str| {
        let slots = &stats.service(service)["slots"];
        stats.share(service, "web-2") == 0.0 && slots["arming"] == 0
    };
    let before = daemon
        .wait_for("it is out", |stats| is_out_of(stats, "web") && is_out_of(stats, "dns"))
        .unwrap();
    daemon.stop(Signal::SIGKILL).unwrap();
    assert_eq!(call(&site.lab.client, WEB, 80, 20).complete().of("web-2"), 0);
    daemon.start_again().unwrap();
    let after = daemon.stats().unwrap();
    for service in ["web", "dns"] {
        let [then, now] =
            [&before, &after].map(|stats| stats.backend(service, "web-2")["drain"].clone());
        for key in ["by", "at", "reason"] {
            assert_eq!(then[key], now[key], "{service} {key}");
        }
        assert_eq!((&now["by"]["uid"], &now["reason"]), (&0.into(), &"a new disk".into()));
        assert!(after.state(service, "web-2").starts_with("drain"), "{after:?}");
        assert!(is_out_of(&after, service), "{after:?}");
    }
    assert_eq!(call(&site.lab.client, WEB, 80, 20).complete().of("web-2"), 0);
    assert_eq!(ask_udp(&site.lab.client, WEB, 53, 20).complete().of("web-2"), 0);
    let events = daemon.order("events", &[]).unwrap();
    assert!(events.contains("a new disk"), "{events}");
    daemon.stop(Signal::SIGTERM).unwrap();
    let told = std::fs::read_to_string(told).unwrap();
    let kinds: Vec<_> = told
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].clone())
        .collect();
    assert_eq!(kinds, ["drain", "drain", "stopping"], "{told}");
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
            daemon.order("drain", &["--host", &host, "--reason", "a new release"]).unwrap();
            daemon.wait_for("it is out", |stats| is_out(stats, &name)).unwrap();
            for conversation in &mut old {
                conversation.must_go_on("while its backend is drained");
            }
            drop(old);
            // Nobody is left.
            site.stop(number);
            site.start(number);
            daemon.order("undrain", &["--host", &host]).unwrap();
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
    let words = ["--host", &host, "--now", "--reason", "broken disk"];
    let said = daemon.order("drain", &words).unwrap();
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
