//! Interfaces, addresses, and what drivers tell.

use lb_daemon::netlink::{
    LinkChange, Links, Monitor, XdpMode,
    ethtool::Ethtool,
    preflight::{self, Inspector},
    xdp_losses,
};

use crate::{
    hosts::{Hosts, inside, run, until, wait},
    program::{Program, Verdict},
};

fn index(monitor: &Monitor, name: &str) -> u32 {
    monitor.links().borrow().by_name(name).expect("the interface").index
}

fn statistics(
    monitor: &Monitor,
) -> std::collections::BTreeMap<u32, lb_daemon::netlink::LinkStatistics> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(monitor.statistics()).expect("statistics")
}

#[test]
fn interfaces_that_come_go_and_are_renamed_are_reported() {
    let hosts = Hosts::new("links");
    let monitor = hosts.monitor();
    let mut links = monitor.links();
    let mut last: Links = (**links.borrow()).clone();
    let mut expect = |what: LinkChange| {
        let description = what.to_string();
        last = wait(&mut links, &description, |now| {
            let changes = now.changes_since(&last);
            changes.contains(&what).then(|| (**now).clone())
        });
    };
    let name = |name: &str| name.to_string();
    hosts.lb("link add late type veth peer name late-peer");
    expect(LinkChange::Appeared(name("late")));
    hosts.lb("link set late name later");
    expect(LinkChange::Renamed { from: name("late"), to: name("later") });
    hosts.lb("link set later mtu 1400");
    expect(LinkChange::Mtu { name: name("later"), from: 1500, to: 1400 });
    hosts.lb("link del later");
    expect(LinkChange::Vanished(name("later")));

    let links = links.borrow().clone();
    let loopback = links.by_name("lo").unwrap();
    assert!(loopback.loopback && loopback.mac.is_none());
    assert_eq!(links.by_name("a0").unwrap().kind, "veth");
    monitor.stop();
}

#[test]
fn a_bridge_port_is_still_an_interface_when_it_leaves_its_bridge() {
    let hosts = Hosts::new("bridge");
    let monitor = hosts.monitor();
    let mut links = monitor.links();
    hosts.lb("link add br0 type bridge");
    hosts.lb("link set b0 master br0");
    wait(&mut links, "b0 in its bridge", |links| links.by_name("b0")?.master);
    hosts.lb("link set b0 nomaster");
    wait(&mut links, "b0 without a bridge", |links| {
        links.by_name("b0")?.master.is_none().then_some(())
    });
    monitor.stop();
}

#[test]
fn own_addresses_are_followed() {
    let hosts = Hosts::new("own");
    let monitor = hosts.monitor();
    let mut addresses = monitor.addresses();
    let vips: [std::net::IpAddr; 2] = ["203.0.113.10", "2001:db8::10"].map(|a| a.parse().unwrap());
    assert!(addresses.borrow().contains("10.9.0.1".parse().unwrap()));
    for vip in vips {
        assert!(!addresses.borrow().contains(vip));
        hosts.lb(&format!("address add {vip} dev lo"));
        wait(&mut addresses, "the VIP", |own| own.contains(vip).then_some(()));
        hosts.lb(&format!("address del {vip} dev lo"));
        wait(&mut addresses, "the VIP gone", |own| (!own.contains(vip)).then_some(()));
    }
    monitor.stop();
}

#[test]
fn a_program_attached_through_a_link_is_seen_when_statistics_are_read() {
    let hosts = Hosts::new("xdp");
    let monitor = hosts.monitor();
    let a0 = index(&monitor, "a0");
    let program = hosts.inside(|| Program::attach(a0, Verdict::Pass));
    let before = statistics(&monitor)[&a0];
    let mut links = monitor.links();
    let xdp = wait(&mut links, "the program", |links| links.by_name("a0")?.xdp);
    assert_eq!(xdp.mode, XdpMode::Native);
    assert_ne!(xdp.program, 0);

    send(&hosts.lb, "10.9.0.2", 3);
    let after = statistics(&monitor)[&a0];
    assert!(after.tx_packets >= before.tx_packets + 3, "{before:?} {after:?}");
    assert!(after.tx_bytes >= before.tx_bytes + 3 * 60, "{before:?} {after:?}");
    drop(program);
    // Some kernels detach it a little later.
    until("the program is gone", || {
        statistics(&monitor);
        links.borrow().by_name("a0").unwrap().xdp.is_none()
    });
    monitor.stop();
}

/// Sends small datagrams that nobody awaits.
fn send(from: &str, to: &str, count: usize) {
    inside(from, || {
        let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("bind");
        for _ in 0..count {
            socket.send_to(&[0; 32], (to, 9)).expect("send");
        }
    });
}

#[test]
fn an_egress_that_takes_no_redirected_packets_is_found() {
    let hosts = Hosts::new("egress");
    let monitor = hosts.monitor();
    let links = monitor.links().borrow().clone();
    let a0 = links.by_name("a0").unwrap();
    let facts = || hosts.inside(|| Inspector::open().unwrap().facts(a0, &links).unwrap());
    let before = facts();
    assert_eq!((before.driver.as_str(), before.mtu), ("veth", 1500));
    let finding = preflight::redirect_egress("b0", &before);
    match before.xdp {
        Some(features) => {
            assert!(features.basic() && features.redirects(), "{features:?}");
            assert_eq!(finding.expect("a finding").interface, "a0");
        }
        None => assert_eq!(finding, None, "before Linux 6.3 nobody can tell"),
    }

    let _program = inside(&hosts.far, || {
        Program::attach(nix::net::if_::if_nametoindex("a1").unwrap(), Verdict::Pass)
    });
    assert_eq!(preflight::redirect_egress("b0", &facts()), None);
    monitor.stop();
}

#[test]
fn packets_lost_after_the_verdict_are_counted_by_the_driver() {
    let hosts = Hosts::new("losses");
    let monitor = hosts.monitor();
    let a0 = index(&monitor, "a0");
    let losses = || {
        let counters = hosts.inside(|| Ethtool::open().unwrap().counters("a0").unwrap());
        xdp_losses(&counters).expect("veth counts them")
    };
    assert_eq!(losses(), 0);
    // Everything that arrives is sent back, to a peer that takes no XDP frames.
    let _program = hosts.inside(|| Program::attach(a0, Verdict::Tx));
    hosts.far("neigh add 10.9.0.1 lladdr 02:00:00:00:00:01 dev a1");
    send(&hosts.far, "10.9.0.1", 5);
    until("the five are counted", || losses() >= 5);
    monitor.stop();
}

#[test]
fn offloads_are_read_by_the_kernels_names() {
    let hosts = Hosts::new("offloads");
    let read = || hosts.inside(|| Ethtool::open().unwrap().features("a0").unwrap());
    let name = "tx-checksum-ip-generic";
    assert!(read().contains(name));
    run(&format!("ip netns exec {} ethtool -K a0 tx off", hosts.lb));
    assert!(!read().contains(name));
    let missing = hosts.inside(|| Ethtool::open().unwrap().features("eth99"));
    assert_eq!(missing.unwrap_err().raw_os_error(), Some(nix::libc::ENODEV));
}
