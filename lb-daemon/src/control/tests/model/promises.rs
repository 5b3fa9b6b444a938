//! What must hold after every step, and when all has come to rest.

use super::{
    operator::{Place, SERVERS, SERVICES, address},
    truth::Server,
    world::World,
};

impl World {
    pub(super) fn check(&mut self) -> Result<(), String> {
        if let Some(why) = self.host(|traffic, _| traffic.broken.take()) {
            return Err(why);
        }
        if self.daemon.is_none() {
            return Ok(());
        }
        for place in self.file.places() {
            let (found, _) = self.overridden(place);
            let decided = self.decided.get(&place).copied().unwrap_or_default();
            if found != decided {
                return Err(format!("of {place:?}, {decided:?} was ordered and {found:?} holds"));
            }
            let on = self.host(|traffic, _| traffic.truth.flows_on(place));
            if on > 0 && self.is_drained(place) {
                return Err(format!("{place:?} is said to be drained and has {on} flows"));
            }
        }
        Ok(())
    }

    /// Whether the daemon says that no flow is left.
    pub(super) fn is_drained(&self, (service, server): Place) -> bool {
        let daemon = self.daemon.as_ref().expect("somebody to ask");
        let id = daemon.id_of(SERVICES[service as usize], address(server));
        id.and_then(|id| daemon.drains.get(&id)).is_some_and(|drain| drain.done)
    }

    /// All is well again: flows go on, then they end; nothing is left of them, and
    /// new ones go where they should.
    pub(super) fn comes_to_rest(&mut self) -> Result<(), String> {
        while self.daemon.is_none() {
            self.begin(self.file.clone(), false);
        }
        self.host(|traffic, host| traffic.all_go_on(host));
        self.check()?;
        for server in 0..SERVERS {
            self.host(|traffic, _| traffic.truth.servers[server as usize] = Server::Works);
        }
        for _ in 0..200 {
            self.probe();
        }
        while self.daemon.is_none() {
            self.begin(self.file.clone(), false);
        }
        // Longer than a flow may be silent: a removed backend's slots name it until then,
        // and a service may have to change its table twice, one after the other.
        for _ in 0..100 {
            self.host(|traffic, _| traffic.truth.time_passes(5_000));
            let time = self.wall_clock();
            self.daemon.as_mut().unwrap().view_mut().time = time;
            self.settle();
            if self.at_rest().is_ok() {
                return Ok(());
            }
        }
        self.at_rest()
    }

    pub(super) fn at_rest(&mut self) -> Result<(), String> {
        let left = self.balancer.host.borrow().flow_keys().len();
        if left > 0 {
            return Err(format!("{left} flows are left when all have ended"));
        }
        let daemon = self.daemon.as_ref().unwrap();
        let known: usize = daemon.identity.services.values().map(|one| one.backends.len()).sum();
        if known != self.file.places().count() || !daemon.identity.leaving.is_empty() {
            return Err(format!("numbers of removed backends are held: {:?}", daemon.identity));
        }
        if daemon.needs_scan() && !daemon.has_drains() {
            return Err("slots are in transition although all flows have ended".into());
        }
        for service in 0..2 {
            let Some(pool) = self.file.pools[service as usize].clone() else { continue };
            for _ in 0..8 {
                let to = self.host(|traffic, host| traffic.newcomer(service, host));
                let place = to.map(|to| (service, to));
                let takes = |place| self.takes(place);
                let ok = match place {
                    Some(place) => takes(place),
                    None => !pool.backends.keys().any(|one| takes((service, *one))),
                };
                if !ok {
                    return Err(format!("a new flow of service {service} went to {to:?}"));
                }
            }
        }
        Ok(())
    }

    /// Whether a backend is to get new flows when all servers work.
    pub(super) fn takes(&self, place: Place) -> bool {
        let Some(entry) = self.file.entry(place) else { return false };
        let decided = self.decided.get(&place).copied().unwrap_or_default();
        let weight = decided.weight.unwrap_or(entry.weight as u16);
        !entry.is_drained && !decided.drained && weight > 0
    }
}
