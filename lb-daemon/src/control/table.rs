//! The lookup table of a service: which backend owns which slot.

use std::net::IpAddr;

use lb_common::maglev::{Member, Scratch, Turns, build};

use crate::dataplane::words_of;

/// The members of a table: (id, address, weight).
pub fn members(backends: impl IntoIterator<Item = (u16, IpAddr, u32)>) -> Vec<Member> {
    backends
        .into_iter()
        .filter(|(_, _, weight)| *weight > 0)
        .map(|(id, address, weight)| Member { id, weight, identity: words_of(address) })
        .collect()
}

/// The owner of every slot of a table of `size`, where flows are hashed with
/// `key`. All balancers with the same key make the same table.
pub fn owners(members: &[Member], size: u32, key: [u64; 2]) -> Vec<u16> {
    let mut table = vec![0; size as usize];
    let mut scratch = Scratch {
        turns: &mut vec![Turns::default(); members.len()],
        calendar: &mut vec![0; size as usize],
    };
    build(&mut table, members, key[0] ^ key[1], &mut scratch);
    table
}
