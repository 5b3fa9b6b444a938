//! Backends that the file does not list.

use super::{
    super::{Family, QuestionKind},
    VIP, good, loaded, problems, with_service,
};

#[test]
fn entries_stand_for_names_and_defaults_are_filled_in() {
    let config = good(&with_service(
        "vip: 203.0.113.10\nport: 80\nmode: nat\nbackends_file: /run/web.yaml\nbackends:\n\
         - { name: a, address: 10.0.0.1 }\n\
         - { name: b, dns: Web.Example., port: 8080, weight: 3 }\n\
         - { name: c, srv: _http._tcp.web.example, family: v6 }\n",
    ));
    let service = &config.services[0];
    assert_eq!(service.backends.len(), 1);
    let discovery = &service.discovery;
    assert_eq!((discovery.max_backends, service.table_size), (64, 16_381));
    assert_eq!(discovery.file.as_deref(), Some("/run/web.yaml".as_ref()));
    let [b, c] = &discovery.names[..] else { panic!("{discovery:?}") };
    assert_eq!(
        (b.question.to_string().as_str(), b.weight, b.port),
        ("dns web.example", 3, Some(8080))
    );
    assert_eq!(b.question.family, Family::Both);
    assert_eq!((c.question.kind, c.question.family), (QuestionKind::Srv, Family::V6));
    assert!(config.dns.servers.is_empty());
}

#[test]
fn a_file_is_beside_the_configuration_and_makes_a_list_needless() {
    let text = with_service(&format!("{VIP}backends_file: web.yaml\n"));
    let loaded = super::super::parse("/etc/lb/lb.yaml", &text).unwrap();
    let file = loaded.config.services[0].discovery.file.as_deref();
    assert_eq!(file, Some("/etc/lb/web.yaml".as_ref()));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn mode_dnat_asks_for_the_family_of_its_vips() {
    for (vip, family) in [("203.0.113.10", Family::V4), ("'2001:db8::10'", Family::V6)] {
        let text = format!("vip: {vip}\nport: 80\nmode: dnat\nbackends: [{{ name: a, dns: w }}]\n");
        let config = loaded(&with_service(&text)).config;
        assert_eq!(config.services[0].discovery.names[0].question.family, family);
    }
}

#[test]
fn servers_may_have_a_port_and_be_this_host() {
    let text = with_service(&format!("{VIP}backends: [{{ name: a, dns: w }}]\n"));
    let config = good(&format!("dns: {{ servers: [127.0.0.53, '[::1]:5353'] }}\n{text}"));
    let servers = ["127.0.0.53:53", "[::1]:5353"].map(|one| one.parse().unwrap());
    assert_eq!(config.dns.servers, servers);
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let text = with_service(
        "vip: 203.0.113.10\nport: 80\nmode: dsr\nmax_backends: 1\nbackends:\n\
         - { name: a, address: 10.0.0.1, family: v4 }\n\
         - { name: b, address: 10.0.0.2 }\n\
         - { name: a, dns: web.example, port: 80 }\n\
         - { name: c, dns: 10.0.0.3 }\n\
         - { name: d, dns: 'no name', address: 10.0.0.4, family: both }\n\
         - { name: e, srv: _http._tcp.x, weight: 1 }\n\
         - { dns: web.example, srv: _http._tcp.x, family: ipv4 }\n",
    );
    let expected = "\
lb.yaml:7:19: services[0].max_backends: 2 backends are listed already; give more, with room for those that are found
lb.yaml:9:45: services[0].backends[0].family: an address has its family; remove family, or give dns
lb.yaml:11:15: services[0].backends[2].name: backend a is already at line 9, column 15; remove or change one of the two
lb.yaml:11:42: services[0].backends[2].port: mode dsr does not change ports; remove port: the backends listen on the service's own port
lb.yaml:12:23: services[0].backends[3].dns: 10.0.0.3 is an address; write address: 10.0.0.3
lb.yaml:13:23: services[0].backends[4].dns: \"no name\" is not a DNS name; give a DNS name, such as web.internal.example
lb.yaml:13:43: services[0].backends[4].address: dns is given as well; give one of address, dns and srv
lb.yaml:14:45: services[0].backends[5].weight: SRV records say this themselves; remove it
lb.yaml:15:7: services[0].backends[6]: name is missing; give the backends a name to begin theirs with
lb.yaml:15:32: services[0].backends[6].srv: dns is given as well; give one of address, dns and srv
lb.yaml:15:54: services[0].backends[6].family: ipv4 is not an address family; give v4, v6 or both";
    assert_eq!(problems(&text), expected);
    let listed = with_service(&format!("{VIP}max_backends: 9\nbackends: []\n"));
    assert!(problems(&listed).contains("all backends of the service are listed"));
    let text = with_service(&format!("{VIP}backends: [{{ name: a, dns: w }}]\n"));
    let keys = "dns: { servers: [web, 10.0.0.1:0x], min_refresh: 2s, max_refresh: 1s }\n";
    let said = problems(&format!("{keys}{text}"));
    assert!(said.contains("1:18: dns.servers[0]: web is not a server's address"), "{said}");
    assert!(said.contains("dns.max_refresh: max_refresh is below min_refresh"), "{said}");
}

/// Pools that overlap only once backends are found are refused when the file is read.
#[test]
fn pools_of_backends_to_be_found_are_held_against_each_other() {
    let service = |name: &str, port: u16, ports: &str| {
        format!(
            "  - {{ name: {name}, vip: 203.0.113.10, port: {port}, mode: nat, snat: {{ ports: {ports} }}, \
             backends: [{{ name: a, dns: {name}.example }}] }}\n"
        )
    };
    let services = service("web", 80, "10000-20000") + &service("tls", 443, "15000-25000");
    let said = problems(&format!("interfaces: [eth0]\nservices:\n{services}"));
    assert!(said.contains("ports 15000-25000 of the host's own IPv4 address overlap"), "{said}");
}
