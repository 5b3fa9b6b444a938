//! What good files become.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use super::{
    super::{
        BackendKey, Check, Health, Mode, OuterSource, Ports, Probes, Protocol, Seed, Unserved, Via,
        check, effective_yaml, parse,
    },
    BACKENDS, VIP, good, with_service,
};

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn a_services_key_wins_over_defaults_key_by_key() {
    let config = good(
        "\
interfaces: [eth0]
defaults:
  mode: ipip
  protocol: [tcp, udp]
  health: { interval: 5s, rise: 7, port: 8080 }
  idle: { tcp: 10s, udp: 20s }
  tunnel: { source: [192.0.2.1, '2001:db8::1'], ttl: 9 }
services:
  - name: a
    vip: 203.0.113.1
    port: any
    health: { interval: 2s }
    idle: { udp: 3s }
    tunnel: { source_prefix: 198.18.0.0/16 }
    backends: [{ name: x, address: 10.0.0.1 }]
",
    );
    let service = &config.services[0];
    assert_eq!(service.protocols, [Protocol::Tcp, Protocol::Udp]);
    let expected = Probes {
        check: Arc::new(Check::Tcp),
        via: Via::Path,
        port: Some(8080),
        interval: Duration::from_secs(2),
        timeout: Duration::from_millis(500),
        rise: 7,
        fall: 3,
    };
    assert_eq!(service.health, Health::Probed(expected));
    assert_eq!(
        (service.idle.tcp, service.idle.udp),
        (Duration::from_secs(10), Duration::from_secs(3))
    );
    let Mode::Ipip(tunnel) = &service.mode else { panic!("{:?}", service.mode) };
    let OuterSource::Prefix(prefix) = tunnel.source_toward(address("10.0.0.1")) else {
        panic!("{tunnel:?}")
    };
    assert_eq!((prefix.to_string(), prefix.host_mask()), ("198.18.0.0/16".to_owned(), 0xffff));
    assert_eq!(
        tunnel.source_toward(address("2001:db8::9")),
        OuterSource::Fixed(address("2001:db8::1"))
    );
    assert_eq!(tunnel.ttl, 9);
}

#[test]
fn the_default_timeout_fits_a_short_interval() {
    let config = good(&with_service(&format!("{VIP}{BACKENDS}health: {{ interval: 200ms }}")));
    let Health::Probed(health) = &config.services[0].health else { panic!("no probes") };
    assert_eq!(health.timeout, Duration::from_millis(200));
}

#[test]
fn the_default_table_grows_in_steps() {
    for (backends, size) in [(0, 4093), (16, 4093), (17, 16_381), (64, 16_381), (65, 65_537)] {
        let list: String = (0..backends)
            .map(|n| format!("  - {{ name: b{n}, address: 10.0.0.{} }}\n", n + 1))
            .collect();
        let list = if list.is_empty() { "  []\n".to_owned() } else { list };
        let config = good(&with_service(&format!("{VIP}backends:\n{list}")));
        assert_eq!(config.services[0].table_size, size, "{backends} backends");
    }
}

#[test]
fn one_value_and_a_list_of_one_are_the_same() {
    let one = with_service(&format!("{VIP}{BACKENDS}protocol: tcp"));
    let list = with_service(&format!(
        "vip: [203.0.113.10]\nport: [80]\nmode: dsr\n{BACKENDS}protocol: [tcp]"
    ));
    assert_eq!(good(&one), good(&list));
    assert_eq!(good(&one).services[0].ports, Ports::List(vec![80]));
}

#[test]
fn a_vip_has_the_policy_of_the_service_that_names_one() {
    let config = good(
        "\
interfaces: [eth0]
defaults: { mode: dsr }
services:
  - { name: a, vip: [192.0.2.1, 192.0.2.2], port: 80, backends: [] }
  - { name: b, vip: 192.0.2.1, port: 81, unserved: pass, backends: [] }
",
    );
    let vips: Vec<_> = config.vips().into_iter().collect();
    assert_eq!(
        vips,
        [(address("192.0.2.1"), Unserved::Pass), (address("192.0.2.2"), Unserved::Auto)]
    );
}

#[test]
fn a_renamed_backend_is_the_same_backend() {
    let keys = |name: &str| -> Vec<BackendKey> {
        let backends = format!("backends: [{{ name: {name}, address: 10.0.0.1 }}]");
        let config = good(&with_service(&format!("{VIP}{backends}")));
        let service = &config.services[0];
        service.backends.iter().map(|backend| service.backend_key(backend)).collect()
    };
    assert_eq!(keys("old"), keys("new"));
}

#[test]
fn frontends_are_every_combination() {
    let config = good(&with_service(&format!(
        "vip: [192.0.2.1, '2001:db8::1']\nport: [53, 54]\nprotocol: [tcp, udp]\nmode: dsr\n{BACKENDS}"
    )));
    let frontends: Vec<_> = config.services[0].frontends().collect();
    assert_eq!(frontends.len(), 8);
    assert!(frontends.iter().any(|frontend| frontend.vip == address("2001:db8::1")
        && frontend.protocol == Protocol::Udp
        && frontend.port == Some(54)));
}

#[test]
fn a_seed_is_not_shown() {
    let secret = "correct horse battery";
    let config = good(&format!("seed: {secret}\n{}", with_service(&format!("{VIP}{BACKENDS}"))));
    assert_eq!(config.seed, Seed::Text(secret.to_owned()));
    let shown = effective_yaml(&config);
    assert!(shown.starts_with("# seed: (set in the file, not shown)\n"), "{shown}");
    assert!(!shown.contains(secret));
    assert!(!format!("{config:?}").contains(secret));
    good(&shown);
}

#[test]
fn a_seed_file_is_beside_the_configuration() {
    let text = format!("seed_file: seed\n{}", with_service(&format!("{VIP}{BACKENDS}")));
    let config = parse("/etc/lb/lb.yaml", &text).expect("good").config;
    assert_eq!(config.seed, Seed::File("/etc/lb/seed".into()));
    let absolute = text.replace("seed_file: seed", "seed_file: /run/seed");
    let config = parse("/etc/lb/lb.yaml", &absolute).expect("good").config;
    assert_eq!(config.seed, Seed::File("/run/seed".into()));
}

#[test]
fn check_sums_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("lb.yaml");
    let write = |text: &str| -> (String, u8) {
        std::fs::write(&path, text).expect("a writable directory");
        let outcome = check(Path::new(&path), None);
        (outcome.to_string(), outcome.exit_code())
    };
    let (text, code) = write(&with_service(&format!("{VIP}{BACKENDS}")));
    assert_eq!((text.as_str(), code), ("ok: 1 service, 1 VIP, 1 backend, 1 interface", 0));
    let (text, code) = write("interfaces: [eth0]\nservices: []\n");
    assert!(
        text.ends_with("\nok: 0 services, 0 VIPs, 0 backends, 1 interface, 1 warning"),
        "{text}"
    );
    assert!(text.starts_with("warning: "), "{text}");
    assert_eq!(code, 0);
    let (text, code) = write("interfaces: []\n");
    assert!(text.ends_with("\nnot ok: 2 problems"), "{text}");
    assert_eq!(code, 2);
}

#[test]
fn names_that_yaml_has_other_ideas_about() {
    for name in
        ["null", "Null", "NULL", "true", "no", "1", "1e3", "0x10", "-", ".5", "-.inf", "2001-01-01"]
    {
        let text =
            with_service(&format!("{VIP}backends: [{{ name: '{name}', address: 10.0.0.1 }}]"));
        let config = good(&text);
        assert_eq!(config.services[0].backends[0].name, name);
        assert_eq!(good(&effective_yaml(&config)), config, "{name}");
    }
}
