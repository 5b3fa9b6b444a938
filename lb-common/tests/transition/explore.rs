//! Breadth-first exploration: the shortest way to a violation is found first.
//! In a printed way, backends may change their numbers from step to step (see
//! `normal`).

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hasher};

use crate::state::State;
use crate::world::{Event, Steps, World, owner_is_known};

pub enum Outcome {
    Holds { states: usize },
    Violated { states: usize, trace: String },
    TooMany,
}

pub fn explore(world: &World, from: &[State], limit: usize) -> Outcome {
    let mut visited = Visited { world, numbers: HashMap::default(), states: vec![] };
    for &state in from {
        visited.add(state, u32::MAX, ("starts", 0));
    }
    let mut next = 0;
    while next < visited.states.len() {
        if visited.states.len() > limit {
            return Outcome::TooMany;
        }
        let (state, ..) = visited.states[next];
        let steps = Steps::of(world, state);
        if let Some((event, why)) = steps.violation {
            return visited.violated(next, event, &why);
        }
        for (event, to) in steps.found {
            if to.flight.is_none() && !owner_is_known(world, &to) {
                return visited.violated(next, event, &format!("owner unknown: {to:?}"));
            }
            visited.add(to, next as u32, event);
        }
        next += 1;
    }
    Outcome::Holds { states: visited.states.len() }
}

struct Visited<'a> {
    world: &'a World,
    numbers: HashMap<State, (), BuildHasherDefault<Quick>>,
    /// With the state it was reached from, and how.
    states: Vec<(State, u32, Event)>,
}

impl Visited<'_> {
    fn add(&mut self, mut state: State, from: u32, event: Event) {
        state.normalize();
        if self.world.mutant.is_none() {
            state.normalize_void_entry();
        }
        state.renumber();
        if self.numbers.insert(state, ()).is_none() {
            self.states.push((state, from, event));
        }
    }

    fn violated(&self, last: usize, event: Event, why: &str) -> Outcome {
        let mut way = vec![];
        let mut at = last as u32;
        while at != u32::MAX {
            let (state, from, event) = self.states[at as usize];
            way.push((event, state));
            at = from;
        }
        let mut trace = String::new();
        for ((event, detail), state) in way.into_iter().rev() {
            let word = state.word;
            writeln!(
                trace,
                "{event} {detail}: current {} settled {} epoch {} L {} S {}, {:?}, {:?}",
                word.current(),
                word.settled(),
                word.epoch(),
                word.look_up(),
                word.store(),
                state.entry,
                state.client,
            )
            .expect("a string has room");
        }
        let (event, detail) = event;
        writeln!(trace, "{event} {detail}: {why}").expect("a string has room");
        Outcome::Violated { states: self.states.len(), trace }
    }
}

/// A hasher for small keys that nobody chooses.
#[derive(Default)]
struct Quick(u64);

impl Hasher for Quick {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte as u64);
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word as u64);
    }
}
