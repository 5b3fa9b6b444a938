//! What the daemon does in its own time: scans, other tables, death.

use super::*;

impl World {
    pub(super) fn place(&self, tuple: u64) -> Place {
        let old = &self.service.old_table;
        Place {
            service_id: SERVICE,
            slot: slot_in(&self.service.table, tuple),
            old_slot: self.old_index(tuple).map(|index| index - old.base),
        }
    }

    pub(super) fn scan_goes_on(&mut self) {
        let Some(mut running) = self.scan.take() else {
            let pressure = Pressure::of(self.flows.len() as u64, self.capacity as u64);
            let scan = self.engine.begin_scan(pressure, self.now);
            let left = self.flows.iter().map(|(&tuple, &entry)| (tuple, entry)).collect();
            self.scan = Some(RunningScan { scan, left, condemned: vec![] });
            return;
        };
        if let Some((tuple, _)) = running.left.pop() {
            // What is read now, not what was there when the scan began.
            if let Some(mut entry) = self.flows.get(&tuple).copied() {
                if self.mutant == Some(Mutant::NoEpoch) {
                    let epoch = self.engine.memory().load(self.index(tuple)).epoch();
                    entry.owner.0 = entry.owner.0 & !0xffff_0000 | (epoch as u64) << 16;
                }
                let place = Some(self.place(tuple));
                if self.engine.judge(&running.scan, place, is_udp(tuple), entry, self.now) {
                    running.condemned.push((tuple, self.flows[&tuple]));
                }
            }
            if self.random.chance(2) {
                self.delete_condemned(&mut running);
            }
            self.scan = Some(running);
        } else {
            self.delete_condemned(&mut running);
            self.engine.finish_scan(running.scan, self.now);
        }
    }

    pub(super) fn delete_condemned(&mut self, running: &mut RunningScan) {
        for (tuple, judged) in running.condemned.drain(..) {
            let unchecked = self.mutant == Some(Mutant::DeleteWithoutCheck);
            if self.flows.get(&tuple).is_some_and(|entry| unchecked || *entry == judged) {
                self.flows.remove(&tuple);
            }
        }
    }

    /// The daemon dies in the middle of a change, and another one starts.
    pub(super) fn daemon_dies(&mut self) {
        self.engine.memory_mut().writes_left = self.random.below(4);
        match self.random.below(4) {
            0 => self.desired_changes(),
            1 => self.table_changes(),
            2 => {
                self.engine.tick(self.now);
            }
            _ => {}
        }
        self.scan = None;
        self.untold = None;
        let died = self.engine.memory_mut();
        let slots = died.left_behind.take().unwrap_or_else(|| died.slots.clone());
        let memory = Memory::new(slots, self.mutant);
        self.engine = Engine::new(memory, SECOND);
        for id in 0..BACKENDS {
            // What is dead shows in the map; the rest has to be learnt again.
            let known = if self.dead[id as usize] { Health::Dead } else { Health::Up };
            self.health[id as usize] = known;
            self.engine.backend_changed(SERVICE, id, known, self.now);
            if self.retired[id as usize] {
                self.engine.retire_id(id);
            }
        }
        let since = if self.mutant == Some(Mutant::BaseLost) { 0 } else { self.now };
        let healthy = self.healthy();
        for owner in &mut self.owners {
            if !healthy.contains(owner) {
                *owner = healthy[0];
            }
        }
        self.engine.adopt(SERVICE, self.service_as_daemon_sees_it(), &self.owners, since);
    }

    pub(super) fn table_changes(&mut self) {
        self.tell_slots();
        let count = 1 + self.random.below(6) as u32;
        let key = [self.random.next(); 2];
        let Some(base) = self.space.allocate(count, self.now) else { return };
        let healthy = self.healthy();
        let owner = |random: &mut Random| healthy[random.below(healthy.len() as u64) as usize];
        let owners: Vec<u16> = (0..count).map(|_| owner(&mut self.random)).collect();
        let table = Table { base, count, key };
        let mut written = None;
        let now = self.now;
        let dies = self.engine.memory().writes_left < count as u64;
        let changed = self.engine.change_table(SERVICE, table, &owners, now, |service| {
            // A daemon that died before has not come so far.
            if dies {
                return Err(Refusal::Busy);
            }
            written = Some(*service);
            Ok(now)
        });
        match (changed, written) {
            (Ok(()), Some(service)) => {
                self.service = Service { arming: ARMING, ..service };
                self.owners = owners;
                // A scan may not mix places of both tables.
                self.scan = None;
            }
            _ => self.space.release(base, self.now),
        }
    }

    pub(super) fn table_change_ends(&mut self) {
        for finished in self.engine.finish_table_changes(self.now) {
            self.service = Service { arming: ARMING, ..finished.service };
            self.space.release(finished.freed.base, self.now);
        }
    }
}
