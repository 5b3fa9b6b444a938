use std::net::{IpAddr, Ipv4Addr};

use lb_common::{
    abi::{MAX_PORTS, MAX_VIPS, PortEntry, Unserved, VipEntry},
    lookup::{port_buckets, port_in, vip_buckets, vip_in},
};

use super::{DataPlane, Fake, PortTable, VipTable, address_of, words_of};

/// As the data path looks a VIP up.
fn find_vip(plane: &Fake, address: IpAddr) -> Option<u64> {
    let words = words_of(address);
    vip_buckets(words).into_iter().find_map(|bucket| vip_in(&plane.vip_bucket(bucket), words))
}

/// As the data path looks a port up.
fn find_port(plane: &Fake, key: u64) -> Option<u16> {
    port_buckets(key).into_iter().find_map(|bucket| port_in(&plane.port_bucket(bucket), key))
}

#[test]
fn every_vip_that_fits_the_limit_finds_a_place_and_is_found() {
    let (mut plane, mut table) = (Fake::default(), VipTable::default());
    let address = |n: u32| IpAddr::from(Ipv4Addr::from_bits(0xcb00_7100 + n));
    for n in 0..MAX_VIPS {
        let meta = VipEntry::meta(n as u16, Unserved::Reject, false, false);
        table.set(&mut plane, address(n), meta).unwrap();
    }
    for n in 0..MAX_VIPS {
        assert_eq!(find_vip(&plane, address(n)).map(VipEntry::id_of), Some(n as u16));
    }
    assert_eq!(find_vip(&plane, address(MAX_VIPS)), None);
    assert_eq!(VipTable::read(&plane).iter().count(), MAX_VIPS as usize);
}

#[test]
fn every_port_that_fits_the_limit_finds_a_place_and_is_found() {
    let (mut plane, mut table) = (Fake::default(), PortTable::default());
    let entry = |n: u32| PortEntry::new((n / 8) as u16, 6, 80 + (n % 8) as u16, n as u16);
    for n in 0..MAX_PORTS {
        table.set(&mut plane, entry(n)).unwrap();
    }
    for n in 0..MAX_PORTS {
        assert_eq!(find_port(&plane, entry(n).key()), Some(n as u16));
    }
}

#[test]
fn a_removed_vip_is_not_found_and_its_place_rests_for_a_second() {
    let (mut plane, mut table) = (Fake::default(), VipTable::default());
    let address: IpAddr = "2001:db8::80".parse().unwrap();
    let meta = VipEntry::meta(7, Unserved::Drop, true, false);
    table.set(&mut plane, address, meta).unwrap();
    let first = table.entries_place(address);
    table.remove(&mut plane, address).unwrap();
    assert_eq!(find_vip(&plane, address), None);
    table.set(&mut plane, address, meta).unwrap();
    assert_ne!(table.entries_place(address), first, "reused at once");
    table.remove(&mut plane, address).unwrap();
    table.pass(plane.now + 1000, 1000);
    table.set(&mut plane, address, meta).unwrap();
    assert_eq!(table.entries_place(address), first);
}

#[test]
fn a_port_changes_its_service_in_place() {
    let (mut plane, mut table) = (Fake::default(), PortTable::default());
    let old = PortEntry::new(3, 17, 53, 1);
    let new = PortEntry::new(3, 17, 53, 2);
    table.set(&mut plane, old).unwrap();
    table.set(&mut plane, new).unwrap();
    assert_eq!(find_port(&plane, old.key()), Some(2));
    assert_eq!(plane.writes[0], plane.writes[1]);
    table.remove(&mut plane, old.key()).unwrap();
    assert_eq!(find_port(&plane, old.key()), None);
}

#[test]
fn addresses_of_both_families_come_back() {
    for address in ["192.0.2.1", "2001:db8::1", "::"] {
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(address_of(words_of(address)), address);
    }
}
