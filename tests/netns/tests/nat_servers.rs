//! Unchanged servers behind NAT, asked over both families.

use std::net::IpAddr;

use lb_test_lab::{Daemon, Host, dnsmasq, inner_backend, inner_backend6, iperf3, nginx, run};
use lb_test_netns::{NatSite, OTHER, OTHER6, WEB, WEB6, ask_udp, call};

/// All families: IPv4 and IPv6 clients of IPv4 and of IPv6 backends.
const VIPS: [IpAddr; 4] =
    [IpAddr::V4(WEB), IpAddr::V6(WEB6), IpAddr::V4(OTHER), IpAddr::V6(OTHER6)];

fn nothing_was_lost(daemon: &Daemon) {
    let stats = daemon.stats().unwrap();
    assert_eq!(stats.all_drops(), 0, "{stats:?}");
}

/// Claims: backends with no VIP and no route to the client serve it, at another port too,
/// whichever families both have.
#[test]
fn any_family_reaches_any_backend() {
    for site in [NatSite::behind(2), NatSite::beside(2)] {
        let daemon = site.balance(&site.nat(&[1, 2]));
        for vip in VIPS {
            let tally = call(&site.lab.client, vip, 80, 20).complete();
            assert!(tally.of("web-1") > 0 && tally.of("web-2") > 0, "{vip}: {tally:?}");
        }
        for vip in [IpAddr::from(WEB), WEB6.into()] {
            let tally = ask_udp(&site.lab.client, vip, 53, 20).complete();
            assert!(tally.of("web-1") > 0 && tally.of("web-2") > 0, "{vip}: {tally:?}");
        }
        nothing_was_lost(&daemon);
    }
}

/// A TXT record, over UDP or as `more` says.
fn dig(client: &Host, vip: IpAddr, more: &str) -> String {
    let at = format!("@{vip}");
    let mut command = client.command("dig");
    run(command.args(["+short", more, &at, "whoami.lab", "TXT"])).unwrap()
}

/// Claims: nginx and dnsmasq serve as they do without a balancer.
#[test]
fn nginx_and_dnsmasq_serve_through_nat() {
    let site = NatSite::behind(1);
    site.stop(1);
    let (lab, host) = (&site.lab, &site.lab.backends[0]);
    let _servers = (nginx(lab, host).unwrap(), dnsmasq(lab, host).unwrap());
    let config = site.nat(&[1]).replace(", port: 81", "").replace("port: 8080", "port: 80");
    let daemon = site.balance(&config);
    for vip in VIPS {
        let url = if vip.is_ipv4() { format!("http://{vip}/") } else { format!("http://[{vip}]/") };
        let page = run(lab.client.command("curl").args(["-s", "-m", "5", &url])).unwrap();
        assert_eq!(page, "web-1\n", "{url}");
    }
    for vip in [IpAddr::from(WEB), WEB6.into()] {
        for way in ["+notcp", "+tcp"] {
            assert_eq!(dig(&lab.client, vip, way), "\"web-1\"\n", "{vip} {way}");
        }
    }
    nothing_was_lost(&daemon);
}

/// Claims: bulk data goes both ways, whole and in order, over all families.
#[test]
fn iperf3_runs_both_ways_through_nat() {
    let site = NatSite::behind(1);
    let _server = iperf3(&site.lab, &site.lab.backends[0]).unwrap();
    let service = |name: &str, vips: [IpAddr; 2], backend: IpAddr| {
        format!(
            "  - name: {name}
    vip: [\"{}\", \"{}\"]
    port: 5201
    protocol: [tcp, udp]
    backends: [{{ name: web-1, address: \"{backend}\" }}]
",
            vips[0], vips[1]
        )
    };
    let config = site.nat(&[1])
        + &service("bulk", [WEB.into(), WEB6.into()], inner_backend(1).into())
        + &service("bulk-other", [OTHER.into(), OTHER6.into()], inner_backend6(1).into());
    let daemon = site.balance(&config);
    for vip in VIPS {
        for more in [&["-n", "20M"][..], &["-n", "20M", "-R"], &["-u", "-b", "50M", "-n", "2M"]] {
            let mut command = site.lab.client.command("timeout");
            run(command.args(["30", "iperf3", "-c", &vip.to_string()]).args(more)).unwrap();
        }
    }
    nothing_was_lost(&daemon);
}
