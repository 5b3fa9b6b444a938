//! Probes that go to the VIP, the way that clients' packets take.

use std::net::IpAddr;

use lb_test_lab::{Daemon, Stats, backend, wait_until};
use lb_test_netns::{HEALTH, Site, TunnelEnd, WEB, WEB6, call};
use nix::sys::signal::Signal;

fn problem(stats: &Stats, name: &str) -> String {
    stats.backend("web", name)["probe"]["problem"].as_str().unwrap_or_default().to_owned()
}

fn is_up(stats: &Stats, names: &[&str]) -> bool {
    names.iter().all(|name| stats.state("web", name) == "up")
}

/// Takes a VIP off the loopback interface of a backend, or puts it there.
fn vip_of_backend(site: &Site, number: usize, order: &str) {
    let host = &site.lab.backends[number - 1];
    host.ip(&format!("addr {order} {WEB}/32 dev lo\naddr {order} {WEB6}/128 dev lo")).unwrap();
}

/// Claims: with rp_filter at its strictest, backends whose VIP is there are up, and one whose
/// VIP is missing fails with that reason, although its own address answers; it returns with
/// the VIP. No probe counts as traffic.
fn backends_without_the_vip_fail(site: &Site, daemon: &Daemon<'_>) {
    daemon.wait_for("all are up", |stats| is_up(stats, &["web-1", "web-2"])).unwrap();
    vip_of_backend(site, 2, "del");
    let stats =
        daemon.wait_for("web-2 fails", |stats| stats.state("web", "web-2") == "failing").unwrap();
    let reason = stats.backend("web", "web-2")["reason"].as_str().unwrap_or_default().to_owned();
    let own = format!("{}:{HEALTH} itself answers", backend(2));
    for part in [format!("no answer on {WEB}:{HEALTH} through the data path"), own] {
        assert!(reason.contains(&part), "{reason}");
    }
    assert!(reason.contains("the VIP on its loopback, or its way back to"), "{reason}");
    assert_eq!(stats.state("web", "web-1"), "up");
    let tally = call(&site.lab.client, WEB, 80, 20).complete();
    assert_eq!(tally.of("web-1"), 20, "{tally:?}");
    vip_of_backend(site, 2, "add");
    let stats = daemon.wait_for("web-2 returns", |stats| is_up(stats, &["web-2"])).unwrap();
    assert_eq!(stats.backend("web", "web-2")["probe"]["via"], "path");
    assert_eq!(problem(&stats, "web-2"), "");
}

/// Threads of the daemon that may do everything that an administrator may.
fn threads_with_sys_admin(pid: u64) -> usize {
    const SYS_ADMIN: u64 = 1 << 21;
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses = tasks.filter_map(|task| {
        // Threads come and go.
        std::fs::read_to_string(task.ok()?.path().join("status")).ok()
    });
    let permitted = |status: &String| {
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    statuses.filter(|status| permitted(status) & SYS_ADMIN != 0).count()
}

fn strict(site: &Site) {
    let strict = ["net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth0.rp_filter=1"];
    site.lab.balancer.sysctl(&strict).unwrap();
}

#[test]
fn a_backend_without_the_vip_fails_in_dsr() {
    let site = Site::new(2);
    strict(&site);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    let before = daemon.stats().unwrap();
    assert_eq!((before.total("forwarded"), before.all_drops()), (0, 0), "{before:?}");
    assert_eq!(threads_with_sys_admin(before.pid()), 0, "it is given up");
    backends_without_the_vip_fail(&site, &daemon);
    let after = daemon.stats().unwrap();
    assert_eq!(after.total("residual"), 0, "{after:?}");
}

/// The same where the balancer has the VIP itself.
#[test]
fn the_vip_may_be_the_balancers_own() {
    let site = Site::new(2);
    strict(&site);
    for vip in [IpAddr::from(WEB), WEB6.into()] {
        site.lab.give_balancer(vip).unwrap();
    }
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    backends_without_the_vip_fail(&site, &daemon);
}

/// The same where no driver runs the program.
#[test]
fn generic_mode_will_do() {
    let site = Site::new(2);
    let config = site.config(&[(1, 1), (2, 1)]).replace("xdp: native", "xdp: generic");
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    backends_without_the_vip_fail(&site, &daemon);
}

/// Claims: where answers would come in unseen, probes go past, and a warning says so.
#[test]
fn answers_on_an_interface_without_the_program_are_not_waited_for() {
    let site = Site::new(1);
    site.lab.connect_balancer_to_router("eth2").unwrap();
    let config = site.config(&[(1, 1)]).replace("name: eth0", "name: eth2");
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    let stats = daemon.wait_for("web-1 is up", |stats| is_up(stats, &["web-1"])).unwrap();
    let warnings = stats.0["warnings"].to_string();
    assert!(warnings.contains("answers would come in on eth0"), "{warnings}");
}

/// Claims: probes go through the tunnel; without its end a backend fails with that reason.
#[test]
fn a_backend_without_the_tunnels_end_fails() {
    let site = Site::new(2);
    strict(&site);
    let _first = TunnelEnd::start(&site.lab.backends[0]);
    let second = TunnelEnd::start(&site.lab.backends[1]);
    let config = site.config(&[(1, 1), (2, 1)]).replace("mode: dsr", "mode: ipip");
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    daemon.wait_for("all are up", |stats| is_up(stats, &["web-1", "web-2"])).unwrap();
    assert!(second.unwrapped() > 0, "its probes came through the tunnel");
    drop(second);
    let stats =
        daemon.wait_for("web-2 fails", |stats| stats.state("web", "web-2") == "failing").unwrap();
    let reason = stats.backend("web", "web-2")["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("the tunnel's end there"), "{reason}");
    assert_eq!(stats.state("web", "web-1"), "up");
}

/// Claims: what refuses the VIP's port, over TCP and UDP, is dead; checks of all kinds work
/// over both families.
#[test]
fn every_check_takes_the_path_and_refusals_come_back() {
    let site = Site::new(2);
    let checks = [
        ("tcp", "type: tcp, port: 80", 80, "tcp"),
        ("udp", "type: udp, port: 53, send: who, expect: web", 53, "udp"),
    ];
    let mut config = String::from("interfaces: [{ name: eth0, xdp: native }]\nservices:\n");
    for (name, health, port, protocol) in checks {
        for (suffix, vip) in [("", WEB.to_string()), ("6", WEB6.to_string())] {
            config += &format!(
                "- {{ name: {name}{suffix}, vip: \"{vip}\", port: {port}, protocol: {protocol}, \
                 mode: dsr, health: {{ {health}, interval: 200ms, timeout: 200ms, rise: 2, fall: 2 }}, \
                 backends: [{{ name: web-1, address: {} }}, {{ name: web-2, address: {} }}] }}\n",
                backend(1),
                backend(2)
            );
        }
    }
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    let all = |stats: &Stats, name: &str, state: &str| {
        ["tcp", "tcp6", "udp", "udp6"].iter().all(|service| stats.state(service, name) == state)
    };
    daemon
        .wait_for("all are up", |stats| all(stats, "web-1", "up") && all(stats, "web-2", "up"))
        .unwrap();
    site.stop(2);
    let stats = daemon.wait_for("web-2 is dead", |stats| all(stats, "web-2", "dead")).unwrap();
    for (service, why) in [("tcp6", "connection refused"), ("udp", "port unreachable")] {
        let reason = stats.backend(service, "web-2")["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(why), "{service}: {reason}");
    }
    assert!(all(&stats, "web-1", "up"));
    site.start(2);
    daemon.wait_for("web-2 returns", |stats| all(stats, "web-2", "up")).unwrap();
}

fn probe_interfaces(site: &Site) -> Vec<String> {
    let out = site.lab.balancer.command("ip").args(["-o", "link"]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let names = text.lines().filter_map(|line| line.split(": ").nth(1));
    names.filter(|name| name.starts_with("lbp-")).map(str::to_owned).collect()
}

/// Claims: what probes need goes with the daemon, however it ends; the next one makes it
/// anew, and finds all backends as they are.
#[test]
fn a_killed_daemon_leaves_nothing_that_is_in_the_way() {
    let site = Site::new(2);
    let mut daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    daemon.wait_for("all are up", |stats| is_up(stats, &["web-1", "web-2"])).unwrap();
    assert_eq!(probe_interfaces(&site).len(), 1);
    for _ in 0..2 {
        daemon.stop(Signal::SIGKILL).unwrap();
        vip_of_backend(&site, 2, "del");
        daemon.start_again().unwrap();
        daemon.wait_for("web-2 fails", |s| s.state("web", "web-2") == "failing").unwrap();
        assert_eq!(probe_interfaces(&site).len(), 1);
        vip_of_backend(&site, 2, "add");
        daemon.wait_for("all are up", |stats| is_up(stats, &["web-1", "web-2"])).unwrap();
    }
    daemon.stop(Signal::SIGTERM).unwrap();
    wait_until("it is gone", || probe_interfaces(&site).is_empty()).unwrap();
}

/// Claims: an interface that somebody removes is made anew; a service that asks for it is
/// probed at its own address, and when no service is probed through the data path, the
/// interface goes.
#[test]
fn the_interface_is_there_while_it_is_of_use() {
    let site = Site::new(1);
    let config = site.config(&[(1, 1)]);
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    let name = probe_interfaces(&site)[0].split('@').next().unwrap().to_owned();
    site.lab.balancer.ip(&format!("link del {name}")).unwrap();
    wait_until("it is there again", || probe_interfaces(&site).len() == 1).unwrap();
    vip_of_backend(&site, 1, "del");
    daemon.wait_for("web-1 fails", |s| s.state("web", "web-1") == "failing").unwrap();
    daemon.reconfigure(&config.replace("health: { ", "health: { via: direct, ")).unwrap();
    let stats = daemon.wait_for("web-1 answers", |stats| is_up(stats, &["web-1"])).unwrap();
    assert_eq!(stats.backend("web", "web-1")["probe"]["via"], "direct");
    wait_until("it is gone", || probe_interfaces(&site).is_empty()).unwrap();
}

/// Claims: without the capability that it takes, the daemon runs, probes past the data path
/// and says so.
#[test]
fn without_the_capability_probes_go_past_and_that_is_said() {
    let site = Site::new(1);
    let daemon = Daemon::start_without_sys_admin(&site.lab, &site.config(&[(1, 1)])).unwrap();
    let stats = daemon.wait_for("web-1 is up", |stats| is_up(stats, &["web-1"])).unwrap();
    let warnings = stats.0["warnings"].to_string();
    assert!(warnings.contains("CAP_SYS_ADMIN"), "{warnings}");
    assert_eq!(probe_interfaces(&site), Vec::<String>::new());
    vip_of_backend(&site, 1, "del");
    daemon.wait_for("probes go on", |stats| problem(stats, "web-1").is_empty()).unwrap();
}
