//! Files that are accepted with a word of advice.

use super::{BACKENDS, VIP, loaded, with_service};

/// Lines of one service, and the warning about it (without the file's name).
const SERVICES: [(&str, &str); 6] = [
    (
        "{VIP}backends: []",
        "3:11: services[0].name: the service has no backends; its packets are dropped (no_backend) until it has one",
    ),
    (
        "{VIP}backends: [{ name: a, address: 10.0.0.1, weight: 0 }]",
        "3:11: services[0].name: all backends have weight 0; a service without a weight above 0 takes no new connections",
    ),
    (
        "{VIP}{BACKENDS}arming: 500ms",
        "8:13: services[0].arming: the arming time is not above a SYN's first repetition; give more than 1s, better 3500ms: copies of a SYN would land on two backends",
    ),
    (
        "{VIP}{BACKENDS}protocol: udp",
        "3:11: services[0].name: the service is UDP only, its probes are TCP connections to port 80; give health.port where something listens on TCP, or health: { type: none }",
    ),
    (
        "{VIP}table_size: 251\nbackends: [{ name: a, address: 10.0.0.1 }, { name: b, address: 10.0.0.2, weight: 1000 }]",
        "8:36: services[0].backends[0].address: weight 1 of 1001 is less than one of the 251 slots; make weights less different, or table_size larger",
    ),
    ("{VIP}{BACKENDS}health: { type: none }\nprotocol: udp", ""),
];

fn warnings(text: &str) -> String {
    let lines: Vec<String> = loaded(text).warnings.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[test]
fn a_service_with_one_warning() {
    for (lines, expected) in SERVICES {
        let text = with_service(&lines.replace("{VIP}", VIP).replace("{BACKENDS}", BACKENDS));
        let expected =
            if expected.is_empty() { String::new() } else { format!("lb.yaml:{expected}") };
        assert_eq!(warnings(&text), expected, "in\n{text}");
    }
}

#[test]
fn an_empty_balancer_and_a_short_seed() {
    assert_eq!(
        warnings("interfaces: [eth0]\nseed: abc\nservices: []\n"),
        "lb.yaml:2:7: seed: the seed is short; give at least 16 random characters, or the balancer's clients can guess it\n\
         lb.yaml:3:11: services: there are no services; every packet is left to the kernel until there is one"
    );
}

#[test]
fn a_slot_space_without_room_for_a_second_table() {
    let service = with_service(&format!("{VIP}{BACKENDS}table_size: 65537\n"));
    assert_eq!(
        warnings(&format!("limits: {{ slot_space: 100000 }}\n{service}")),
        "lb.yaml:1:23: limits.slot_space: limits.slot_space leaves no room for a second table of the largest service; \
         set it to 131074 or more, so that a table's size can be changed later"
    );
}
