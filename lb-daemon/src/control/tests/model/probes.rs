//! Servers that slow down, die and return, and the probes of them.

use std::{sync::Arc, time::SystemTime};

use super::{
    mutants::Mutant,
    operator::{SERVERS, address},
    tell,
    truth::Server,
    world::World,
};
use crate::{
    control::view::target,
    health::{HealthEvent, State},
};

impl World {
    pub(super) fn a_server_changes(&mut self) {
        let server = self.random.below(u64::from(SERVERS)) as u8;
        let (slow, returns) = (self.random.below(2) == 0, self.random.below(3) > 0);
        tell(|| format!("server {server} changes: slow {slow}, returns {returns}"));
        self.host(|traffic, _| match traffic.truth.servers[server as usize] {
            Server::Works if traffic.copies => {}
            Server::Works if slow => traffic.truth.servers[server as usize] = Server::Slow,
            Server::Dead if !returns => {}
            Server::Works => traffic.truth.die(server),
            Server::Slow if !returns => traffic.truth.die(server),
            Server::Slow | Server::Dead => traffic.truth.servers[server as usize] = Server::Works,
        });
    }

    /// A probe tells of a server, if that is news.
    pub(super) fn probe(&mut self) {
        let Some(daemon) = &self.daemon else { return };
        let server = self.random.below(u64::from(SERVERS)) as u8;
        let config = daemon.config().clone();
        let mut found = config.services.iter().flat_map(|service| {
            let mut backends = service.backends.iter();
            backends.find(|one| one.address == address(server)).map(|one| (service, one))
        });
        let Some((service, backend)) = found.next() else { return };
        let (present, _) = daemon.view.state(service, backend);
        let state = match self.host(|traffic, _| traffic.truth.servers[server as usize]) {
            Server::Works => State::Up,
            Server::Slow if self.mutant == Some(Mutant::SlowIsDead) => State::Dead,
            Server::Slow => State::Failing,
            Server::Dead => State::Dead,
        };
        if state == present {
            return;
        }
        tell(|| format!("server {server} is found {state:?}"));
        let target = Arc::new(target(service, backend).unwrap());
        if state == State::Dead && self.mutant != Some(Mutant::SlowIsDead) {
            self.host(|traffic, _| traffic.truth.told_dead[server as usize] = true);
        }
        let told = self.operate(|daemon| {
            let event =
                HealthEvent { target, state, reason: "".into(), at: SystemTime::UNIX_EPOCH };
            daemon.view_mut().note(event);
            daemon.refresh().unwrap();
        });
        if state != State::Dead && told.is_some() {
            self.host(|traffic, _| traffic.truth.told_dead[server as usize] = false);
        }
    }
}
