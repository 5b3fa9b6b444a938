//! Who has which address.

use std::net::{Ipv4Addr, Ipv6Addr};

pub const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
pub const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);
pub const BALANCER: Ipv4Addr = lan(2);
pub const BALANCER6: Ipv6Addr = lan6(2);
/// In the network behind the balancer.
pub const INNER_BALANCER: Ipv4Addr = inner(2);
pub const INNER_BALANCER6: Ipv6Addr = inner6(2);

/// A host of the LAN.
pub(crate) const fn lan(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, number)
}

pub(crate) const fn lan6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, number as u16)
}

/// The backend of this number, from 1 on.
pub const fn backend(number: usize) -> Ipv4Addr {
    lan(10 + number as u8)
}

pub const fn backend6(number: usize) -> Ipv6Addr {
    lan6(10 + number as u8)
}

/// A host of the network behind the balancer.
pub(crate) const fn inner(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 1, number)
}

pub(crate) const fn inner6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 3, 0, 0, 0, 0, number as u16)
}

/// The backend of this number, where backends are behind the balancer.
pub const fn inner_backend(number: usize) -> Ipv4Addr {
    inner(10 + number as u8)
}

pub const fn inner_backend6(number: usize) -> Ipv6Addr {
    inner6(10 + number as u8)
}

/// An address that the router sends to the balancer.
pub const fn vip(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(203, 0, 113, number)
}

pub const fn vip6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, number as u16)
}
