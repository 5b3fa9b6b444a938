//! Services that translate, on hosts of which the tests know everything.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    super::{Comparison, HostFacts, Loaded, Network, PortRange, Problems, Severity, parse_for},
    with_service,
};
use crate::netlink::Way;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Out of `interface`, whose frames are seen on itself and on `below`.
fn out(interface: &str, below: &[&str], source: &str) -> Way {
    let seen_on: BTreeSet<String> =
        below.iter().chain([&interface]).map(|name| name.to_string()).collect();
    Way::Out { interface: interface.to_owned(), seen_on, source: Some(address(source)) }
}

/// A host with eth0 and eth1, and a backend network on each.
fn host() -> HostFacts {
    let ways = [
        ("10.0.0.1", out("eth0", &[], "10.0.0.254")),
        ("10.1.0.1", out("eth1", &[], "10.1.0.254")),
        ("10.1.0.2", out("eth1", &[], "10.1.0.254")),
        ("10.2.0.1", out("br0", &["eth0"], "10.2.0.254")),
        ("10.0.0.254", Way::Local),
        ("203.0.113.20", Way::Local),
        ("10.0.0.99", out("eth0", &[], "10.0.0.254")),
        ("198.18.0.1", Way::Refused),
        ("192.0.2.200", Way::Nowhere),
        ("203.0.113.10", out("eth0", &[], "10.0.0.254")),
    ];
    let ways: BTreeMap<_, _> = ways.into_iter().map(|(to, way)| (address(to), way)).collect();
    HostFacts {
        ephemeral: Some(PortRange { first: 32_768, last: 60_999 }),
        reserved: vec![PortRange { first: 40_000, last: 40_999 }],
        network: Some(Network {
            interfaces: ["eth0", "eth1", "br0", "lo"].map(str::to_owned).into(),
            ways,
        }),
        unknown: Vec::new(),
    }
}

fn compared(text: &str, facts: &HostFacts, severity: Severity) -> Result<Loaded, Problems> {
    let facts = |_: &_| facts.clone();
    parse_for("lb.yaml", text, Some(&Comparison { facts: &facts, severity }))
}

/// What is said about a service with these further lines, on `facts`.
fn said(lines: &str, facts: &HostFacts) -> String {
    let text = with_service(&format!("vip: 203.0.113.10\nport: 80\n{lines}"));
    let refused = compared(&text, facts, Severity::Refuse).err();
    let refused = refused.map_or(String::new(), |problems| problems.to_string());
    let warned = compared(&text, facts, Severity::Warn).expect("only warnings").warnings;
    let warned: Vec<String> = warned.iter().map(ToString::to_string).collect();
    assert_eq!(refused, warned.join("\n"), "refused or warned, the words are the same");
    refused.replace("lb.yaml:", "")
}

const NEAR: &str = "mode: nat\nbackends: [{ name: a, address: 10.0.0.1 }]\n";

/// Lines of one service, and what is said about them on [`host`].
const SERVICES: [(&str, &str); 15] = [
    ("{NEAR}", ""),
    ("mode: nat\nbackends: [{ name: a, address: 10.2.0.1 }]", ""),
    ("mode: dsr\nbackends: [{ name: a, address: 10.1.0.1 }]", ""),
    ("mode: nat\nbackends: [{ name: a, address: 10.9.0.1 }]", ""),
    (
        "mode: nat\nbackends: [{ name: a, address: 10.1.0.2 }, { name: b, address: 10.0.0.1 }, { name: c, address: 10.1.0.1 }]",
        "7:36: services[0].backends[0].address: its replies, and those of another backend, come in on eth1, which is not among the interfaces; add eth1 to interfaces",
    ),
    ("{NEAR}snat: { ports: 40000-40999 }", ""),
    ("{NEAR}snat: { addresses: 198.18.0.1, ports: 32768-60999 }", ""),
    ("{NEAR}snat: { addresses: 203.0.113.10, ports: 32768-60999 }", ""),
    (
        "mode: nat\nbackends: [{ name: a, address: 10.1.0.1 }]",
        "7:36: services[0].backends[0].address: its replies come in on eth1, which is not among the interfaces; add eth1 to interfaces",
    ),
    (
        "mode: dnat\nbackends: [{ name: a, address: 10.1.0.1 }]",
        "7:36: services[0].backends[0].address: its replies come in on eth1, which is not among the interfaces; add eth1 to interfaces",
    ),
    (
        "{NEAR}snat: { ports: 30000-40999 }",
        "8:20: services[0].snat.ports: ports 30000-40999 overlap those of this host's own connections, probes among them (net.ipv4.ip_local_port_range is 32768-60999); set snat.ports to 10240-32767, or run: sysctl -w net.ipv4.ip_local_reserved_ports=40000-40999,30000-40999",
    ),
    (
        "{NEAR}snat: { addresses: [10.0.0.254], ports: 60999-65535 }",
        "8:45: services[0].snat.ports: ports 60999-65535 overlap those of this host's own connections, probes among them (net.ipv4.ip_local_port_range is 32768-60999); set snat.ports to 10240-32767, or run: sysctl -w net.ipv4.ip_local_reserved_ports=40000-40999,60999-65535",
    ),
    (
        "mode: dnat\nbackends: [{ name: a, address: 10.0.0.1 }]\nsnat: { ports: 41000-42000 }",
        "8:20: services[0].snat.ports: ports 41000-42000 overlap those of this host's own connections, probes among them (net.ipv4.ip_local_port_range is 32768-60999); set snat.ports to 10240-32767, or run: sysctl -w net.ipv4.ip_local_reserved_ports=40000-40999,41000-42000",
    ),
    (
        "{NEAR}snat: { addresses: [10.0.0.254, 10.0.0.99] }",
        "8:37: services[0].snat.addresses[1]: 10.0.0.99 is neither an address of this host nor in a prefix routed to it: replies to it would not come back; run: ip address add 10.0.0.99/32 dev eth0, or: ip route add local 10.0.0.99 dev lo",
    ),
    (
        "{NEAR}snat: { addresses: 192.0.2.200 }",
        "8:24: services[0].snat.addresses: 192.0.2.200 is neither an address of this host nor in a prefix routed to it: replies to it would not come back; run: ip address add 192.0.2.200/32 dev eth0, or: ip route add local 192.0.2.200 dev lo",
    ),
];

#[test]
fn a_service_on_a_host() {
    for (lines, expected) in SERVICES {
        let lines = lines.replace("{NEAR}", NEAR);
        assert_eq!(said(&lines, &host()), expected, "{lines}");
    }
}

#[test]
fn a_host_without_a_free_range_is_told_what_to_reserve() {
    let all = Some(PortRange { first: 1024, last: 65_535 });
    let host = HostFacts { ephemeral: all, reserved: Vec::new(), ..host() };
    assert_eq!(
        said(NEAR, &host),
        "6:11: services[0].mode: ports 10240-32767 overlap those of this host's own connections, probes among them (net.ipv4.ip_local_port_range is 1024-65535); run: sysctl -w net.ipv4.ip_local_reserved_ports=10240-32767"
    );
}

#[test]
fn what_the_host_chooses_meets_what_the_file_names() {
    let text = "\
interfaces: [eth0]
defaults: { mode: nat }
services:
  - { name: a, vip: 192.0.2.1, port: 80, backends: [{ name: a, address: 10.0.0.1 }] }
  - { name: b, vip: 192.0.2.2, port: 80, snat: { addresses: 10.0.0.254, ports: 2000-12000 }, backends: [{ name: a, address: 10.0.0.1 }] }
  - { name: c, vip: 10.0.0.254, port: 12345, backends: [] }
";
    let problems = compared(text, &host(), Severity::Refuse).expect_err("wrong").to_string();
    let expected = "\
lb.yaml:4:5: services[0]: service a: ports 10240-32767 of 10.0.0.254 hold the VIP's tcp port 12345 of service c (line 6, column 5); give a range without it, or another address
lb.yaml:5:80: services[1].snat.ports: service b: ports 2000-12000 of 10.0.0.254 overlap 10240-32767 of service a (line 4, column 5); give both the same range, which they share, or ranges apart";
    assert_eq!(problems, expected);
}

#[test]
fn another_hosts_file_is_not_compared() {
    let elsewhere = Network { interfaces: ["enp1s0".to_owned()].into(), ways: BTreeMap::new() };
    let elsewhere = HostFacts { network: Some(elsewhere), ..host() };
    let text =
        with_service(&format!("vip: 192.0.2.1\nport: 80\n{NEAR}snat: {{ ports: 32768-60999 }}"));
    let loaded = compared(&text, &elsewhere, Severity::Refuse).expect("not compared");
    assert_eq!(
        loaded.warnings[0].to_string(),
        "lb.yaml:1:14: interfaces[0]: none of these interfaces is here: not compared with this host; run check where the balancer runs, or name interfaces that are there"
    );
    assert_eq!(loaded.warnings.len(), 1);
}

#[test]
fn what_cannot_be_asked_is_said_and_the_rest_compared() {
    let silent = HostFacts {
        network: None,
        unknown: vec!["interfaces and routes cannot be asked for: no".to_owned()],
        ..host()
    };
    let text = with_service(&format!("vip: 192.0.2.1\nport: 80\n{NEAR}"));
    let loaded = compared(&text, &silent, Severity::Refuse).expect("nothing wrong is known");
    assert_eq!(
        loaded.warnings[0].to_string(),
        "lb.yaml:1:1: not compared with this host: interfaces and routes cannot be asked for: no; run check where the balancer runs"
    );
    let text = format!("{text}    snat: {{ ports: 32768-60999 }}\n");
    let problems = compared(&text, &silent, Severity::Refuse).expect_err("wrong").to_string();
    assert!(problems.contains("net.ipv4.ip_local_port_range is 32768-60999"), "{problems}");
}

#[test]
fn a_file_without_translation_need_not_be_this_hosts() {
    let silent = HostFacts { network: None, unknown: vec!["no".to_owned()], ..host() };
    let elsewhere = Network { interfaces: BTreeSet::new(), ways: BTreeMap::new() };
    let elsewhere = HostFacts { network: Some(elsewhere), ..host() };
    let text = with_service(
        "vip: 192.0.2.1\nport: 80\nmode: dsr\nbackends: [{ name: a, address: 10.0.0.1 }]",
    );
    for facts in [silent, elsewhere] {
        assert_eq!(compared(&text, &facts, Severity::Refuse).expect("good").warnings, []);
    }
}

#[test]
fn a_backend_on_this_host_needs_its_vip_here() {
    let backends = "backends: [{ name: a, address: 10.0.0.254 }]";
    for (vip, mode, expected) in [
        ("203.0.113.20", "dsr", None),
        ("203.0.113.10", "nat", None),
        ("203.0.113.10", "ipip", Some("ip address add 203.0.113.10/32 dev lo")),
    ] {
        let text = format!("vip: {vip}\nport: 80\nmode: {mode}\n{backends}");
        let loaded = compared(&with_service(&text), &host(), Severity::Refuse).expect("good");
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        let found = warnings.iter().find(|one| one.contains("this host's kernel"));
        assert_eq!(found.is_some(), expected.is_some(), "{mode}: {warnings:?}");
        assert!(expected.is_none_or(|help| found.is_some_and(|said| said.contains(help))));
    }
    let text = format!("vip: \"2001:db8::1\"\nport: 80\nmode: nat\n{backends}");
    let refused = compared(&with_service(&text), &host(), Severity::Refuse).expect_err("families");
    assert!(
        refused.to_string().contains("cannot answer clients of the VIP 2001:db8::1"),
        "{refused}"
    );
}

#[test]
fn this_host_can_be_asked() {
    let text = with_service(&format!("vip: 192.0.2.1\nport: 80\n{NEAR}"));
    let text = text.replace("10.0.0.1", "192.0.2.77");
    let config = parse_for("lb.yaml", &text, None).expect("good").config;
    let facts = HostFacts::of_this_host(&config);
    assert_eq!(facts.unknown, Vec::<String>::new());
    assert!(facts.ephemeral.is_some());
    let network = facts.network.expect("netlink answers anybody");
    assert!(network.interfaces.contains("lo"));
    assert!(network.ways.contains_key(&address("192.0.2.77")));
}
