//! What is measured: each case is a path through the program and the packets
//! that take it.

use crate::kernel::Target;
use crate::world::{Family, Group, Mode, Slots, World};

pub const FLOWS: [u32; 3] = [1, 1 << 16, 1 << 20];

/// What a case's packets do in the program.
#[derive(Clone, Copy, Debug)]
pub enum Path {
    /// A floor: the harness and next to nothing.
    Floor(Target),
    /// To no VIP: on to the kernel.
    NotVip,
    /// To a backend of the group.
    Backend(Group, State),
    /// Of a translated flow of the group.
    Nat(Group, Way),
}

/// Which packet of a translated flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// A client's, of an established flow.
    Forward,
    /// A backend's, of an established flow.
    Reply,
    /// The first one of a new flow, beside so many established ones.
    New,
}

/// Of the flow's slot, and what the flow table says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    AtRest,
    /// The same, and the packet is a SYN.
    Syn,
    Hit,
    Miss,
    Insert,
}

#[derive(Clone, Debug)]
pub struct Case {
    /// Short and stable: the key in the JSON.
    pub name: String,
    pub text: String,
    pub path: Path,
    pub family: Family,
    pub flows: u32,
}

/// Last 32 bits of an address that is no VIP.
pub const NO_VIP: u32 = 0xc612_0001;

/// All cases, with their services made.
pub fn all(world: &mut World) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, text: String, path, family, flows: &[u32]| {
        for &flows in flows {
            let text = text.clone();
            cases.push(Case { name: name.clone(), text, path, family, flows });
        }
    };
    let floors = [
        ("floor-tx", "harness + XDP_TX", Target::FloorTx),
        ("floor-head", "harness + adjust_head", Target::FloorHead),
        ("floor-pass", "harness + XDP_PASS", Target::FloorPass),
    ];
    for (name, text, target) in floors {
        add(name.into(), text.into(), Path::Floor(target), Family::V4, &FLOWS[..1]);
    }
    for family in [Family::V4, Family::V6] {
        let (key, word) = name(family);
        let text = format!("not a VIP, {word}");
        add(format!("not-a-vip-{key}"), text, Path::NotVip, family, &FLOWS);
    }
    for mode in [Mode::Dsr, Mode::Ipip] {
        for family in [Family::V4, Family::V6] {
            let (key, word) = name(family);
            let m = if mode == Mode::Dsr { "dsr" } else { "ipip" };
            let one = world.add(mode, family, Slots::AtRest, 1);
            let rest = Path::Backend(one, State::AtRest);
            add(format!("{m}-{key}"), format!("{m} {word}"), rest, family, &FLOWS);
            let watched = world.add_watched(mode, family);
            for (what, text, group) in
                [("syn", "SYN", one), ("syn-watched", "SYN, `passive: on`", watched)]
            {
                let path = Path::Backend(group, State::Syn);
                add(
                    format!("{m}-{key}-{what}"),
                    format!("{m} {word}, {text}"),
                    path,
                    family,
                    &FLOWS,
                );
            }
            let many = Path::Backend(world.add(mode, family, Slots::AtRest, 100), State::AtRest);
            let text = format!("{m} {word}, 100 services");
            add(format!("{m}-{key}-100"), text, many, family, &FLOWS);
            let look_up = world.add(mode, family, Slots::LookUp, 1);
            let store = world.add(mode, family, Slots::Store, 1);
            for (state, what, group, flows) in [
                (State::Miss, "miss", look_up, &FLOWS[..]),
                (State::Insert, "insert", store, &FLOWS[1..]),
                (State::Hit, "hit", store, &FLOWS[..]),
            ] {
                let text = format!("{m} {word}, in transition, {what}");
                let path = Path::Backend(group, state);
                add(format!("{m}-{key}-{what}"), text, path, family, flows);
            }
        }
    }
    translated(world, &mut cases);
    cases
}

/// The three ways in turn for each number of flows, which are held from one
/// case to the next.
fn translated(world: &mut World, cases: &mut Vec<Case>) {
    for mode in [Mode::Nat, Mode::Dnat] {
        for family in [Family::V4, Family::V6] {
            let (key, word) = name(family);
            let m = if mode == Mode::Nat { "nat" } else { "dnat" };
            let group = world.add(mode, family, Slots::AtRest, 1);
            for flows in FLOWS {
                for (way, what, text) in [
                    (Way::Forward, "forward", "established, forward"),
                    (Way::Reply, "reply", "established, reply"),
                    (Way::New, "new", "new flow"),
                ] {
                    let name = format!("{m}-{key}-{what}");
                    let text = format!("{m} {word}, {text}");
                    cases.push(Case { name, text, path: Path::Nat(group, way), family, flows });
                }
            }
        }
    }
}

fn name(family: Family) -> (&'static str, &'static str) {
    match family {
        Family::V4 => ("v4", "TCP/IPv4"),
        Family::V6 => ("v6", "TCP/IPv6"),
    }
}
