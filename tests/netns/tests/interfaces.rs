//! What stands in the way of XDP on an interface is said before packets are lost.

use lb_test_lab::{Daemon, Stats};
use lb_test_netns::Site;

/// A daemon that was told to use one more interface, natively.
fn with_one_more<'a>(site: &'a Site, interface: &str) -> Daemon<'a> {
    let config = site.config(&[(1, 1)]);
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    let more = format!("native }}, {{ name: {interface}, xdp: native }}]");
    daemon.reconfigure(&config.replacen("native }]", &more, 1)).unwrap();
    daemon
}

fn note(stats: &Stats, interface: &str) -> String {
    let interfaces = stats.0["interfaces"].as_array().unwrap();
    let found = interfaces.iter().find(|one| one["name"] == interface);
    found.map_or_else(String::new, |one| one["detail"].as_str().unwrap().to_owned())
}

/// Claims: where a driver refuses the program, the operator reads the kernel's own words.
#[test]
fn a_refused_attachment_is_explained_by_the_kernel() {
    let site = Site::new(1);
    site.lab.connect_balancer_to_router("spare").unwrap();
    site.lab.router.ip("link set spare mtu 9000").unwrap();
    let daemon = with_one_more(&site, "spare");
    daemon
        .wait_for("the kernel's words are shown", |stats| {
            note(stats, "spare").contains("Peer MTU is too large")
        })
        .unwrap();
    site.lab.router.ip("link set spare mtu 1500").unwrap();
    daemon.wait_for("the way is free", |stats| note(stats, "spare").is_empty()).unwrap();
}

/// Claims: a veth that loses what XDP sends through it is named, whether or not its peer
/// has GRO on; not so the one whose peer runs a program.
#[test]
fn a_veth_whose_peer_runs_no_program_is_named() {
    let site = Site::new(1);
    site.lab.connect_balancer_to_router("spare").unwrap();
    let gro = site.lab.router.command("ethtool").args(["-K", "spare", "gro", "on"]).status();
    assert!(gro.unwrap().success());
    let daemon = with_one_more(&site, "spare");
    let stats = daemon
        .wait_for("the interface is named", |stats| {
            stats.0["warnings"].to_string().contains("spare: a veth loses")
        })
        .unwrap();
    assert!(!stats.0["warnings"].to_string().contains("eth0: a veth loses"), "{stats:?}");
}
