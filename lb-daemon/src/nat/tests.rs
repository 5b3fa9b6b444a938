//! A pass and a page over tables that no program sees.

use lb_common::{
    abi::{NatBody, NatEntry, NatState},
    hash::FlowWords,
    nat::table::{Claim, NatHash, Table, Taking, publish},
};

use super::{
    BackendName, Buckets, Directory, FilterError, NatTables, Page, Pass, Query, Registry,
    ServiceName,
};
use crate::dataplane::{Ticks, words_of};

const NOW: u64 = 1 << 32;

fn directory() -> Directory {
    let mut directory = Directory::empty(Ticks::new(1000).unwrap());
    directory.version = 7;
    let entry = lb_common::abi::Service { tcp_idle: 100_000, ..Default::default() };
    directory.services.insert(3, ServiceName { name: "web".into(), entry });
    let name = |name: &str| BackendName {
        service: "web".into(),
        name: name.into(),
        address: "10.0.0.1".parse().unwrap(),
    };
    directory.backends.insert(5, name("web-1"));
    directory.backends.insert(6, name("web-2"));
    directory
}

fn registry(narrow: u32) -> Registry {
    let buckets = Buckets { narrow, narrow_new: 1, wide: 1, wide_new: 1 };
    Registry::new(NatTables::of_nothing(buckets).unwrap(), directory())
}

/// Flow number `number`: both its lines, unless its buckets are full.
fn open(tables: &NatTables, number: u32, expires: u64) -> bool {
    let client = std::net::Ipv4Addr::from(0xc633_0000 + number);
    let ends = |source: [u8; 4], destination: [u8; 4]| FlowWords {
        source: words_of(source.into()),
        destination: words_of(destination.into()),
        ports: FlowWords::pack_ports([0, 80, 200, 1], 6),
    };
    let outside = ends(client.octets(), [192, 0, 2, 1]);
    let mut inside = ends([10, 0, 9, 1], [10, 0, 0, 1]);
    inside.ports =
        FlowWords::pack_ports([(number >> 8) as u8, number as u8, (number >> 16) as u8, 80], 6);
    let backend = 5 + (number & 1) as u16;
    let entry = |to| NatEntry { to, backend, service: 3, began: NOW - 5000, ..NatEntry::default() };
    let lines = [(inside.reversed(), outside.reversed(), true), (outside, inside, false)];
    lines.into_iter().all(|(key, to, reverse)| {
        let hash = NatHash::of(&key, [0; 2]);
        let taking = Taking::expired(NOW, 0, false);
        let claim = tables.narrow.claim(&key, hash, taking);
        if matches!(claim, Claim::FULL | Claim::EXISTS) {
            return false;
        }
        let line = tables.narrow.line(claim.0).unwrap();
        line.body.write(&key, &entry(to), reverse);
        line.body.rest().count(if reverse { 200 } else { 100 });
        publish(line, NatState::Established, expires);
        true
    })
}

fn query(text: &str) -> Query {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_pass_counts_what_lives_and_tells_of_what_has_ended_with_both_its_lines() {
    let registry = registry(100);
    let tables = registry.tables();
    for number in 0..100 {
        assert!(open(&tables, number, NOW + if number < 30 { 10 } else { 1000 }));
    }
    let mut ended = Vec::new();
    let mut pass = Pass::begin(&registry);
    while pass.slice(NOW + 500, &mut |one| ended.push(*one)) {}
    let census = pass.finish();
    assert_eq!((census.version, census.flows()), (7, 70));
    assert_eq!((census.flows_to(5), census.flows_to(6)), (35, 35));
    assert!(!census.has_no_service(3, 7) && census.has_no_service(4, 7));
    assert!(!census.has_no_service(4, 8), "a pass that knew less says nothing");
    assert_eq!(ended.len(), 30);
    for one in ended {
        assert_eq!((one.reverse.bytes, one.forward.unwrap().bytes), (200, 100));
    }
}

#[test]
fn pages_show_every_flow_once() {
    let registry = registry(2000);
    let (tables, directory) = (registry.tables(), registry.directory());
    for number in 0..3000 {
        assert!(open(&tables, number, NOW + 1000));
    }
    let (mut clients, mut from, mut pages) = (std::collections::HashSet::new(), Some(0), 0);
    while let Some(place) = from {
        let query = Query { from: place, limit: Some(usize::MAX), ..Query::default() };
        let page = Page::find(&tables, &directory, &query, NOW).unwrap();
        assert!(page.flows.len() < 1010 && page.more == 0);
        for flow in page.flows {
            assert!(clients.insert(flow.ends.client.clone()), "twice: {flow:?}");
            assert_eq!((flow.age, flow.bytes, flow.reply_bytes), (Some(5.0), Some(100), 200));
        }
        (from, pages) = (page.next, pages + 1);
    }
    assert_eq!((clients.len(), pages), (3000, 3));
    let few = Page::find(&tables, &directory, &query(r#"{"limit":10}"#), NOW).unwrap();
    assert_eq!(few.flows.len() as u64 + few.more, 3000);
}

#[test]
fn a_query_chooses_by_client_backend_and_service() {
    let registry = registry(100);
    let (tables, directory) = (registry.tables(), registry.directory());
    for number in 0..20 {
        assert!(open(&tables, number, NOW + 1000));
    }
    let found = |text| Page::find(&tables, &directory, &query(text), NOW);
    let count = |text| found(text).unwrap().flows.len();
    assert_eq!(count("{}"), 20);
    assert_eq!(count(r#"{"client":"198.51.0.3"}"#), 1);
    assert_eq!(count(r#"{"client":"198.51.0.3:80"}"#), 1);
    assert_eq!(count(r#"{"client":"198.51.0.3:81"}"#), 0);
    assert_eq!(count(r#"{"backend":"web-2"}"#), 10);
    assert_eq!(count(r#"{"backend":"10.0.0.1:80","service":"web"}"#), 20);
    let wrong = found(r#"{"backend":"web-3"}"#).unwrap_err().to_string();
    assert!(wrong.contains("did you mean \"web-1\"?; backends: web-1, web-2"), "{wrong}");
    let wrong = found(r#"{"client":"web"}"#).unwrap_err();
    assert_eq!(wrong, FilterError::NoAddress("web".into()));
}
