//! Connections that the balancer's own host makes to a VIP.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use lb_test_lab::{
    BALANCER, BALANCER6, Daemon, Lab, Settings, Stats, Tools, backend, dnsmasq, nginx, run, vip,
};
use lb_test_netns::{Conversation, OwnHost, SHOP, SHOP_DNS, WEB, WEB6, ask_udp, call};
use nix::sys::signal::Signal;

const BOTH: [IpAddr; 2] = [IpAddr::V4(WEB), IpAddr::V6(WEB6)];
const ON: &str = "local_clients: true";

fn balances_itself(stats: &Stats) -> bool {
    stats.0["local_clients"] == true
}

/// From a socket that is not connected, as resolvers use them: the answer must come from
/// where the question went.
fn ask_unconnected(site: &OwnHost, to: SocketAddr) -> (String, SocketAddr) {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let ask = || {
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send_to(b"who are you?", to)?;
        let mut answer = [0; 64];
        let (length, from) = socket.recv_from(&mut answer)?;
        Ok((String::from_utf8_lossy(&answer[..length]).into_owned(), from))
    };
    let asked: std::io::Result<_> = site.lab.balancer.enter(ask).unwrap();
    asked.expect("an answer")
}

/// Claims: the host reaches every backend of a VIP that is no address of its own, itself
/// included, over TCP and UDP in both families; what its sockets tell is the VIP.
fn backends_are_reached(mode: &'static str) {
    let site = OwnHost::new(mode);
    let daemon = Daemon::start(&site.lab, &site.config(&["near", "far"], ON)).unwrap();
    let host = &site.lab.balancer;
    assert!(balances_itself(&daemon.stats().unwrap()));
    for vip in BOTH {
        let tcp = call(host, vip, SHOP, 30).complete();
        assert!(tcp.of("balancer") > 0 && tcp.of("web-1") > 0, "{mode} {vip}: {tcp:?}");
        let udp = ask_udp(host, vip, SHOP_DNS, 30).complete();
        assert!(udp.of("balancer") > 0 && udp.of("web-1") > 0, "{mode} {vip}: {udp:?}");
        let to = SocketAddr::new(vip, SHOP_DNS);
        for _ in 0..10 {
            assert_eq!(ask_unconnected(&site, to).1, to, "{mode}");
        }
        let to = SocketAddr::new(vip, SHOP);
        let peer = host.enter(|| TcpStream::connect(to).and_then(|stream| stream.peer_addr()));
        assert_eq!(peer.unwrap().unwrap(), to, "{mode}");
    }
    // Others are served as before.
    assert_eq!(call(&site.lab.client, WEB, SHOP, 10).complete().answered(), 10);
}

#[test]
fn nat() {
    backends_are_reached("nat");
}

#[test]
fn dnat() {
    backends_are_reached("dnat");
}

/// Claims: without translation, the remote backend is asked on its own address, and the
/// host itself on the VIP.
#[test]
fn dsr() {
    backends_are_reached("dsr");
}

/// Claims: what operators type to try a VIP works on the balancer itself.
#[test]
fn curl_and_dig() {
    let settings = Settings { prefix: "lb-own", backends: 1, vips: &[], behind: false };
    let lab = Lab::new(&settings, &Tools::from_env().unwrap()).unwrap();
    let hosts = [&lab.balancer, &lab.backends[0]];
    let _web = hosts.map(|host| nginx(&lab, host).unwrap());
    let _dns = hosts.map(|host| dnsmasq(&lab, host).unwrap());
    let service = |name: &str, port: u16, protocol: &str| {
        format!(
            "  - name: {name}
    vip: {WEB}
    port: {port}
    protocol: {protocol}
    mode: nat
    health: {{ port: 80, interval: 200ms, timeout: 200ms }}
    backends: [{{ name: near, address: {BALANCER} }}, {{ name: far, address: {} }}]\n",
            backend(1)
        )
    };
    let services = [service("web", 80, "tcp"), service("dns", 53, "[tcp, udp]")].concat();
    let config = format!("interfaces: [eth0]\n{ON}\nservices:\n{services}");
    let _daemon = Daemon::start(&lab, &config).unwrap();
    let (url, at) = (format!("http://{WEB}/"), format!("@{WEB}"));
    let ask = |program: &str, words: &[&str]| -> BTreeSet<String> {
        let once = || run(lab.balancer.command(program).args(words)).unwrap();
        (0..12).map(|_| once().trim().trim_matches('"').to_owned()).collect()
    };
    let both = BTreeSet::from(["balancer".to_owned(), "web-1".to_owned()]);
    assert_eq!(ask("curl", &["-s", "-m", "5", &url]), both);
    assert_eq!(ask("dig", &["+short", &at, "whoami.lab", "TXT"]), both);
    assert_eq!(ask("dig", &["+short", "+tcp", &at, "whoami.lab", "TXT"]), both);
}

/// How many connections to the remote backend passed through XDP: those that the router
/// sent back here.
fn through_xdp(daemon: &Daemon, expected: u64) {
    daemon
        .wait_for("connections are counted", |stats| {
            stats.backend("tcp4", "far")["new_connections"] == expected
        })
        .unwrap();
}

/// Claims: nothing is attached unless asked for; asking takes a reload, and so does
/// ending it; connections outlive both, and the daemon's death.
#[test]
fn only_where_it_is_asked_for() {
    let site = OwnHost::new("nat");
    let config = |more| site.config(&["far"], more);
    let host = &site.lab.balancer;
    let mut daemon = Daemon::start(&site.lab, &config("")).unwrap();
    assert!(!balances_itself(&daemon.stats().unwrap()));
    call(host, WEB, SHOP, 3).complete();
    through_xdp(&daemon, 3);
    let said = daemon.reconfigure(&config(ON)).unwrap();
    assert!(said.contains("own connections to VIPs are balanced"), "{said}");
    let mut open = Conversation::open(host, WEB.into(), SHOP).unwrap();
    daemon.stop(Signal::SIGKILL).unwrap();
    open.must_go_on("the daemon is dead");
    assert_eq!(call(host, WEB6, SHOP, 5).complete().of("web-1"), 5);
    daemon.start_again().unwrap();
    open.must_go_on("another daemon took over");
    assert_eq!(ask_udp(host, WEB, SHOP_DNS, 5).complete().of("web-1"), 5);
    through_xdp(&daemon, 3);
    daemon.reconfigure(&config("local_clients: false")).unwrap();
    assert!(!balances_itself(&daemon.stats().unwrap()));
    open.must_go_on("new connections go where they say");
    call(host, WEB, SHOP, 3).complete();
    through_xdp(&daemon, 6);
}

/// Claims: `unload` takes the programs away; other hosts' sockets, ports without a service
/// and other addresses were never changed.
#[test]
fn nothing_else_is_touched_and_nothing_is_left() {
    let site = OwnHost::new("nat");
    let mut daemon = Daemon::start(&site.lab, &site.config(&["far"], ON)).unwrap();
    let host = &site.lab.balancer;
    for address in [IpAddr::from(BALANCER), BALANCER6.into()] {
        assert_eq!(call(host, address, 80, 3).complete().of("balancer"), 3);
    }
    let unserved: SocketAddr = (vip(99), SHOP).into();
    let connect = || TcpStream::connect_timeout(&unserved, Duration::from_millis(300));
    host.enter(connect).unwrap().expect_err("no VIP");
    // A namespace with the same route to the VIP, but another host.
    assert_eq!(call(&site.lab.client, WEB, SHOP, 3).complete().of("web-1"), 3);
    daemon.stop(Signal::SIGTERM).unwrap();
    assert!(call(host, WEB, SHOP, 1).complete().of("web-1") == 1, "the programs stay");
    let out = daemon.command("unload").output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let connect = || TcpStream::connect_timeout(&(WEB, SHOP).into(), Duration::from_secs(1));
    let error = host.enter(connect).unwrap().expect_err("nobody there");
    assert_ne!(error.kind(), ErrorKind::ConnectionReset);
}
