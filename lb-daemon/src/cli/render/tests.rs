//! What an operator sees, in full.

use std::collections::BTreeMap;

use super::*;
use crate::api::types::{
    BackendState, BackendStats, ConfigStats, Connections, Decision, DrainStats, FlowStats,
    InterfaceMode, InterfaceState, InterfaceStats, NatStats, NextHopStats, NotifyStats, Port,
    ProbeStats, RemovedStats, ServiceStats, SlotStats, Totals, Traffic,
};

const NOW: u64 = 1_700_000_000;

fn traffic(packets: u64, packets_per_second: f64) -> Traffic {
    Traffic {
        packets,
        bytes: packets * 100,
        packets_per_second,
        bytes_per_second: packets_per_second * 100.0,
    }
}

fn backend(name: &str, state: BackendState, share: f64) -> BackendStats {
    BackendStats {
        name: name.into(),
        address: "10.0.0.11".into(),
        origin: "config".into(),
        state,
        reason: "connection refused (3 failures in a row)".into(),
        since: Some(NOW - 75),
        weight: 1,
        share,
        traffic: traffic(1_500_000, 1250.0 * share),
        connections: Connections { new_connections: 90, new_connections_per_second: 12.5 * share },
        probe: Some(ProbeStats { smoothed: Some(0.000_42), ..ProbeStats::default() }),
        unresolved: 0,
        next_hop: Some(NextHopStats::default()),
        ..BackendStats::default()
    }
}

fn stats() -> Stats {
    let web = ServiceStats {
        name: "web".into(),
        vip: "203.0.113.10".into(),
        vips: vec!["203.0.113.10".into(), "2001:db8::10".into()],
        port: Port::Number(80),
        ports: vec![Port::Number(80)],
        protocol: "tcp".into(),
        protocols: vec!["tcp".into()],
        mode: "dsr".into(),
        scheduler: "maglev".into(),
        traffic: traffic(3_000_000, 1250.0),
        connections: Connections { new_connections: 180, new_connections_per_second: 12.5 },
        slots: SlotStats {
            total: 65_537,
            in_transition: 7,
            arming: 3,
            storing: 4,
            ..SlotStats::default()
        },
        fail_open: false,
        backends: vec![
            backend("web-1", BackendState::Up, 1.0),
            backend("web-2", BackendState::Dead, 0.0),
        ],
        removed: Vec::new(),
        sources: Vec::new(),
    };
    Stats {
        instance: "main".into(),
        version: "0.1.0".into(),
        pid: 4242,
        time: NOW,
        uptime: 7800,
        config: ConfigStats {
            path: "/etc/lb-daemon/lb.yaml".into(),
            loaded_at: NOW - 60,
            last_error: None,
        },
        interfaces: vec![InterfaceStats {
            name: "eth0".into(),
            mode: InterfaceMode::Native,
            state: InterfaceState::Attached,
            detail: String::new(),
            rx: traffic(3_000_000, 1250.0),
            tx: traffic(3_000_000, 1250.0),
            egress: false,
            losses: BTreeMap::from([("xdp_tx_errors".into(), 2)]),
        }],
        services: vec![web],
        totals: Totals::new(1234, 1200, 30, 4),
        drops: Stats::drops_from(&[0, 1, 3]),
        answers: Stats::answers_from(&[5]),
        flows: FlowStats { capacity: 262_144, ..FlowStats::default() },
        local_clients: false,
        nat: NatStats::default(),
        notify: vec![],
        pending: vec!["service web: 3 slots change owner in 2 s".into()],
        warnings: vec![],
    }
}

fn view(width: usize) -> View {
    View { width: Some(width), colour: false, all: false }
}

#[test]
fn wide() {
    let expected = "\
lb-daemon main  version 0.1.0, up 2h 10m, pid 4242
/etc/lb-daemon/lb.yaml read 1m ago
pending: service web: 3 slots change owner in 2 s

INTERFACE  XDP     STATE     RX PKT/S  RX BIT/S  TX PKT/S  TX BIT/S  LOST  NOTE
eth0       native  attached      1.2k      1.0M      1.2k      1.0M     2  xdp_tx_errors 2

SERVICE  ADDRESS                 STATE      FOR  PROBE  WEIGHT   SHARE  CONN/S  PKT/S  BIT/S  PACKETS  BYTES  NOTE
web      203.0.113.10:80/tcp +1  1/2 up                                     12   1.2k   1.0M     3.0M   300M  7 of 65,537 slots in transition (3 arming, 4 storing, 0 looking up), dsr maglev
  web-1  10.0.0.11               up      1m 15s  0.4ms       1  100.0%      12   1.2k   1.0M     1.5M   150M
  web-2  10.0.0.11               dead    1m 15s  0.4ms       1    0.0%       0      0      0     1.5M   150M  connection refused (3 failures in a row)

received 1,234 = forwarded 1,200 + passed 30 + dropped 4 (in flight 0)
dropped: unserved_port 3, fragment 1
answered: echo_reply 5
";
    assert_eq!(render(&stats(), &View { width: None, colour: false, all: false }), expected);
}

#[test]
fn on_80_columns() {
    let expected = "\
SERVICE  ADDRESS                 STATE    SHARE  CONN/S  PKT/S  BIT/S
web      203.0.113.10:80/tcp +1  1/2 up              12   1.2k   1.0M
  web-1  10.0.0.11               up      100.0%      12   1.2k   1.0M
  web-2  10.0.0.11               dead      0.0%       0      0      0
";
    let text = render(&stats(), &view(80));
    assert!(text.contains(expected), "{text}");
}

#[test]
fn no_line_of_a_table_is_wider_than_the_terminal() {
    for width in 60..200 {
        for line in render(&stats(), &view(width)).lines() {
            let length = line.chars().count();
            assert!(length <= width || line.starts_with("received"), "{length} > {width}: {line}");
        }
    }
}

#[test]
fn everything_when_asked() {
    let text = render(&stats(), &View { width: Some(80), colour: false, all: true });
    for name in stats().drops.keys().chain(stats().answers.keys()) {
        assert!(text.contains(name.as_str()), "{name} is missing: {text}");
    }
    assert!(text.contains("flow entries: 0 of 262,144 in use"), "{text}");
}

#[test]
fn who_is_told_of_events_is_shown_when_asked_or_when_some_were_lost() {
    let mut stats = stats();
    let to = "https://hooks.example".to_owned();
    stats.notify = vec![NotifyStats { to, told: 1200, waiting: 3, ..NotifyStats::default() }];
    assert!(!render(&stats, &view(80)).contains("hooks"));
    let text = render(&stats, &View { all: true, ..view(80) });
    let line = "notify https://hooks.example: 1,200 events told, 3 wait, 0 are lost\n";
    assert!(text.contains(line), "{text}");
    stats.notify[0].lost = 1;
    assert!(render(&stats, &view(80)).contains("hooks"));
}

#[test]
fn removed_backends_are_shown_while_they_are_drained() {
    let mut stats = stats();
    let decision = Decision { at: NOW - 5, ..Decision::default() };
    stats.services[0].removed = vec![RemovedStats {
        name: "web-3".into(),
        address: "10.0.0.13".into(),
        state: BackendState::Draining,
        reason: "it was removed from the pool".into(),
        drain: DrainStats { decision, deadline: Some(NOW + 25), flows: 1234, silent_until: 0 },
    }];
    let text = render(&stats, &View { width: None, colour: false, all: false });
    let line = text.lines().find(|line| line.contains("web-3")).unwrap();
    assert!(line.contains("10.0.0.13               draining      5s "), "{line}");
    let note = "it was removed from the pool, 1,234 flows seen since, cut off in 25s";
    assert!(line.ends_with(note), "{line}");
    stats.services[0].removed[0].state = BackendState::Drained;
    assert!(!render(&stats, &view(200)).contains("web-3"));
}

#[test]
fn what_needs_attention_is_said() {
    let mut stats = stats();
    stats.config.last_error = Some("lb.yaml:3:1: no".into());
    stats.warnings.push("eth0 runs in generic mode".into());
    stats.services[0].fail_open = true;
    stats.services[0].backends[0].next_hop = None;
    let problem = Some("HTTP 503, expected 200-399".into());
    stats.services[0].backends[0].probe = Some(ProbeStats { problem, ..ProbeStats::default() });
    stats.services[0].backends[0].unresolved = 9;
    let text = render(&stats, &View { width: None, colour: false, all: false });
    for part in [
        "last reload refused: lb.yaml:3:1: no",
        "warning: eth0 runs in generic mode",
        "no backend is up: failing open to all",
        "last probe: HTTP 503, expected 200-399, next hop unknown, 9 packets dropped without next hop",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn colours_only_when_wanted() {
    let coloured = render(&stats(), &View { width: Some(120), colour: true, all: false });
    assert!(coloured.contains("\x1b[1;31mdead\x1b[0m"), "{coloured}");
    let plain = render(&stats(), &view(120));
    assert!(!plain.contains('\x1b'));
}

#[test]
fn an_empty_balancer_is_shown_too() {
    let text = render(&Stats::default(), &view(80));
    assert!(text.contains("received 0 = "), "{text}");
    assert!(!text.contains("SERVICE"), "{text}");
}
