//! Random and randomly damaged files: whatever comes, reading ends with a
//! configuration or with at least one problem, and what was accepted prints as
//! a file that means the same.

use proptest::prelude::*;

use super::{
    super::{effective_yaml, parse},
    good, with_service,
};

const FULL: &str = include_str!("../../../../deploy/examples/dual-stack.yaml");

/// Reads `text` and holds the outcome to what is promised about it.
fn read(text: &str) {
    match parse("lb.yaml", text) {
        Err(refused) => assert!(!refused.problems.is_empty()),
        Ok(loaded) => {
            let printed = effective_yaml(&loaded.config);
            if !printed.starts_with("# seed") {
                let again =
                    parse("lb.yaml", &printed).unwrap_or_else(|p| panic!("{p}\nin\n{printed}"));
                assert_eq!(again.config, loaded.config, "{printed}");
            }
        }
    }
}

/// Pieces that YAML and this file's schema give a meaning.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "\n",
        "\n  ",
        "\n    ",
        "  ",
        "\t",
        "- ",
        ": ",
        ":",
        ",",
        "[",
        "]",
        "{",
        "}",
        "? ",
        "|\n",
        ">\n",
        "&a ",
        "*a",
        "!t ",
        "#",
        "\"",
        "'",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\r\n",
        "\u{feff}",
        "\u{85}",
        "é",
        "\0",
        "~",
        "<<: ",
        "interfaces: ",
        "services: ",
        "name: ",
        "vip: ",
        "port: ",
        "any",
        "mode: ",
        "dsr",
        "ipip",
        "nat",
        "dnat",
        "snat: ",
        "addresses: ",
        "ports: ",
        "1024-2000",
        "responses: ",
        "nat_log: ",
        "notify: ",
        "url: ",
        "http://a/",
        "backends: ",
        "address: ",
        "10.0.0.1",
        "2001:db8::1",
        "weight: ",
        "0",
        "80",
        "99999999999999999999",
        "5s",
        "1h",
        "health: ",
        "type: none",
        "type: http",
        "status: ",
        "body: ",
        "expect: ",
        "verify: ",
        "/(",
        "defaults: ",
        "idle: ",
        "tcp",
        "udp",
        "unserved: ",
        "on_all_down: ",
        "backup: true",
        "backup_below: ",
        "min_healthy: ",
        "50%",
        "tunnel: ",
        "source: ",
        "limits: ",
        "dns: ",
        "srv: ",
        "family: v6",
        "backends_file: ",
        "max_backends: ",
        "servers: ",
    ])
}

/// Lines that a service may have beside the keys it must have.
fn service_lines() -> impl Strategy<Value = Vec<&'static str>> {
    let lines = vec![
        "protocol: [udp, tcp]",
        "scheduler: maglev",
        "table_size: 65537",
        "health: { interval: 2m, timeout: 1001ms, rise: 9, fall: 1, port: 1, type: https, status: [200, 300-399], body: '/a b/', verify: true, host: a.example }",
        "passive: advisory",
        "initial_state: down",
        "idle: { tcp: 90m, udp: 1500ms }",
        "backends_file: /run/web.yaml",
        "half_open: 24h",
        "closing: 1s",
        "arming: 100ms",
        "udp: keep",
        "unserved: pass",
        "on_backend_dead: reselect",
        "on_all_down: reject",
        "min_healthy: 0",
    ];
    let count = lines.len();
    prop::sample::subsequence(lines, 0..=count)
}

fn mode_lines() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "mode: dsr",
        "mode: ipip",
        "mode: ipip\ntunnel: { source: '2001:db8::1', source_prefix: 198.18.0.0/24 }",
        "mode: ipip\ntunnel: { source: [192.0.2.1, '2001:db8::1'], ttl: 1 }",
        "mode: ipip\ntunnel: { source_prefix: [10.0.0.0/8, '2001:db8::/127'], ttl: 255 }",
        "mode: nat",
        "mode: nat\nsnat: { addresses: [192.0.2.1, '2001:db8::1'], rest: 90s }",
        "mode: nat\nsnat: { addresses: '2001:db8::1', ports: 1024-65534, rest: 1h }",
        "mode: dnat",
        "mode: dnat\nsnat: { ports: 40000-40063, rest: 1s }",
    ])
}

/// With ports of their own only where they may have them.
fn pool(ports: bool) -> impl Strategy<Value = String> {
    let ports = if ports { 0u16..9 } else { 0..1 };
    let backend = (any::<u32>(), 0u16..=1000, ports);
    prop::collection::btree_map("[A-Za-z0-9._-]{1,63}", backend, 0..20).prop_map(|pool| {
        let mut pool = pool;
        let last = pool.pop_last();
        let found = last.map(|(name, (_, weight, _))| {
            format!(
                "{{ name: '{name}', dns: web.example, family: v6, weight: {weight}, backup: true }}"
            )
        });
        let backends = pool.into_iter().enumerate().map(|(n, (name, (address, weight, port)))| {
            // Never the VIP's.
            let address = format!("2001:db8:{:x}::{:x}", n + 1, address >> 16);
            let port = if port == 0 { String::new() } else { format!(", port: {port}") };
            format!("{{ name: '{name}', address: '{address}', weight: {weight}{port} }}")
        });
        format!("backends: [{}]", backends.chain(found).collect::<Vec<_>>().join(", "))
    })
}

fn translates(mode: &str) -> bool {
    mode.contains("nat")
}

fn mode_and_pool() -> impl Strategy<Value = (&'static str, String)> {
    mode_lines().prop_flat_map(|mode| (Just(mode), pool(translates(mode))))
}

fn top_lines() -> impl Strategy<Value = Vec<&'static str>> {
    let lines = vec![
        "snat: { ports: 5000-6000, rest: 2m }",
        "nat_log: { path: '/var/log/a file', rate: 1 }",
        "allow_exec: true\nnotify: [{ url: 'https://[2001:db8::1]:8443/a?b=c', verify: false, events: [drain, denied] }, { command: [/bin/page, '-v'], timeout: 1m, retry: 0s }]",
        "dns: { servers: [192.0.2.53, '[2001:db8::53]:5353'], min_refresh: 2s, max_refresh: 2s }",
        "limits: { nat_flows: 8388608, nat_flows_wide: 1 }",
    ];
    let count = lines.len();
    prop::sample::subsequence(lines, 0..=count)
}

proptest! {
    #[test]
    fn a_good_file_prints_as_itself(
        top in top_lines(),
        lines in service_lines(),
        (mode, pool) in mode_and_pool(),
    ) {
        let vip = if mode.starts_with("mode: dnat") { "'2001:db8::9'" } else { "203.0.113.9" };
        let lines = lines.join("\n");
        let lines =
            if translates(mode) { lines.replace("keep", "{ responses: 7 }") } else { lines };
        let service =
            with_service(&format!("vip: {vip}\nport: [80, 65535]\n{mode}\n{pool}\n{lines}"));
        let config = good(&format!("{}\n{service}", top.join("\n")));
        prop_assert_eq!(good(&effective_yaml(&config)), config);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        read(&text);
    }

    #[test]
    fn any_pieces(pieces in prop::collection::vec(piece(), 0..80)) {
        read(&pieces.concat());
    }

    #[test]
    fn a_good_file_with_pieces_put_in(
        edits in prop::collection::vec((0..FULL.len(), 0usize..12, piece()), 1..6),
    ) {
        let mut text = FULL.to_owned();
        for (start, removed, piece) in edits {
            let start = start.min(text.len());
            let end = (start + removed).min(text.len());
            if text.is_char_boundary(start) && text.is_char_boundary(end) {
                text.replace_range(start..end, piece);
            }
        }
        read(&text);
    }
}
