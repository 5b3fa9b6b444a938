//! Wrong files, and exactly what is said about them.

use super::{BACKENDS, VIP, parse, problems, with_service};

#[test]
fn every_problem_is_shown_in_the_order_of_the_file() {
    let text = "\
interface: [eth0]
interfaces:
  - eth0
  - { name: eth0, xdp: fast }
seed: x
seed_file: a
defaults:
  arming: 5
  mode: fullnat
services:
  - name: web
    vip: 203.0.113.10
    vip: 203.0.113.11
    port: [80, 80, http]
    protcol: tcp
    mode: dsr
    table_size: 1000
    tunnel: {}
    health: { type: tcp, interval: 1s, timeout: 1500ms, rise: 0, fall: }
    backends:
      - { name: web-1, address: 10.0.0.11, weight: -3, port: 8080 }
      - { name: web-1, address: 10.0.0.11/24 }
      - { name: web-3, address: 203.0.113.10 }
      - { address: 127.0.0.1 }
  - name: web
    vip: [203.0.113.10, '::ffff:192.0.2.1']
    port: 80
    backends: []
  - vip: 2001:db8::1
    port: any
    mode: ipip
    half_open:
    tunnel: { source: [192.0.2.1, 2001:db8::5], source_prefix: 10.1.2.3/16, ttl: 256 }
";
    let expected = "\
lb.yaml:1:1: interface: interface is not a key; did you mean interfaces?
lb.yaml:4:5: interfaces[1]: interface eth0 is already at line 3, column 5; remove or change one of the two
lb.yaml:4:24: interfaces[1].xdp: fast is not an XDP mode; give native, generic or auto
lb.yaml:6:12: seed_file: seed is given as well; give either seed or seed_file
lb.yaml:8:11: defaults.arming: 5 has no unit; write 5s; units are ms, s, m and h
lb.yaml:9:9: defaults.mode: fullnat is not a mode; give dsr, ipip, nat or dnat
lb.yaml:13:5: services[0].vip: vip stands here twice, first at line 12, column 5; keep one of the two
lb.yaml:14:16: services[0].port[1]: port 80 is already at line 14, column 12; remove or change one of the two
lb.yaml:14:20: services[0].port[2]: http is not a port; give a whole number from 1 to 65535
lb.yaml:15:5: services[0].protcol: protcol is not a key; did you mean protocol?
lb.yaml:17:17: services[0].table_size: 1000 is not a prime; give a prime: 997 or 1009
lb.yaml:18:13: services[0].tunnel: mode dsr has no tunnel; remove tunnel, or set mode: ipip
lb.yaml:19:49: services[0].health.timeout: the timeout 1500ms is above the interval 1s; give a timeout of at most 1s, or a longer interval
lb.yaml:19:63: services[0].health.rise: 0 is not a number of probes; give a whole number from 1 to 100
lb.yaml:19:66: services[0].health.fall: there is no value; give a whole number from 1 to 100
lb.yaml:21:52: services[0].backends[0].weight: -3 is not a weight; give a whole number from 0 to 1000
lb.yaml:21:62: services[0].backends[0].port: mode dsr does not change ports; remove port: the backend listens on the service's own port
lb.yaml:22:17: services[0].backends[1].name: backend web-1 is already at line 21, column 17; remove or change one of the two
lb.yaml:22:33: services[0].backends[1].address: 10.0.0.11/24 is not an IP address; give the address alone: 10.0.0.11
lb.yaml:23:33: services[0].backends[2].address: 203.0.113.10 is a VIP of this balancer; give the backend's own address
lb.yaml:24:9: services[0].backends[3]: name is missing; give the backend a name
lb.yaml:24:20: services[0].backends[3].address: 127.0.0.1 is a loopback address; give an address of one host
lb.yaml:25:11: services[1].name: service web is already at line 11, column 11; remove or change one of the two
lb.yaml:26:25: services[1].vip[1]: ::ffff:192.0.2.1 is an IPv4 address in IPv6 form; write 192.0.2.1
lb.yaml:27:11: services[1].port: 203.0.113.10 tcp port 80 already belongs to service web (line 14, column 12); give one of the two another VIP, port or protocol
lb.yaml:29:5: services[2]: name is missing; give the service a name of its own
lb.yaml:29:5: services[2]: backends is missing; give a list of backends, or [] for none
lb.yaml:30:11: services[2].port: with port any, probes do not know their port; give health.port, or health: { type: none } for no probes
lb.yaml:32:5: services[2].half_open: there is no value; give 1s to 24h
lb.yaml:33:64: services[2].tunnel.source_prefix: 10.1.2.3/16 has bits set behind its length; write 10.1.0.0/16
lb.yaml:33:82: services[2].tunnel.ttl: 256 is not a TTL; give a whole number from 1 to 255";
    assert_eq!(problems(text), expected);
}

/// Lines of one service, and what is said about them (without the file's name).
const SERVICES: [(&str, &str); 24] = [
    (
        "backends: []\nport: 80\nmode: dsr",
        "3:5: services[0]: vip is missing; give the address that clients know, or a list of them",
    ),
    (
        "vip: 192.0.2.1\nbackends: []\nmode: dsr",
        "3:5: services[0]: port is missing; give a port, a list of ports, or any",
    ),
    (
        "vip: 192.0.2.1\nport: 80\nbackends: []",
        "3:5: services[0]: mode is missing; give nat (any backend, unchanged), dnat (the client's address is kept), dsr (backends in the balancer's own L2 network) or ipip (through a tunnel), here or in defaults",
    ),
    (
        "{VIP}backends: 7",
        "7:15: services[0].backends: backends is not a list; begin each item with \"- \", or give []",
    ),
    (
        "{VIP}backends: [web-1]",
        "7:16: services[0].backends[0]: a map of keys and values belongs here; the keys are: name, address, dns, srv, family, weight, port, state, drain",
    ),
    (
        "{VIP}{BACKENDS}health: tcp",
        "8:13: services[0].health: a map of keys and values belongs here; the keys are: type, via, port, interval, timeout, rise, fall, method, path, host, status, body, server_name, verify, send, expect, query, record, rcode, command",
    ),
    (
        "{VIP}{BACKENDS}colour: red",
        "8:5: services[0].colour: colour is not a key; the keys here are: name, vip, port, backends, backends_file, max_backends, protocol, mode, scheduler, table_size, health, initial_state, idle, half_open, closing, arming, udp, unserved, on_backend_dead, drain, slow_start, tunnel, snat",
    ),
    (
        "{VIP}{BACKENDS}health: { interval: 1.5s }",
        "8:25: services[0].health.interval: 1.5s is not an interval; give a whole number and ms, s, m or h: 100ms to 1h",
    ),
    (
        "{VIP}{BACKENDS}health: { interval: 50ms }",
        "8:25: services[0].health.interval: 50ms is too short for an interval; give 100ms to 1h",
    ),
    (
        "{VIP}{BACKENDS}idle: { tcp: 25h }",
        "8:18: services[0].idle.tcp: 25h is too long for an idle time; give 1s to 24h",
    ),
    (
        "{VIP}{BACKENDS}health: { type: none, rise: 2 }",
        "8:33: services[0].health.rise: type none makes no probes; remove this key, or set type: tcp",
    ),
    (
        "{VIP}{BACKENDS}scheduler: rr",
        "8:16: services[0].scheduler: rr is not a scheduler; give maglev",
    ),
    (
        "{VIP}{BACKENDS}protocol: []",
        "8:15: services[0].protocol: the list is empty; give at least one value",
    ),
    (
        "{VIP}{BACKENDS}protocol: [tcp, tcp]",
        "8:21: services[0].protocol[1]: protocol tcp is already at line 8, column 16; remove or change one of the two",
    ),
    (
        "vip: [192.0.2.1, 192.0.2.1]\nport: 80\nmode: dsr\n{BACKENDS}",
        "4:22: services[0].vip[1]: address 192.0.2.1 is already at line 4, column 11; remove or change one of the two",
    ),
    (
        "vip: 192.0.2.1:80\nport: 80\nmode: dsr\n{BACKENDS}",
        "4:10: services[0].vip: 192.0.2.1:80 is not an IP address; give the address alone: 192.0.2.1",
    ),
    (
        "vip: www.example.com\nport: 80\nmode: dsr\n{BACKENDS}",
        "4:10: services[0].vip: www.example.com is not an IP address; give an IPv4 or IPv6 address, such as 192.0.2.11 or 2001:db8::11",
    ),
    (
        "vip: fe80::1\nport: 80\nmode: dsr\n{BACKENDS}",
        "4:10: services[0].vip: fe80::1 is a link-local address, which says nothing without a link; give an address of one host",
    ),
    (
        "vip: 192.0.2.1\nport: 0\nmode: dsr\n{BACKENDS}",
        "5:11: services[0].port: 0 is not a port; give a whole number from 1 to 65535",
    ),
    (
        "vip: 192.0.2.1\nport: 080\nmode: dsr\n{BACKENDS}",
        "5:11: services[0].port: 080 is not a port; give a whole number from 1 to 65535",
    ),
    (
        "{VIP}backends: [{ name: 'a b', address: 10.0.0.1 }]",
        "7:24: services[0].backends[0].name: \"a b\" is not a name; give 1 to 63 of A-Z a-z 0-9 . _ -",
    ),
    (
        "{VIP}backends: [{ name: a, address: 10.0.0.1 }, { name: b, address: 10.0.0.1 }]",
        "7:68: services[0].backends[1].address: address 10.0.0.1 is already at line 7, column 36; remove or change one of the two",
    ),
    (
        "vip: 192.0.2.1\nport: 80\nmode: ipip\n{BACKENDS}tunnel: { source: [192.0.2.2, 192.0.2.3] }",
        "8:35: services[0].tunnel.source[1]: a second source for the same address family; give one source or source_prefix for IPv4 and one for IPv6",
    ),
    (
        "vip: 192.0.2.1\nport: 80\nmode: ipip\n{BACKENDS}tunnel: { source_prefix: 10.0.0.0/33 }",
        "8:30: services[0].tunnel.source_prefix: /33 is not a length for a source prefix; give /8 to /31",
    ),
];

#[test]
fn a_service_with_one_problem() {
    for (lines, expected) in SERVICES {
        let lines = lines.replace("{VIP}", VIP).replace("{BACKENDS}", BACKENDS);
        let text = with_service(&lines);
        assert_eq!(problems(&text), format!("lb.yaml:{expected}"), "in\n{text}");
    }
}

#[test]
fn a_wrong_default_is_reported_once() {
    let service = "  - { name: NAME, vip: 192.0.2.NAME, port: 80, backends: [] }\n";
    let services: String =
        ["1", "2", "3"].iter().map(|name| service.replace("NAME", name)).collect();
    let text = format!(
        "interfaces: [eth0]\ndefaults:\n  mode: dsr\n  health: {{ timeout: 2s }}\nservices:\n{services}"
    );
    assert_eq!(
        problems(&text),
        "lb.yaml:4:22: defaults.health.timeout: the timeout 2s is above the interval 1s; \
         give a timeout of at most 1s, or a longer interval"
    );
}

#[test]
fn services_of_one_vip_agree_on_unserved_ports() {
    let text = "\
interfaces: [eth0]
defaults: { mode: dsr }
services:
  - { name: a, vip: 192.0.2.1, port: 80, unserved: drop, backends: [] }
  - { name: b, vip: 192.0.2.1, port: 81, backends: [] }
  - { name: c, vip: 192.0.2.1, port: 82, unserved: pass, backends: [] }
";
    assert_eq!(
        problems(text),
        "lb.yaml:6:52: services[2].unserved: service a (line 4, column 5) has another unserved for 192.0.2.1; \
         give all services of a VIP the same"
    );
}

#[test]
fn any_port_meets_only_another_any_port() {
    let text = |third: &str| {
        format!(
            "\
interfaces: [eth0]
defaults: {{ mode: dsr, health: {{ type: none }} }}
services:
  - {{ name: a, vip: 192.0.2.1, port: any, backends: [] }}
  - {{ name: b, vip: 192.0.2.1, port: 80, backends: [] }}
  - {{ name: c, vip: 192.0.2.1, port: any, protocol: {third}, backends: [] }}
"
        )
    };
    super::good(&text("udp"));
    assert_eq!(
        problems(&text("tcp")),
        "lb.yaml:6:38: services[2].port: 192.0.2.1 tcp port any already belongs to service a (line 4, column 38); \
         give one of the two another VIP, port or protocol"
    );
}

#[test]
fn what_does_not_fit_the_maps_is_refused() {
    let ports: Vec<String> = (1..=20_000).map(|port| port.to_string()).collect();
    let text = with_service(&format!(
        "vip: [192.0.2.1, 192.0.2.2]\nport: [{}]\nmode: dsr\n{BACKENDS}",
        ports.join(",")
    ));
    assert_eq!(
        problems(&text),
        "lb.yaml:3:3: services: 40000 combinations of VIP, port and protocol are more than the 32768 that fit; \
         split the services between balancers"
    );

    let text =
        format!("limits: {{ slot_space: 65537 }}\n{}", with_service(&format!("{VIP}{BACKENDS}")));
    let second =
        "  - { name: b, vip: 192.0.2.9, port: 80, mode: dsr, table_size: 65537, backends: [] }\n";
    assert_eq!(
        problems(&format!("{text}{second}")),
        "lb.yaml:1:23: limits.slot_space: the tables of all services need 69630 slots, limits.slot_space is 65537; \
         set limits.slot_space to 69630 or more, or a smaller table_size"
    );
}

#[test]
fn thousands_of_problems_are_counted_not_shown() {
    let wrong = "  - {}\n".repeat(2000);
    let refused =
        parse("lb.yaml", &format!("interfaces: [eth0]\nservices:\n{wrong}")).expect_err("wrong");
    assert_eq!(refused.problems.len(), 1001);
    let last = refused.problems.last().expect("the count").to_string();
    assert_eq!(last, "lb.yaml: 9001 more problems; mend those above first");
}
