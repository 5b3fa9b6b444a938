//! Services that translate addresses: what they become, and what is said of
//! wrong ones.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use super::{
    super::{Mode, NatLog, PortRange, Snat, UdpFlows, effective_yaml},
    good, loaded, problems, with_service,
};

const NAT: &str = "vip: 203.0.113.10\nport: 80\nmode: nat\n";
const BACKENDS: &str = "backends: [{ name: a, address: 10.0.0.1 }]\n";

fn fill(lines: &str) -> String {
    with_service(&lines.replace("{NAT}", NAT).replace("{BACKENDS}", BACKENDS))
}

/// Lines of one service, and what is said about them (without the file's name).
const SERVICES: [(&str, &str); 27] = [
    (
        "{NAT}{BACKENDS}snat: 10.0.0.5",
        "8:11: services[0].snat: a map of keys and values belongs here; the keys are: addresses, ports, rest",
    ),
    (
        "{NAT}{BACKENDS}snat: { address: 10.0.0.5 }",
        "8:13: services[0].snat.address: address is not a key; did you mean addresses?",
    ),
    (
        "{NAT}{BACKENDS}snat: { addresses: [] }",
        "8:24: services[0].snat.addresses: the list is empty; give at least one value",
    ),
    (
        "{NAT}{BACKENDS}snat: { addresses: [10.0.0.5, 10.0.0.6, 10.0.0.5] }",
        "8:45: services[0].snat.addresses[2]: address 10.0.0.5 is already at line 8, column 25; remove or change one of the two",
    ),
    (
        "{NAT}{BACKENDS}snat: { addresses: [0.0.0.0, 127.0.0.1, 224.0.0.1] }",
        "8:25: services[0].snat.addresses[0]: 0.0.0.0 is the unspecified address; give an address of one host\n8:34: services[0].snat.addresses[1]: 127.0.0.1 is a loopback address; give an address of one host\n8:45: services[0].snat.addresses[2]: 224.0.0.1 is a multicast address; give an address of one host",
    ),
    (
        "{NAT}{BACKENDS}snat: { addresses: [fe80::1, 169.254.0.1] }",
        "8:25: services[0].snat.addresses[0]: fe80::1 is a link-local address, which says nothing without a link; give an address of one host\n8:34: services[0].snat.addresses[1]: 169.254.0.1 is a link-local address; give an address that the backends have a route to",
    ),
    (
        "{NAT}{BACKENDS}snat: { addresses: [10.1.0.0, 10.1.0.1, 10.1.0.2, 10.1.0.3, 10.1.0.4, 10.1.0.5, 10.1.0.6, 10.1.0.7, 10.1.0.8, 10.1.0.9, 10.1.0.10, 10.1.0.11, 10.1.0.12, 10.1.0.13, 10.1.0.14, 10.1.0.15, 2001:db8::1, 10.1.0.16, 10.1.0.17] }",
        "8:204: services[0].snat.addresses[17]: more than 16 IPv4 addresses; give fewer, or split the backends between services with their own",
    ),
    (
        "{NAT}{BACKENDS}snat: { ports: 2000 }",
        "8:20: services[0].snat.ports: 2000 is not a range of ports; give FIRST-LAST, both from 1024 to 65535, at least 64 ports, such as 10240-32767",
    ),
    (
        "{NAT}{BACKENDS}snat: { ports: 3000-2000 }",
        "8:20: services[0].snat.ports: 3000-2000 is not a range of ports; give FIRST-LAST, both from 1024 to 65535, at least 64 ports, such as 10240-32767",
    ),
    (
        "{NAT}{BACKENDS}snat: { ports: 1023-2000 }",
        "8:20: services[0].snat.ports: 1023-2000 is not a range of ports; give FIRST-LAST, both from 1024 to 65535, at least 64 ports, such as 10240-32767",
    ),
    (
        "{NAT}{BACKENDS}snat: { ports: 60000-65536 }",
        "8:20: services[0].snat.ports: 60000-65536 is not a range of ports; give FIRST-LAST, both from 1024 to 65535, at least 64 ports, such as 10240-32767",
    ),
    (
        "{NAT}{BACKENDS}snat: { ports: 2000-2062 }",
        "8:20: services[0].snat.ports: 2000-2062 has only 63 ports; give FIRST-LAST, both from 1024 to 65535, at least 64 ports, such as 10240-32767",
    ),
    (
        "{NAT}{BACKENDS}snat: { rest: 2h }",
        "8:19: services[0].snat.rest: 2h is too long for a time of rest; give 1s to 1h",
    ),
    (
        "{NAT}{BACKENDS}tunnel: { ttl: 3 }",
        "8:13: services[0].tunnel: mode nat has no tunnel; remove tunnel, or set mode: ipip",
    ),
    (
        "{NAT}{BACKENDS}udp: { replies: 1 }",
        "8:10: services[0].udp: responses is missing; give the number of replies\n8:12: services[0].udp.replies: replies is not a key; the keys here are: responses",
    ),
    (
        "{NAT}{BACKENDS}udp: { responses: 0 }",
        "8:23: services[0].udp.responses: 0 is not a number of replies; give a whole number from 1 to 65535",
    ),
    (
        "{NAT}{BACKENDS}udp: never",
        "8:10: services[0].udp: never is not a treatment of UDP flows; give fast or keep",
    ),
    (
        "{NAT}backends: [{ name: a, address: 10.0.0.1 }, { name: b, address: '2001:db8::1' }]\nsnat: { addresses: 10.0.0.5 }",
        "7:68: services[0].backends[1].address: there is no IPv6 source for it at snat.addresses (line 8, column 24); add an IPv6 address there, or leave addresses out for the host's own",
    ),
    (
        "{NAT}backends: [{ name: a, address: 10.0.0.1, port: 0 }]",
        "7:52: services[0].backends[0].port: 0 is not a port; give a whole number from 1 to 65535",
    ),
    (
        "vip: 192.0.2.1\nport: any\nmode: nat\nhealth: { type: none }\nbackends: [{ name: a, address: 10.0.0.1, port: 8080 }]",
        "8:52: services[0].backends[0].port: with port any, backends get the port that the client used; remove it, or list the service's ports instead of any",
    ),
    (
        "vip: 192.0.2.1\nport: 80\nmode: ipip\n{BACKENDS}snat: { rest: 5s }",
        "8:11: services[0].snat: mode ipip translates no addresses; remove snat, or set mode: nat",
    ),
    (
        "vip: 192.0.2.1\nport: 80\nmode: dsr\n{BACKENDS}udp: { responses: 1 }",
        "8:10: services[0].udp: in mode dsr the balancer sees no replies to count; give fast or keep, or set mode: nat",
    ),
    (
        "vip: 192.0.2.1\nport: 80\nmode: ipip\nbackends: [{ name: a, address: 10.0.0.1, port: 8080 }]",
        "7:52: services[0].backends[0].port: mode ipip does not change ports; remove port: the backend listens on the service's own port",
    ),
    (
        "vip: 192.0.2.1\nport: 80\nmode: dnat\nbackends: [{ name: a, address: '2001:db8::1' }]",
        "7:36: services[0].backends[0].address: mode dnat keeps the family: the VIP 192.0.2.1 is IPv4, 2001:db8::1 is not; give an IPv4 address, or set mode: nat",
    ),
    (
        "vip: [192.0.2.1, '2001:db8::1']\nport: 80\nmode: dnat\n{BACKENDS}",
        "4:22: services[0].vip[1]: mode dnat keeps the family, and 192.0.2.1 is IPv4; make two services, one for each family, or set mode: nat",
    ),
    (
        "vip: 10.0.0.5\nport: [80, 12000]\nmode: nat\n{BACKENDS}snat: { addresses: 10.0.0.5 }",
        "8:24: services[0].snat.addresses: service web: ports 10240-32767 of 10.0.0.5 hold the VIP's tcp port 12000 of service web (line 3, column 5); give a range without it, or another address",
    ),
    (
        "vip: 10.0.0.5\nport: any\nmode: nat\nhealth: { type: none }\n{BACKENDS}snat: { addresses: 10.0.0.5 }",
        "9:24: services[0].snat.addresses: service web: source 10.0.0.5 is a VIP with every tcp port in service web (line 3, column 5); give another address in snat.addresses",
    ),
];

#[test]
fn a_service_with_one_problem() {
    for (lines, expected) in SERVICES {
        let text = fill(lines);
        assert_eq!(problems(&text).replace("lb.yaml:", ""), expected, "in\n{text}");
    }
}

/// A file with services given as flow maps, one a line, from line 4 on.
fn services(top: &str, services: &[&str]) -> String {
    let list: String = services.iter().map(|service| format!("  - {{ {service} }}\n")).collect();
    format!("interfaces: [eth0]\ndefaults: {{ mode: nat {top} }}\nservices:\n{list}")
}

const A: &str = "name: a, vip: 192.0.2.1, port: 80, backends: [{ name: a, address: 10.0.0.1 }]";
const B: &str = "name: b, vip: 192.0.2.2, port: 80, backends: [{ name: b, address: 10.0.0.2 }]";

fn with(service: &str, more: &str) -> String {
    format!("{service}, {more}")
}

#[test]
fn pools_are_shared_or_apart() {
    let pools = |of_a: &str, of_b: &str| {
        services("", &[&with(A, &format!("snat: {of_a}")), &with(B, &format!("snat: {of_b}"))])
    };
    for (a, b) in [
        ("{}", "{}"),
        ("{}", "{ ports: 40000-50000 }"),
        ("{ addresses: 10.0.0.5 }", "{ addresses: [10.0.0.6, 10.0.0.5] }"),
        ("{ addresses: 10.0.0.5 }", "{ addresses: 10.0.0.5, ports: 32768-40000 }"),
        ("{ addresses: 10.0.0.5 }", "{ addresses: 10.0.0.6, ports: 20000-40000 }"),
    ] {
        good(&pools(a, b));
    }
    assert_eq!(
        problems(&pools(
            "{ addresses: [10.0.0.5, 10.0.0.6] }",
            "{ addresses: [10.0.0.6, 10.0.0.7], ports: 32700-32800 }"
        )),
        "lb.yaml:5:134: services[1].snat.ports: service b: ports 32700-32800 of 10.0.0.6 overlap 10240-32767 of service a (line 4, column 116); give both the same range, which they share, or ranges apart"
    );
    assert_eq!(
        problems(&pools("{ ports: 20000-30000 }", "{ ports: 21000-22000 }")),
        "lb.yaml:5:101: services[1].snat.ports: service b: ports 21000-22000 of the host's own IPv4 address overlap 20000-30000 of service a (line 4, column 101); give both the same range, which they share, or ranges apart"
    );
}

#[test]
fn the_hosts_own_addresses_of_two_families_are_two_pools() {
    let six = "name: b, vip: 192.0.2.2, port: 80, snat: { ports: 20000-21000 }, \
               backends: [{ name: b, address: '2001:db8::2' }]";
    good(&services("", &[A, six]));
}

#[test]
fn a_vip_and_a_pool_meet_only_in_one_protocol() {
    let file = |protocol: &str, port: &str| {
        let own = "name: own, vip: 10.0.0.5, mode: dsr, health: { type: none }, backends: []";
        let own = format!("{own}, protocol: {protocol}, port: {port}");
        services("", &[&with(A, "snat: { addresses: 10.0.0.5 }"), &own])
    };
    for (protocol, port) in [("udp", "any"), ("udp", "20000"), ("tcp", "[80, 10239, 32768]")] {
        good(&file(protocol, port));
    }
    assert_eq!(
        problems(&file("[udp, tcp]", "20000")),
        "lb.yaml:4:105: services[0].snat.addresses: service a: ports 10240-32767 of 10.0.0.5 hold the VIP's tcp port 20000 of service own (line 5, column 5); give a range without it, or another address"
    );
    assert_eq!(
        problems(&file("tcp", "any")),
        "lb.yaml:4:105: services[0].snat.addresses: service a: source 10.0.0.5 is a VIP with every tcp port in service own (line 5, column 5); give another address in snat.addresses"
    );
}

#[test]
fn a_table_that_is_turned_off_must_not_be_needed() {
    let four = fill("{NAT}{BACKENDS}");
    let six = fill("{NAT}backends: [{ name: a, address: '2001:db8::1' }]");
    good(&format!("limits: {{ nat_flows_wide: 0 }}\n{four}"));
    good(&format!("limits: {{ nat_flows: 0 }}\n{six}"));
    assert_eq!(
        problems(&format!("limits: {{ nat_flows: 0 }}\n{four}")),
        "lb.yaml:1:22: limits.nat_flows: service web has translated flows that are IPv4 on both sides; give nat_flows more than 0, or leave it out"
    );
    assert_eq!(
        problems(&format!("limits: {{ nat_flows_wide: 0 }}\n{six}")),
        "lb.yaml:1:27: limits.nat_flows_wide: service web has translated flows that are not IPv4 on both sides; give nat_flows_wide more than 0, or leave it out"
    );
}

#[test]
fn tables_are_made_with_the_first_service_that_translates() {
    let sizes = |text: &str| {
        let limits = good(text).limits;
        (limits.nat_flows, limits.nat_flows_wide)
    };
    let dsr = fill("{NAT}{BACKENDS}").replace("mode: nat", "mode: dsr");
    assert_eq!(sizes(&dsr), (0, 0));
    assert_eq!(sizes(&fill("{NAT}{BACKENDS}")), (262_144, 32_768));
    assert_eq!(sizes(&format!("limits: {{ nat_flows: 5000 }}\n{dsr}")), (5000, 0));
}

#[test]
fn sources_come_from_the_nearest_place_that_says_so() {
    let text = "\
interfaces: [eth0]
snat: { addresses: [10.0.0.5], ports: 2000-3000, rest: 5s }
defaults: { mode: dnat, snat: { addresses: [10.0.0.6, '2001:db8::6'], rest: 10s } }
services:
  - { name: a, vip: 192.0.2.1, port: 80, snat: { rest: 1h }, backends: [] }
  - { name: b, vip: 192.0.2.2, port: 80, mode: dsr, backends: [] }
";
    let services = good(text).services;
    let addresses: Vec<IpAddr> =
        ["10.0.0.6", "2001:db8::6"].iter().map(|text| text.parse().expect("an address")).collect();
    let snat = Snat {
        addresses: addresses.clone(),
        ports: PortRange { first: 2000, last: 3000 },
        rest: Duration::from_secs(3600),
    };
    let toward: Vec<IpAddr> = snat.toward("10.0.0.1".parse().expect("an address")).collect();
    assert_eq!(toward, addresses[..1]);
    assert_eq!(services[0].mode, Mode::Dnat(snat));
    assert_eq!(services[1].mode, Mode::Dsr);
}

#[test]
fn replies_are_counted_only_where_they_are_seen() {
    let text = services("", &[A, &with(B, "mode: dsr")]);
    let text = text.replace("mode: nat ", "mode: nat, udp: { responses: 2 } ");
    let services = good(&text).services;
    assert_eq!(services[0].udp, UdpFlows::Responses(2));
    assert_eq!(services[1].udp, UdpFlows::Fast);
}

#[test]
fn a_backends_port_is_kept_or_its_own() {
    let config = good(&fill(
        "vip: 203.0.113.10\nport: [80, 81]\nmode: nat\n\
         backends: [{ name: a, address: 10.0.0.1, port: 8080 }, { name: b, address: 10.0.0.2 }]",
    ));
    let ports: Vec<_> = config.services[0].backends.iter().map(|backend| backend.port).collect();
    assert_eq!(ports, [Some(8080), None]);
    assert_eq!(good(&effective_yaml(&config)), config);
}

#[test]
fn a_log_has_a_path_and_a_rate() {
    let file = |log: &str| format!("nat_log: {log}\n{}", fill("{NAT}{BACKENDS}"));
    let log = good(&file("{ path: /var/log/nat.jsonl }")).nat_log;
    assert_eq!(log, Some(NatLog { path: PathBuf::from("/var/log/nat.jsonl"), rate: 10_000 }));
    assert_eq!(good(&fill("{NAT}{BACKENDS}")).nat_log, None);
    for (log, expected) in [
        (
            "/var/log/nat.jsonl",
            "1:10: nat_log: a map of keys and values belongs here; the keys are: path, rate",
        ),
        ("{}", "1:10: nat_log: path is missing; give the file to write to"),
        (
            "{ path: nat.jsonl }",
            "1:18: nat_log.path: nat.jsonl is not the path of a log; give the absolute path of a file, such as /var/log/lb-daemon/nat.jsonl",
        ),
        (
            "{ path: /var/log/ }",
            "1:18: nat_log.path: /var/log/ is not the path of a log; give the absolute path of a file, such as /var/log/lb-daemon/nat.jsonl",
        ),
        (
            "{ path: /nat.jsonl, rate: 0 }",
            "1:36: nat_log.rate: 0 is not a rate per second; give a whole number from 1 to 10000000",
        ),
    ] {
        assert_eq!(problems(&file(log)).replace("lb.yaml:", ""), expected);
    }
}

#[test]
fn what_makes_no_difference_is_said() {
    let warning = |text: &str| {
        let lines: Vec<String> = loaded(text).warnings.iter().map(ToString::to_string).collect();
        lines.join("\n")
    };
    assert_eq!(
        warning(&fill("{NAT}{BACKENDS}udp: keep")),
        "lb.yaml:8:10: services[0].udp: mode nat keeps UDP flows in any case; remove udp, or give { responses: N }"
    );
    assert_eq!(warning(&fill("{NAT}{BACKENDS}udp: fast")), String::new());
    let dsr = fill("{NAT}{BACKENDS}").replace("mode: nat", "mode: dsr");
    assert_eq!(
        warning(&format!("nat_log: {{ path: /nat.jsonl }}\n{dsr}")),
        "lb.yaml:1:10: nat_log: no service translates addresses; it is written once a service has mode nat or dnat"
    );
}
