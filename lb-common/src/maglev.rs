//! Maglev hashing (Eisenbud et al., NSDI 2016): which backend owns which slot.
//!
//! Every member has a permutation of the slots, made from its identity and the
//! table's seed. Members take turns; in its turn a member takes the first slot
//! of its permutation that is still free. All balancers that know the same
//! members and the same seed make the same table, whatever order they list
//! them in, and a member that goes leaves most slots of the others in place.
//!
//! Weights decide how often a member has its turn. Turns are kept in a
//! calendar, one list of members per round, so that a table with one heavy and
//! a thousand light members costs no more than one with equal weights.

use crate::abi::NO_BACKEND;

/// Smallest and largest table.
pub const MIN_SIZE: u32 = 251;
pub const MAX_SIZE: u32 = 65_537;

const OCCUPIED_WORDS: usize = MAX_SIZE.div_ceil(64) as usize;

/// Marks the end of a calendar list. Not an index: members have 16-bit ids,
/// two of which are reserved.
const NONE: u16 = u16::MAX;

/// One who may own slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// What stands in the table.
    pub id: u16,
    /// The share of slots, relative to the others. 0: none.
    pub weight: u32,
    /// What the permutation is made from, the same on every balancer: the
    /// backend's address, for instance. Must differ between members.
    pub identity: [u64; 2],
}

/// A member's way through its permutation and through the rounds. Made by
/// [`build`]; callers only provide the space.
#[derive(Clone, Copy, Default, Debug)]
pub struct Turns {
    position: u32,
    skip: u32,
    round: u32,
    /// The exact round is `round + fraction / denominator`.
    fraction: u64,
    denominator: u64,
    round_step: u32,
    fraction_step: u64,
    id: u16,
    next_in_round: u16,
    weight: u32,
    identity: [u64; 2],
}

/// Space that [`build`] works in; what it holds before and after is of no
/// account.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// At least as many as there are members.
    pub turns: &'a mut [Turns],
    /// At least as long as the table.
    pub calendar: &'a mut [u16],
}

/// Fills `table` with the ids of its owners, or with [`NO_BACKEND`] when no
/// member has any weight.
///
/// # Panics
/// If the table's length is not a prime from [`MIN_SIZE`] to [`MAX_SIZE`], if
/// there are more members than slots, or if the scratch space is too small.
pub fn build(table: &mut [u16], members: &[Member], seed: u64, scratch: &mut Scratch<'_>) {
    assert!(table.len() <= MAX_SIZE as usize && table.len() >= MIN_SIZE as usize);
    let size = table.len() as u32;
    assert!(is_prime(size), "a table of {size} slots: the size must be prime");

    let turns = start_turns(&mut scratch.turns[..members.len()], members, seed, size);
    if turns.is_empty() {
        table.fill(NO_BACKEND);
        return;
    }
    assert!(turns.len() <= table.len(), "more members than slots");
    let calendar = &mut scratch.calendar[..table.len()];
    calendar.fill(NONE);
    // The list of a round is last in, first out: the first round in reverse, too.
    for index in (0..turns.len()).rev() {
        enter(calendar, turns, index as u16);
    }
    take_turns(table, turns, calendar);
}

/// The members that have a weight, sorted by identity, before their first turn.
fn start_turns<'a>(
    turns: &'a mut [Turns],
    members: &[Member],
    seed: u64,
    size: u32,
) -> &'a mut [Turns] {
    let mut count = 0;
    for member in members.iter().filter(|member| member.weight > 0) {
        turns[count] = Turns {
            id: member.id,
            weight: member.weight,
            identity: member.identity,
            ..Turns::default()
        };
        count += 1;
    }
    let turns = &mut turns[..count];
    turns.sort_unstable_by_key(|turn| turn.identity);
    let heaviest = turns.iter().map(|turn| turn.weight).max().unwrap_or(1) as u64;
    for turn in &mut *turns {
        let first = mix(mix(seed ^ turn.identity[0]) ^ turn.identity[1]);
        turn.position = scale(first, size);
        turn.skip = scale(mix(first), size - 1) + 1;
        // The n-th turn is in round (n + 1/2) * heaviest / weight, rounded down:
        // the half rounds every member's share to the nearest whole slot.
        let weight = turn.weight as u64;
        turn.denominator = 2 * weight;
        turn.round = (heaviest / turn.denominator) as u32;
        turn.fraction = heaviest % turn.denominator;
        turn.round_step = (heaviest / weight) as u32;
        turn.fraction_step = 2 * (heaviest % weight);
    }
    turns
}

/// Enters a member into the list of its round, if the table lasts that long.
fn enter(calendar: &mut [u16], turns: &mut [Turns], index: u16) {
    let turn = &mut turns[index as usize];
    if let Some(list) = calendar.get_mut(turn.round as usize) {
        turn.next_in_round = *list;
        *list = index;
    }
}

fn take_turns(table: &mut [u16], turns: &mut [Turns], calendar: &mut [u16]) {
    let mut occupied = [0u64; OCCUPIED_WORDS];
    let size = table.len() as u32;
    let mut free = table.len();
    // The heaviest member has a turn in every round: the table is full before
    // the rounds are over.
    for round in 0..calendar.len() {
        let mut index = calendar[round];
        while index != NONE {
            let turn = &mut turns[index as usize];
            table[take_slot(turn, &mut occupied, size) as usize] = turn.id;
            free -= 1;
            if free == 0 {
                return;
            }
            let next = turn.next_in_round;
            turn.advance();
            enter(calendar, turns, index);
            index = next;
        }
    }
}

/// The first free slot on the member's way.
fn take_slot(turn: &mut Turns, occupied: &mut [u64; OCCUPIED_WORDS], size: u32) -> u32 {
    loop {
        let slot = turn.position;
        turn.position += turn.skip;
        if turn.position >= size {
            turn.position -= size;
        }
        let word = &mut occupied[slot as usize / 64];
        let bit = 1 << (slot % 64);
        if *word & bit == 0 {
            *word |= bit;
            return slot;
        }
    }
}

impl Turns {
    fn advance(&mut self) {
        self.round = self.round.saturating_add(self.round_step);
        self.fraction += self.fraction_step;
        if self.fraction >= self.denominator {
            self.fraction -= self.denominator;
            self.round = self.round.saturating_add(1);
        }
    }
}

/// The finaliser of SplitMix64.
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// A hash as a number below `range`.
const fn scale(hash: u64, range: u32) -> u32 {
    (((hash >> 32) * range as u64) >> 32) as u32
}

/// Whether a table may have `size` slots.
pub const fn is_valid_size(size: u32) -> bool {
    size >= MIN_SIZE && size <= MAX_SIZE && is_prime(size)
}

const fn is_prime(number: u32) -> bool {
    if number < 4 {
        return number > 1;
    }
    if number.is_multiple_of(2) {
        return false;
    }
    let mut divisor = 3;
    while divisor * divisor <= number {
        if number.is_multiple_of(divisor) {
            return false;
        }
        divisor += 2;
    }
    true
}
