//! What a VIP answers beside its services.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use lb_test_lab::{Daemon, Host};
use lb_test_netns::{NameServer, Site, WEB, WEB6, call, ping};

const BOTH: [IpAddr; 2] = [IpAddr::V4(WEB), IpAddr::V6(WEB6)];

fn tcp_error(client: &Host, vip: IpAddr, port: u16) -> Option<ErrorKind> {
    let to = SocketAddr::new(vip, port);
    let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(5));
    client.enter(connect).unwrap().err().map(|error| error.kind())
}

/// The error that comes back for a datagram.
fn udp_error(client: &Host, vip: IpAddr, port: u16) -> Option<ErrorKind> {
    let any = if vip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let ask = || {
        let socket = UdpSocket::bind(any)?;
        socket.connect((vip, port))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send(b"anybody?")?;
        socket.recv(&mut [0; 16])
    };
    client.enter(ask).unwrap().err().map(|error| error.kind())
}

#[test]
fn pings_are_answered_and_unserved_ports_refused() {
    let site = Site::new(1);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1)])).unwrap();
    for vip in BOTH {
        assert_eq!(ping(&site.lab.client, vip, 5), 5, "{vip}");
        assert_eq!(tcp_error(&site.lab.client, vip, 81), Some(ErrorKind::ConnectionRefused));
        assert_eq!(udp_error(&site.lab.client, vip, 54), Some(ErrorKind::ConnectionRefused));
    }
    daemon
        .wait_for("each answer is counted", |stats| {
            let counts = ["echo_reply", "reset", "unreachable"].map(|kind| stats.answers(kind));
            counts == [10, 2, 2]
        })
        .unwrap();
}

/// Claims: a VIP that is also an address of the balancer is balanced all the same; ports
/// that no service has stay with the balancer, so that its operator gets in by ssh; its
/// kernel answers pings and refuses what it does not serve.
#[test]
fn a_vip_on_the_balancer_itself_is_balanced_and_keeps_its_other_ports() {
    const SSH: u16 = 22;
    let site = Site::new(2);
    for vip in BOTH {
        site.lab.give_balancer(vip).unwrap();
    }
    let _ssh = NameServer::tcp(&site.lab.balancer, SSH);
    let _hidden = NameServer::tcp(&site.lab.balancer, 80);
    let daemon = Daemon::start(&site.lab, &site.config(&[(1, 1), (2, 1)])).unwrap();
    for vip in BOTH {
        let web = call(&site.lab.client, vip, 80, 40).complete();
        assert!(web.of("web-1") > 0 && web.of("web-2") > 0 && web.of("balancer") == 0, "{web:?}");
        let ssh = call(&site.lab.client, vip, SSH, 5).complete();
        assert_eq!(ssh.of("balancer"), 5, "{ssh:?}");
        assert_eq!(ping(&site.lab.client, vip, 3), 3, "{vip}");
        assert_eq!(tcp_error(&site.lab.client, vip, 81), Some(ErrorKind::ConnectionRefused));
    }
    let stats = daemon.stats().unwrap();
    assert_eq!(stats.answers("reset") + stats.answers("echo_reply"), 0, "the kernel answers");
}
