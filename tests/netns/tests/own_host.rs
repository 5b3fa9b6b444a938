//! A backend on the balancer's own host, beside a remote one.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use lb_test_lab::{Daemon, Host};
use lb_test_netns::{Conversation, OwnHost, SHOP, SHOP_DNS, WEB, WEB6, ask_udp, call};
use nix::sys::signal::Signal;

const BOTH: [IpAddr; 2] = [IpAddr::V4(WEB), IpAddr::V6(WEB6)];

fn has_egress(stats: &lb_test_lab::Stats) -> bool {
    stats.0["interfaces"][0]["egress"] == true
}

/// Claims: clients reach both backends over TCP and UDP in both families; answers come
/// from the VIP, or clients would not take them; the local backend's packets are counted.
fn both_backends_serve(mode: &'static str) {
    let site = OwnHost::new(mode);
    let daemon = Daemon::start(&site.lab, &site.config(&["near", "far"], "")).unwrap();
    let stats = daemon.stats().unwrap();
    assert_eq!(has_egress(&stats), matches!(mode, "nat" | "dnat"), "{mode}: {:?}", stats.0);
    assert_eq!(stats.backend("tcp4", "near")["next_hop"]["interface"], "local");
    for vip in BOTH {
        let tcp = call(&site.lab.client, vip, SHOP, 30).complete();
        assert!(tcp.of("balancer") > 0 && tcp.of("web-1") > 0, "{mode} {vip}: {tcp:?}");
        let udp = ask_udp(&site.lab.client, vip, SHOP_DNS, 30).complete();
        assert!(udp.of("balancer") > 0 && udp.of("web-1") > 0, "{mode} {vip}: {udp:?}");
        let service = if vip.is_ipv4() { "tcp4" } else { "tcp6" };
        daemon
            .wait_for("the local backend's connections are counted", |stats| {
                stats.backend(service, "near")["new_connections"] == tcp.of("balancer") as u64
            })
            .unwrap();
    }
    assert_eq!(daemon.stats().unwrap().all_drops(), 0, "{mode}");
}

#[test]
fn dsr() {
    both_backends_serve("dsr");
}

#[test]
fn ipip() {
    both_backends_serve("ipip");
}

#[test]
fn nat() {
    both_backends_serve("nat");
}

#[test]
fn dnat() {
    both_backends_serve("dnat");
}

/// Claims: connections to a local backend outlive the daemon's death, its successor
/// takes them over, and the program on the way out is there only while it has a use.
#[test]
fn the_program_on_the_way_out_comes_and_goes_and_outlives_the_daemon() {
    let site = OwnHost::new("nat");
    let mut daemon = Daemon::start(&site.lab, &site.config(&["far"], "")).unwrap();
    assert!(!has_egress(&daemon.stats().unwrap()), "no backend is local");
    daemon.reconfigure(&site.config(&["near"], "")).unwrap();
    daemon.wait_for("the local backend is used", has_egress).unwrap();
    daemon
        .wait_for("slots follow", |stats| {
            ["tcp4", "tcp6"].iter().all(|service| stats.share(service, "near") == 1.0)
        })
        .unwrap();
    let mut open: Vec<_> =
        BOTH.map(|vip| Conversation::open(&site.lab.client, vip, SHOP).unwrap()).into();
    assert!(open.iter().all(|one| one.partner == "balancer"));
    daemon.stop(Signal::SIGKILL).unwrap();
    open.iter_mut().for_each(|one| one.must_go_on("the daemon is dead"));
    assert_eq!(call(&site.lab.client, WEB, SHOP, 5).complete().of("balancer"), 5);
    daemon.start_again().unwrap();
    assert!(has_egress(&daemon.stats().unwrap()));
    open.iter_mut().for_each(|one| one.must_go_on("another daemon took over"));
    daemon.reconfigure("interfaces: [eth0]\nservices: []\n").unwrap();
    daemon.wait_for("nothing is local any more", |stats| !has_egress(stats)).unwrap();
}

const MEGABYTES: usize = 64;

/// A megabyte that differs from the next one.
fn block(number: usize) -> Vec<u8> {
    (0..1 << 20).map(|i: usize| (i.wrapping_mul(31) ^ (i >> 8) ^ number) as u8).collect()
}

fn send_all(stream: &mut TcpStream) {
    for number in 0..MEGABYTES {
        stream.write_all(&block(number)).expect("the other end reads");
    }
    stream.shutdown(Shutdown::Write).expect("the connection is open");
}

fn receive_all(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
    let mut bytes = vec![0; 1 << 20];
    for number in 0..MEGABYTES {
        stream.read_exact(&mut bytes).expect("as much as was sent");
        assert!(bytes == block(number), "megabyte {number} differs");
    }
    assert_eq!(stream.read(&mut bytes).expect("an end"), 0);
}

fn transfer(client: &Host, server: &Host, vip: IpAddr, both_ways: bool) {
    let listener = server.enter(|| TcpListener::bind("[::]:8080")).unwrap().unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        if both_ways {
            receive_all(&mut stream);
        }
        send_all(&mut stream);
    });
    let to = SocketAddr::new(vip, SHOP);
    let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(10));
    let mut stream = client.enter(connect).unwrap().unwrap();
    if both_ways {
        send_all(&mut stream);
    }
    receive_all(&mut stream);
    serving.join().expect("the server is content");
}

/// Claims: answers of many segments in one, with checksums that the device finishes, are
/// translated as well as finished ones.
#[test]
fn large_transfers_survive_with_and_without_offloads() {
    let site = OwnHost::new("nat");
    let config = site.config(&["near"], "").replace("port: 80 ", "port: 8080 ");
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    // The kernel sends these itself, and a program at the other end would have the
    // device cut segments before it.
    site.lab.carry_xdp(false).unwrap();
    for offloads in ["off", "on"] {
        let set = ["-K", "eth0", "tx", offloads, "tso", offloads, "gso", offloads];
        let out = site.lab.balancer.command("ethtool").args(set).output().unwrap();
        assert!(out.status.success(), "{out:?}");
        for vip in BOTH {
            transfer(&site.lab.client, &site.lab.balancer, vip, true);
        }
    }
    assert_eq!(daemon.stats().unwrap().all_drops(), 0);
}

/// Claims: "too big" from a router on the way, about an answer that it saw from the VIP,
/// reaches the socket that sent it.
#[test]
fn answers_learn_the_mtu_of_their_path() {
    let site = OwnHost::new("nat");
    let config = site.config(&["near"], "").replace("port: 80 ", "port: 8080 ");
    let daemon = Daemon::start(&site.lab, &config).unwrap();
    site.lab.router.ip("link set eth0 mtu 1400").unwrap();
    for vip in BOTH {
        transfer(&site.lab.client, &site.lab.balancer, vip, false);
    }
    assert_eq!(daemon.stats().unwrap().all_drops(), 0);
}
