//! Services that translate: what their flows need stays until they have ended.

use lb_common::{
    abi::{NatBody, NatEntry, NatState, VipEntry, service_flags as flag},
    hash::FlowWords,
    nat::table::{Table, Taking, publish},
};

use super::world::{SECOND, World, address, service};
use crate::{
    dataplane::{DataPlane, words_of},
    health::State,
    nat::Page,
};

/// Service `name` at 192.0.2.VIP:80 with `nat` and a pool of 10.0.9.SOURCE.
fn nat(name: &str, vip: u8, source: u8, backends: &[(u8, u16)]) -> String {
    let pool = format!("mode: nat, snat: {{addresses: [10.0.9.{source}], ports: 20000-20099}}");
    service(name, vip, "", backends).replace("mode: dsr", &pool)
}

impl World {
    /// A flow of `name` to 10.0.0.BACKEND from 10.0.9.SOURCE, that lives so long.
    fn open(&mut self, name: &str, backend: u8, source: u8, seconds: u64) {
        let known = &self.controller.identity.services[name];
        let id = known.backends[&address(backend)];
        let ports = |ports: [u16; 2]| {
            let [[a, b], [c, d]] = ports.map(u16::to_be_bytes);
            FlowWords::pack_ports([a, b, c, d], 6)
        };
        let key = FlowWords {
            source: words_of(address(backend)),
            destination: words_of([10, 0, 9, source].into()),
            ports: ports([80, 20001]),
        };
        let to = FlowWords {
            source: words_of([192, 0, 2, 1].into()),
            destination: words_of([198, 51, 100, 7].into()),
            ports: ports([80, 51234]),
        };
        let entry = NatEntry { to, backend: id, service: known.entry, ..NatEntry::default() };
        let tables = self.controller.nat.tables();
        let hash = lb_common::nat::table::NatHash::of(&key, [0; 2]);
        let now = self.controller.plane.now;
        let claim = tables.narrow.claim(&key, hash, Taking::expired(now, 0, false));
        let line = tables.narrow.line(claim.0).expect("there is room");
        line.body.write(&key, &entry, true);
        publish(line, NatState::Established, now + seconds * SECOND);
    }

    fn flags(&self, name: &str) -> u32 {
        let entry = self.controller.identity.services[name].entry;
        self.controller.plane.service(entry).flags
            & (flag::NAT | flag::NAT_LOOKUP | flag::DIRECT_TOO)
    }

    fn is_source(&self, source: u8) -> bool {
        let meta = self.controller.vips.get([10, 0, 9, source].into());
        meta.is_some_and(VipEntry::is_nat_source)
    }

    fn flows(&self) -> usize {
        let (tables, directory) = (self.controller.nat.tables(), self.controller.nat.directory());
        let page = Page::find(&tables, &directory, &Default::default(), self.controller.plane.now);
        page.unwrap().flows.len()
    }
}

#[test]
fn a_source_that_is_not_configured_any_more_stays_for_its_flows() {
    let mut world = World::new(&[nat("web", 1, 1, &[(1, 1)])]);
    world.pass(2);
    world.open("web", 1, 1, 30);
    world.reload(&[nat("web", 1, 2, &[(1, 1)])]).unwrap();
    world.pass(25);
    assert!(world.is_source(1) && world.is_source(2));
    world.pass(15);
    assert!(!world.is_source(1) && world.is_source(2));
}

#[test]
fn a_source_without_flows_goes_after_a_pass() {
    let mut world = World::new(&[nat("web", 1, 1, &[(1, 1)])]);
    world.reload(&[nat("web", 1, 2, &[(1, 1)])]).unwrap();
    assert!(world.is_source(1), "nobody has looked yet");
    world.pass(4);
    assert!(!world.is_source(1));
}

#[test]
fn a_new_daemon_keeps_the_source_that_flows_of_the_one_before_have() {
    let mut world = World::new(&[nat("web", 1, 1, &[(1, 1)])]);
    world.pass(2);
    let mut world = world.succeed(&[nat("web", 1, 2, &[(1, 1)])]);
    world.open("web", 1, 1, 1000);
    world.resolve();
    world.controller.start().unwrap();
    world.settle();
    world.pass(10);
    assert!(world.is_source(1) && world.is_source(2));
}

#[test]
fn a_removed_backend_keeps_its_number_while_it_has_flows() {
    let mut world = World::new(&[nat("web", 1, 1, &[(1, 1), (2, 1)])]);
    world.found("web", 1, State::Up);
    world.pass(2);
    let id = world.id("web", 2).unwrap();
    world.open("web", 2, 1, 200);
    world.reload(&[nat("web", 1, 1, &[(1, 1)])]).unwrap();
    world.pass(150);
    assert_eq!(world.id("web", 2), Some(id));
    assert_ne!(world.backend(id).flags, 0, "its flows still find it");
    world.pass(100);
    assert_eq!(world.id("web", 2), None);
}

#[test]
fn flows_of_a_removed_service_end() {
    let mut world = World::new(&[nat("web", 1, 1, &[(1, 1)]), service("dns", 2, "", &[(1, 1)])]);
    world.pass(2);
    world.open("web", 1, 1, 10_000);
    assert_eq!(world.flows(), 1);
    world.reload(&[service("dns", 2, "", &[(1, 1)])]).unwrap();
    world.pass(6);
    assert_eq!(world.flows(), 0);
    assert!(!world.is_source(1));
    assert_eq!(world.controller.resting_entries, []);
}

#[test]
fn the_entry_before_a_change_of_table_stays_for_flows_that_name_it() {
    let small = nat("web", 1, 1, &[(1, 1)]);
    let mut world = World::new(std::slice::from_ref(&small));
    world.pass(2);
    let entry = world.controller.identity.services["web"].entry;
    world.open("web", 1, 1, 100);
    world.reload(&[small.replace("251", "509")]).unwrap();
    world.pass(60);
    assert_ne!(world.controller.identity.services["web"].entry, entry);
    assert_ne!(world.controller.plane.service(entry).flags, 0);
    assert_eq!(world.flows(), 1);
    world.pass(60);
    assert_eq!(world.controller.plane.service(entry).flags, 0);
}

#[test]
fn from_dsr_to_nat_connections_go_on_directly_until_they_are_silent() {
    let mut world = World::new(&[service("web", 1, "", &[(1, 1)])]);
    world.pass(2);
    world.reload(&[nat("web", 1, 1, &[(1, 1)])]).unwrap();
    let all = flag::NAT | flag::NAT_LOOKUP | flag::DIRECT_TOO;
    assert_eq!(world.flags("web"), all);
    world.pass(15);
    let entry = world.controller.identity.services["web"].entry;
    let mut seen = world.controller.plane.service(entry);
    seen.direct_at = world.controller.plane.now;
    world.controller.plane.set_service(entry, &seen);
    world.pass(15);
    assert_eq!(world.flags("web"), all, "a packet came 15 s ago; idle is 20 s");
    world.pass(10);
    assert_eq!(world.flags("web"), flag::NAT | flag::NAT_LOOKUP);
}

#[test]
fn from_nat_to_dsr_flows_are_looked_up_until_the_last_has_ended() {
    let mut world = World::new(&[nat("web", 1, 1, &[(1, 1)])]);
    world.pass(2);
    world.open("web", 1, 1, 30);
    world.reload(&[service("web", 1, "", &[(1, 1)])]).unwrap();
    assert_eq!(world.flags("web"), flag::NAT_LOOKUP);
    world.pass(25);
    assert_eq!(world.flags("web"), flag::NAT_LOOKUP);
    assert!(world.is_source(1));
    world.pass(15);
    assert_eq!(world.flags("web"), 0);
    assert!(!world.is_source(1));
}

#[test]
fn answers_between_the_families_are_looked_for_while_flows_live() {
    let mixed = nat("web", 1, 1, &[(1, 1)]).replace("192.0.2.1", "'2001:db8::1'");
    let plain = [nat("web", 1, 1, &[(1, 1)])];
    let mut world = World::new(&[mixed]);
    assert_eq!(world.controller.plane.nat_settings().mixed, 1);
    world.open("web", 1, 1, 100);
    world.reload(&plain).unwrap();
    assert_eq!(world.controller.plane.nat_settings().mixed, 1);
    world.pass(120);
    world.reload(&plain).unwrap();
    assert_eq!(world.controller.plane.nat_settings().mixed, 0);
}
