//! What the operator does to a running daemon: reloads, drains, weights.

use std::collections::BTreeSet;

use super::{
    mutants::Mutant,
    operator::{File, Place, SERVICES, address},
    tell,
    world::{Decided, World},
};
use crate::api::{
    protocol::Command,
    types::{Change, Who},
};

impl World {
    pub(super) fn reload(&mut self) {
        if self.daemon.is_none() {
            return;
        }
        let file = self.file.edited(&mut self.random);
        // A service that goes and comes back has not been there for a moment.
        self.host(|traffic, _| traffic.truth.time_passes(500));
        let now = self.random.below(4) == 0;
        tell(|| format!("reload, removed ones go now: {now}; {file:?}"));
        self.removals_begin(&file, now);
        let config = file.parse(self.mutant);
        let now = now || self.mutant == Some(Mutant::RemovedAtOnce);
        if self.operate(|daemon| daemon.reload(config, now).unwrap()).is_some()
            || self.random.below(2) == 0
        {
            self.in_force(file);
        } else {
            // The next one finds the file from before; what was to go may have
            // been given its time.
            let edited = file;
            self.unsure.extend(edited.places());
            self.unsure.extend(self.file.places());
        }
    }

    /// From now on, flows of those who are not in `file` have so much time.
    pub(super) fn removals_begin(&mut self, file: &File, now: bool) {
        for (service, pool) in self.file.pools.iter().enumerate() {
            let Some(pool) = pool else { continue };
            let service = service as u8;
            if file.pools[service as usize].is_none() {
                self.host(|traffic, _| traffic.truth.forget(service));
                continue;
            }
            let of_next = &file.pools[service as usize];
            for server in pool.backends.keys() {
                if file.entry((service, *server)).is_some() {
                    continue;
                }
                // A daemon that starts knows the new file only.
                let next = of_next.iter().map(|next| next.drain_of(*server));
                let after = next.chain([pool.drain_of(*server)]).min().unwrap_or(0);
                let after = if now { 0 } else { after };
                self.host(|traffic, _| {
                    let at = traffic.truth.seconds() + after;
                    traffic.truth.cut((service, *server), |cut| {
                        cut.removal = Some(cut.removal.map_or(at, |before| before.min(at)));
                    });
                });
            }
        }
    }

    /// The daemon has taken a file over, or is to when it starts.
    pub(super) fn in_force(&mut self, file: File) {
        let before: BTreeSet<Place> = self.file.places().collect();
        let after: BTreeSet<Place> = file.places().collect();
        self.unsure.extend(before.symmetric_difference(&after));
        self.file = file;
        if self.daemon.is_none() {
            self.unsure.extend(after);
            return;
        }
        for place in after {
            self.host(|traffic, _| {
                traffic.truth.serves(place.0);
                traffic.truth.cut(place, |cut| cut.removal = None);
            });
        }
        for place in std::mem::take(&mut self.unsure) {
            self.learn(place);
        }
    }

    pub(super) fn overridden(&self, (service, server): Place) -> (Decided, Option<u64>) {
        let daemon = self.daemon.as_ref().expect("somebody to ask");
        let place = (SERVICES[service as usize], address(server));
        let drain = daemon.overrides.drain(place);
        let weight = daemon.overrides.weight(place).map(|one| one.weight);
        let decided = Decided { drained: drain.is_some(), weight };
        (decided, drain.and_then(|drain| drain.deadline))
    }

    /// Asks the daemon what holds of a backend.
    pub(super) fn learn(&mut self, place: Place) {
        let (decided, deadline) = self.overridden(place);
        self.decided.insert(place, decided);
        self.host(|traffic, _| traffic.truth.cut(place, |cut| cut.drain = deadline));
    }

    pub(super) fn order(&mut self) {
        let service = self.random.below(2) as u8;
        let Some(pool) = &self.file.pools[service as usize] else { return };
        let Some(server) = pool.any(&mut self.random) else { return };
        let place = (service, server);
        let (command, deadline) = match self.random.below(8) {
            0 | 1 => (Command::Drain, None),
            2 | 3 => (Command::Drain, Some(1 + self.random.below(12))),
            4..7 => (Command::Undrain, None),
            _ => (Command::SetWeight, None),
        };
        let weight = [None, Some(0), Some(1), Some(5)][self.random.below(4) as usize];
        let change = Change {
            service: Some(SERVICES[service as usize].into()),
            backend: Some(address(server).to_string()),
            deadline,
            weight,
            ..Change::default()
        };
        let at = deadline.map(|after| self.host(|traffic, _| traffic.truth.seconds()) + after);
        let who = Who { uid: 1000, user: None };
        if self.daemon.is_none() {
            return;
        }
        tell(|| format!("{command:?} {change:?}"));
        if let Some(at) = at {
            self.host(|traffic, _| {
                traffic.truth.cut(place, |cut| {
                    cut.drain = Some(cut.drain.map_or(at, |before| before.min(at)));
                });
            });
        }
        let done = self.operate(|daemon| daemon.order(command, &change, &who).unwrap());
        if done.is_none() {
            self.unsure.insert(place);
            return;
        }
        let decided = self.decided.entry(place).or_default();
        match command {
            Command::SetWeight => decided.weight = weight,
            Command::Drain => decided.drained = true,
            _ => decided.drained = false,
        }
        if command != Command::SetWeight {
            self.host(|traffic, _| traffic.truth.cut(place, |cut| cut.drain = at));
        }
    }
}
