//! Backends: their health, who is wanted where, and their numbers.

use super::*;

impl World {
    pub(super) fn healthy(&self) -> Vec<u16> {
        let is_up =
            |&id: &u16| self.health[id as usize] == Health::Up && !self.retired[id as usize];
        (0..BACKENDS).filter(is_up).collect()
    }

    pub(super) fn desired_changes(&mut self) {
        let healthy = self.healthy();
        let change_all = self.random.chance(3);
        for owner in &mut self.owners {
            if change_all || self.random.chance(3) || !healthy.contains(owner) {
                *owner = healthy[self.random.below(healthy.len() as u64) as usize];
            }
        }
        self.tell_slots();
        self.engine.set_desired(SERVICE, &self.owners, self.now);
    }

    pub(super) fn health_changes(&mut self) {
        let id = self.random.below(BACKENDS as u64) as u16;
        let others = self.healthy().iter().any(|&other| other != id);
        if self.retired[id as usize] || !others {
            return;
        }
        match self.health[id as usize] {
            Health::Up if !self.copies && self.random.chance(2) => {
                self.set_health(id, Health::Failing)
            }
            Health::Up | Health::Failing if self.random.chance(2) => self.die(id),
            Health::Up => {}
            Health::Failing | Health::Dead => {
                self.set_health(id, Health::Up);
                self.dead[id as usize] = false;
            }
        }
    }

    pub(super) fn die(&mut self, id: u16) {
        self.dead[id as usize] = true;
        for client in &mut self.clients {
            *client = client.without(id);
        }
        self.set_health(id, Health::Dead);
        if self.random.chance(2) {
            self.desired_changes();
        }
    }

    /// The slots hear of it at once or, as where a thousand services have to, after
    /// packets have seen it.
    pub(super) fn set_health(&mut self, id: u16, health: Health) {
        self.tell_slots();
        self.health[id as usize] = health;
        if health != Health::Dead {
            self.engine.backend_returns(SERVICE, id, self.now);
        }
        self.untold = Some((id, health));
        if self.random.chance(2) {
            self.tell_slots();
        }
    }

    pub(super) fn tell_slots(&mut self) {
        if let Some((id, health)) = self.untold.take() {
            self.engine.backend_changed(SERVICE, id, health, self.now);
        }
    }

    pub(super) fn id_is_retired(&mut self) {
        let id = self.random.below(BACKENDS as u64) as u16;
        let healthy = self.healthy();
        if self.health[id as usize] == Health::Up && healthy.len() > 2 && healthy.contains(&id) {
            self.retired[id as usize] = true;
            self.desired_changes();
            self.engine.retire_id(id);
        }
    }

    pub(super) fn ids_are_used_again(&mut self) -> Result<(), String> {
        for id in self.engine.take_free_ids() {
            if let Some(tuple) = self.clients.iter().position(|client| client.owner() == Some(id)) {
                return Err(format!("{id} is free but owns the flow of tuple {tuple}"));
            }
            for client in &mut self.clients {
                *client = client.without(id);
            }
            self.retired[id as usize] = false;
        }
        Ok(())
    }
}
