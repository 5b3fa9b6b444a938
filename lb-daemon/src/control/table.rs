//! The lookup table of a service: which backend owns which slot.
//!
//! While backends start slowly, there are two tables: the one with them at their
//! whole weight, and the one without them. A slot is taken from the first as soon
//! as its turn has come, from the second until then. So each slot moves once at
//! most in a whole slow start, where a table anew for each step would move others'
//! slots to and fro each time (with 50 backends, five times as many as the one that
//! starts is to have).

use std::{collections::BTreeMap, net::IpAddr};

use lb_common::maglev::{Member, Scratch, Turns, build};

use crate::dataplane::words_of;

/// Per cent of its weight that a backend has that does not start slowly.
pub const WHOLE: u32 = 100;

/// What a table is made of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recipe {
    /// With their whole weights.
    pub members: Vec<Member>,
    /// Per cent of its weight that a member has by now, where that is not all.
    starting: BTreeMap<u16, u32>,
}

impl Recipe {
    /// Of backends: (id, address, weight, per cent of it).
    pub fn of(backends: impl IntoIterator<Item = (u16, IpAddr, u32, u32)>) -> Self {
        let mut recipe = Self::default();
        for (id, address, weight, part) in backends {
            if weight > 0 {
                recipe.members.push(Member { id, weight, identity: words_of(address) });
                if part < WHOLE {
                    recipe.starting.insert(id, part);
                }
            }
        }
        recipe
    }

    /// The owner of every slot of a table of `size`, where flows are hashed with
    /// `key`. All balancers with the same key make the same table of the same
    /// recipe.
    pub fn owners(&self, size: u32, key: [u64; 2]) -> Vec<u16> {
        let goal = made_of(&self.members, size, key);
        if self.starting.is_empty() {
            return goal;
        }
        let part = |member: &Member| self.starting.get(&member.id).copied().unwrap_or(WHOLE);
        // Where all are starting, those who are ahead share what there is.
        let most = self.members.iter().map(part).max().unwrap_or(WHOLE);
        let (ahead, behind): (Vec<Member>, Vec<Member>) =
            self.members.iter().partition(|member| part(member) == most);
        let mut table = made_of(&ahead, size, key);
        let parts: BTreeMap<u16, u32> =
            behind.iter().map(|member| (member.id, part(member) * WHOLE / most)).collect();
        take_turns(&mut table, &goal, &parts);
        table
    }
}

fn made_of(members: &[Member], size: u32, key: [u64; 2]) -> Vec<u16> {
    let mut table = vec![0; size as usize];
    let mut scratch = Scratch {
        turns: &mut vec![Turns::default(); members.len()],
        calendar: &mut vec![0; size as usize],
    };
    build(&mut table, members, key[0] ^ key[1], &mut scratch);
    table
}

/// Brings the table nearer to its goal: so many per cent of the slots of each who is
/// starting, and of those that move between others the most of these parts.
fn take_turns(table: &mut [u16], goal: &[u16], parts: &BTreeMap<u16, u32>) {
    let rest = parts.values().copied().max().unwrap_or(WHOLE);
    let mut waiting: BTreeMap<Option<u16>, Vec<usize>> = BTreeMap::new();
    for slot in (0..goal.len()).filter(|slot| table[*slot] != goal[*slot]) {
        let whose = Some(goal[slot]).filter(|owner| parts.contains_key(owner));
        waiting.entry(whose).or_default().push(slot);
    }
    for (whose, mut slots) in waiting {
        let part = whose.and_then(|owner| parts.get(&owner).copied()).unwrap_or(rest);
        // Not those of the same neighbours first.
        slots.sort_unstable_by_key(|slot| turn(*slot));
        let by_now = (slots.len() * part as usize).div_ceil(WHOLE as usize);
        slots[..by_now].iter().for_each(|slot| table[*slot] = goal[*slot]);
    }
}

/// Scatters slots: the fractional parts of multiples of the golden ratio.
fn turn(slot: usize) -> u64 {
    (slot as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u32 = 4093;

    fn table(parts: &[u32], key: u64) -> Vec<u16> {
        let address = |index: usize| IpAddr::from([10, 0, 0, index as u8]);
        let backends = parts.iter().enumerate();
        let recipe = Recipe::of(
            backends
                .map(|(index, part)| (index as u16, address(index), u32::from(*part > 0), *part)),
        );
        recipe.owners(SIZE, [key, 0])
    }

    fn share(table: &[u16], owner: u16) -> u32 {
        table.iter().filter(|one| **one == owner).count() as u32
    }

    fn differ(one: &[u16], other: &[u16]) -> usize {
        one.iter().zip(other).filter(|(one, other)| one != other).count()
    }

    #[test]
    fn a_slow_start_moves_each_slot_once_and_ends_where_a_quick_one_does() {
        for key in 0..50 {
            let with = |part: u32| table(&[[100; 20].as_slice(), &[part]].concat(), key);
            let (from, to) = (with(0), with(100));
            let (mut before, mut moved) = (from.clone(), 0);
            for part in (10..=100).step_by(10) {
                let after = with(part);
                moved += differ(&before, &after);
                assert_eq!(share(&after, 20), (share(&to, 20) * part).div_ceil(100));
                before = after;
            }
            assert_eq!((&before, moved), (&to, differ(&from, &to)));
        }
    }

    #[test]
    fn those_who_start_together_share_as_their_parts_do() {
        for key in 0..50 {
            let both = table(&[40, 40], key);
            assert_eq!(both, table(&[100, 100], key));
            let one = table(&[80, 20], key);
            // A quarter of half of the table.
            assert!((500..=520).contains(&share(&one, 1)), "{}", share(&one, 1));
            let (first, second) = (table(&[100, 30, 10], key), table(&[100, 60, 40], key));
            let shares = |table: &[u16]| [1, 2].map(|owner| share(table, owner) * 300 / SIZE);
            assert_eq!(shares(&first), [30, 10]);
            assert_eq!(shares(&second), [60, 40]);
        }
    }
}
