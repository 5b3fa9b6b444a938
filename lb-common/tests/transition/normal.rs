//! States that differ in nothing the rules ask for are made one, so that the
//! world is small enough to be explored.

use lb_common::abi::{ASK_OLD, FlowState, NO_BACKEND, SlotWord};

use crate::state::{ARMING, BACKENDS, Client, Entry, OLD, SECOND, State};

impl State {
    /// Makes states that differ in nothing the rules ask for the same.
    pub fn normalize(&mut self) {
        let (looks_up, stores) = (self.word.look_up(), self.word.store());
        if self.word.settled() != ASK_OLD {
            self.old_word = None;
        }
        if !stores {
            self.base = OLD;
            if self.written >= SECOND || !looks_up {
                self.written = OLD;
            }
            if self.failed >= ARMING {
                self.failed = OLD;
            }
        } else {
            if self.failed > self.base && self.failed >= ARMING {
                self.failed = OLD;
            }
            // Which came first, the write or the failure, counts under `reset`.
            if self.written >= SECOND {
                self.written = if self.failed <= self.written { OLD } else { SECOND };
            }
        }
        if self.client == Client::Quiet {
            self.copies = 0;
        }
    }

    /// The same, for an entry that no packet will ever find valid; only with
    /// all the rules in force.
    pub fn normalize_void_entry(&mut self) {
        if let Some(entry) = &mut self.entry
            && self.flight.is_none()
            && self.word.settled() != ASK_OLD
            && (entry.epoch != self.word.epoch() || !self.word.look_up())
        {
            *entry = Entry { owner: NO_BACKEND, state: FlowState::Open, age: OLD, ..*entry };
        }
    }

    /// The rules tell backends apart only by where they stand: they are
    /// numbered in the order in which the state names them.
    pub fn renumber(&mut self) {
        let mut order = vec![];
        let mut see = |id: u16| {
            if id < BACKENDS && !order.contains(&id) {
                order.push(id);
            }
        };
        let flying = self.flight.map(|flight| flight.word);
        for word in
            [Some(self.word), self.second_store, self.old_word, flying].into_iter().flatten()
        {
            see(word.current());
            see(word.settled());
        }
        self.entry.iter().for_each(|entry| see(entry.owner));
        self.flight.iter().flat_map(|flight| flight.owner).for_each(&mut see);
        let mut others: Vec<u16> = (0..BACKENDS).collect();
        others.sort_by_key(|&id| (self.client_knows(id), self.health_of(id) as u8));
        others.into_iter().for_each(see);

        let mut number = [0; BACKENDS as usize];
        for (new, &old) in (0..).zip(&order) {
            number[old as usize] = new;
        }
        self.replace(|id| if id < BACKENDS { number[id as usize] } else { id });
    }

    fn client_knows(&self, id: u16) -> bool {
        match self.client {
            Client::Quiet => false,
            Client::Opening { reached, .. } => reached & 1 << id != 0,
            Client::Open { owner, .. } => owner == id,
        }
    }

    fn replace(&mut self, number: impl Fn(u16) -> u16) {
        let in_word = |word: &mut SlotWord| {
            *word = word.with_current(number(word.current())).with_settled(number(word.settled()));
        };
        in_word(&mut self.word);
        self.second_store.iter_mut().for_each(in_word);
        self.old_word.iter_mut().for_each(in_word);
        self.entry.iter_mut().for_each(|entry| entry.owner = number(entry.owner));
        if let Some(flight) = &mut self.flight {
            in_word(&mut flight.word);
            flight.owner = flight.owner.map(&number);
        }
        match &mut self.client {
            Client::Quiet => {}
            Client::Opening { reached, .. } => {
                let bits = *reached;
                let moved = (0..BACKENDS).filter(|id| bits & 1 << id != 0);
                *reached = moved.map(|id| 1 << number(id)).sum();
            }
            Client::Open { owner, .. } => *owner = number(*owner),
        }
        let health = self.health;
        for id in 0..BACKENDS {
            self.health[number(id) as usize] = health[id as usize];
        }
    }
}
