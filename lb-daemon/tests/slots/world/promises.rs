//! What must hold after every step, and in the end.

use super::*;

impl World {
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.ids_are_used_again()?;
        for slot in 0..self.service.table.count {
            let word = self.engine.memory().load(self.service.table.base + slot);
            if !word.store() && word.current() != word.settled() {
                return Err(format!("slot {slot}: S = 0 but {word:?}"));
            }
        }
        for tuple in 0..TUPLES {
            if let Some(owner) = self.clients[tuple as usize].owner()
                && !self.dead[owner as usize]
                && self.named_owner(tuple) != owner
            {
                let named = self.named_owner(tuple);
                return Err(format!("tuple {tuple} is owned by {owner}, but {named} is named"));
            }
        }
        Ok(())
    }

    /// Whom the entry or the words name as the owner of the tuple's flow.
    pub(super) fn named_owner(&self, tuple: u64) -> u16 {
        let word = self.engine.memory().load(self.index(tuple));
        if !word.look_up() {
            return word.current();
        }
        let old = self.old_index(tuple).filter(|_| word.settled() == ASK_OLD);
        let old = old.map(|index| self.engine.memory().load(index));
        let is_valid = |entry: &&FlowEntry| {
            let epoch = entry.owner.epoch();
            let of_old = old.is_some_and(|old| old.look_up() && old.epoch() == epoch);
            let expired = is_udp(tuple) && self.now - entry.seen.ticks() > UDP_IDLE as u64;
            (epoch == word.epoch() || of_old) && !expired
        };
        match self.flows.get(&tuple).filter(is_valid) {
            Some(entry) => entry.owner.backend(),
            None => self.unstored_owner(word, old),
        }
    }

    pub(super) fn unstored_owner(&self, word: SlotWord, old: Option<SlotWord>) -> u16 {
        let settled = old.unwrap_or(word).settled();
        let is_dead = settled >= BACKENDS || self.dead[settled as usize];
        match (is_dead, word.current(), old) {
            (false, ..) => settled,
            (true, ASK_OLD, Some(old)) => old.current(),
            (true, current, _) => current,
        }
    }

    /// When all clients fall silent, everything comes to rest where it should.
    pub fn comes_to_rest(&mut self) {
        self.clients.fill(Client::Quiet);
        self.scan = None;
        for _ in 0..8 * IDLE {
            self.now += 1;
            self.engine.tick(self.now);
            self.table_change_ends();
            while self.scan.is_none() {
                self.scan_goes_on();
            }
            while self.scan.is_some() {
                self.scan_goes_on();
            }
        }
        assert!(self.flows.is_empty(), "left in the flow table: {:?}", self.flows);
        for (slot, &owner) in self.owners.iter().enumerate() {
            let word = self.engine.memory().load(self.service.table.base + slot as u32);
            assert_eq!(word, SlotWord::at_rest(owner, word.epoch()), "slot {slot}");
        }
        assert_eq!(self.engine.in_transition(SERVICE), Default::default());
        assert_eq!(self.engine.tick(self.now), None);
        assert_eq!(self.service.flags & service_flags::HAS_OLD_TABLE, 0);
        assert!(!self.retired.contains(&true) || self.ids_are_used_again().is_ok());
    }
}
