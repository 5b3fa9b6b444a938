//! Probes of every type: what they become, and what is said of wrong ones.

use super::{
    super::{Check, Health, Via, effective_yaml},
    BACKENDS, VIP, good, problems, with_service,
};

fn file(health: &str) -> String {
    let service = with_service(&format!("{VIP}{BACKENDS}health: {{ {health} }}"));
    format!("allow_exec: true\n{service}")
}

fn check(health: &str) -> Check {
    let config = good(&file(health));
    assert_eq!(good(&effective_yaml(&config)), config, "{}", effective_yaml(&config));
    let Health::Probed(probes) = &config.services[0].health else { panic!("no probes") };
    (*probes.check).clone()
}

#[test]
fn every_type_prints_as_itself() {
    for (health, name) in [
        ("type: tcp", "tcp"),
        ("type: http", "http"),
        (
            "type: http, method: HEAD, path: '/a?b', host: 'www.example.com:8080', status: [200, 300-399]",
            "http",
        ),
        ("type: http, body: '/^ok$/i'", "http"),
        ("type: https, server_name: www.example.com, verify: true, body: ok", "https"),
        ("type: https, verify: /etc/ssl/ca.pem", "https"),
        ("type: udp, send: 'hex:00ff'", "udp"),
        (r#"type: udp, send: "ping\r\n", expect: pong"#, "udp"),
        ("type: dns, query: example.com, record: MX, expect: 10 mail.example.com", "dns"),
        ("type: dns, query: ., record: NS, rcode: refused", "dns"),
        ("type: icmp, interval: 10s", "icmp"),
        ("type: exec, command: [/bin/check, '-v', '1']", "exec"),
    ] {
        assert_eq!(check(health).name(), name, "{health}");
    }
}

#[test]
fn probes_take_the_path_where_they_can() {
    let via = |mode: &str, own: &str, defaults: &str| {
        let service = with_service(&format!("{VIP}{BACKENDS}health: {{ {own} }}"))
            .replace("mode: dsr", &format!("mode: {mode}"));
        let config = good(&format!("defaults: {{ health: {{ {defaults} }} }}\n{service}"));
        let Health::Probed(probes) = &config.services[0].health else { panic!("no probes") };
        probes.via
    };
    for (mode, own, defaults, expected) in [
        ("dsr", "type: tcp", "", Via::Path),
        ("ipip", "type: http", "", Via::Path),
        ("dsr", "type: icmp", "via: path", Via::Direct),
        ("nat", "type: tcp", "via: path", Via::Direct),
        ("dsr", "type: tcp", "via: direct", Via::Direct),
        ("dsr", "via: path", "via: direct", Via::Path),
        ("dsr", "via: direct", "", Via::Direct),
    ] {
        assert_eq!(via(mode, own, defaults), expected, "{mode} {own} {defaults}");
    }
    let nat = with_service(&format!("{VIP}{BACKENDS}health: {{ via: path }}"))
        .replace("mode: dsr", "mode: nat");
    let said = problems(&nat);
    assert!(said.contains("probes of mode nat cannot take the way of clients' packets"), "{said}");
}

#[test]
fn http_asks_for_the_root_and_takes_redirects() {
    let Check::Http(http) = check("type: http") else { panic!() };
    let status: Vec<_> = http.status.iter().map(ToString::to_string).collect();
    assert_eq!((http.method.name(), &*http.path, &*status[0]), ("GET", "/", "200-399"));
}

/// The keys of `health`, and what is said of them, without the place of the file.
const WRONG: [(&str, &str); 28] = [
    ("type: tcp, path: /", "path: type tcp has no path; remove it, or set type: http or https"),
    ("type: http, verify: true", "verify: type http has no verify; remove it, or set type: https"),
    (
        "type: http, expect: a",
        "expect: type http has no expect; remove it, or set type: udp or dns",
    ),
    ("via: vip", "via: vip is not a way for probes; give path or direct"),
    (
        "type: icmp, via: path",
        "via: probes of type icmp cannot take the way of clients' packets; give via: direct, or leave it out",
    ),
    ("type: none, via: path", "via: type none makes no probes; remove this key, or set type: tcp"),
    ("type: icmp, port: 1", "port: type icmp has no port; remove it"),
    ("type: none, path: /", "path: type none makes no probes; remove this key, or set type: tcp"),
    (
        "type: ftp",
        "type: ftp is not a type of probe; give tcp, http, https, udp, dns, icmp, exec or none",
    ),
    (
        "type: http, method: get",
        "method: get is not a method of probes; give GET, HEAD, OPTIONS or POST",
    ),
    (
        "type: http, path: up",
        "path: up is not a path; give a path and query, such as /healthz; write spaces as %20",
    ),
    (
        r#"type: http, path: "/a\r\nX: y""#,
        r#"path: "/a\r\nX: y" is not a path; give a path and query, such as /healthz; write spaces as %20"#,
    ),
    (
        r#"type: http, host: "a b""#,
        r#"host: "a b" is not a host's name; give a host's name, such as www.example.com"#,
    ),
    (
        "type: http, status: 20",
        "status: 20 is not an HTTP status; give a status from 100 to 599, or a range such as 200-399",
    ),
    (
        "type: http, status: [200, 399-200]",
        "status[1]: 399-200 is not an HTTP status; give a status from 100 to 599, or a range such as 200-399",
    ),
    ("type: http, status: []", "status: the list is empty; give at least one value"),
    (
        "type: http, body: '/(/'",
        "body: /(/ is not a regular expression: unclosed group; give a text, hex: and digits, or a regular expression between slashes",
    ),
    (
        "type: http, method: HEAD, body: ok",
        "body: an answer to HEAD has no body; remove body, or set method: GET",
    ),
    (
        "type: https, verify: maybe",
        "verify: maybe is not a way to verify; give false, true, or the absolute path of a file with CA certificates, such as /etc/ssl/ca.pem",
    ),
    ("type: udp", ": send is missing; give what is to be sent"),
    (
        "type: udp, send: 'hex:1'",
        "send: hex:1 is not hex: followed by pairs of hexadecimal digits; give at most 1232 bytes: a text, or hex: and digits",
    ),
    ("type: udp, send: a, expect: [a, b]", "expect: UDP has one answer; give one text"),
    ("type: dns", ": query is missing; give the name to ask for"),
    (
        "type: dns, query: a..b",
        "query: a..b is not a domain name; give a domain name, such as example.com",
    ),
    (
        "type: dns, query: a, expect: b",
        "expect: a record A is an IPv4 address; give an IPv4 address, or another record",
    ),
    (
        "type: dns, query: a, rcode: ok",
        "rcode: ok is not a DNS response code; give noerror, nxdomain, refused, servfail or notimp",
    ),
    (
        "type: exec",
        ": command is missing; give a list of a program's absolute path and its arguments",
    ),
    (
        "type: exec, command: [check]",
        "command: this is not a command; give a list of a program's absolute path and its arguments",
    ),
];

#[test]
fn a_probe_with_one_problem() {
    for (health, expected) in WRONG {
        let text = file(health);
        let found = problems(&text);
        let (_, said) = found.split_once("services[0].health").expect("a place");
        let expected =
            if expected.starts_with(':') { expected.to_owned() } else { format!(".{expected}") };
        assert_eq!(said, expected, "in\n{text}");
    }
}

#[test]
fn programs_need_a_permission() {
    let text = file("type: exec, command: [/bin/check]").replace("allow_exec: true", "");
    assert_eq!(
        problems(&text),
        "lb.yaml:9:21: services[0].health.type: probes may not run programs; \
         set allow_exec: true at the top of the file, or use another type"
    );
}

#[test]
fn defaults_are_for_services_of_their_type() {
    let text = "\
interfaces: [eth0]
defaults:
  mode: dsr
  health: { type: http, path: /up, port: 8080 }
services:
  - { name: a, vip: 192.0.2.1, port: 80, backends: [], health: { body: ok } }
  - { name: b, vip: 192.0.2.2, port: 80, backends: [], health: { type: icmp } }
";
    let config = good(text);
    let Health::Probed(a) = &config.services[0].health else { panic!() };
    let Check::Http(http) = &*a.check else { panic!("{a:?}") };
    assert_eq!((&*http.path, http.body.is_some(), a.port), ("/up", true, Some(8080)));
    let Health::Probed(b) = &config.services[1].health else { panic!() };
    assert_eq!((&*b.check, b.port), (&Check::Icmp, None));
}
