//! What those are answered who ask over the control socket.

use std::time::{SystemTime, UNIX_EPOCH};

use tracing::info;

use super::{
    events::Daemon,
    program_log,
    requests::{Accepted, Request},
    turn::Turn,
};
use crate::{
    api::{
        Handler,
        protocol::{Error, ErrorCode, Reloaded},
        types::{ConfigStats, InterfaceStats, Stats},
    },
    control::{ControlError, Surroundings},
    loader::NewTables,
    nat::NatTables,
};

impl Daemon {
    pub(super) fn answer(&mut self, request: Request, turn: &Turn) {
        // Whoever asked may be gone.
        match request {
            Request::Stats(reply) => drop(reply.send(self.stats(turn).map_err(failed))),
            Request::Apply(accepted, reply) => {
                drop(reply.send(self.apply(*accepted).map_err(failed)));
            }
            Request::Order(command, change, by, reply) => {
                self.tell_time();
                drop(reply.send(self.controller.order(command, &change, &by)));
            }
            Request::Denied(event) => {
                self.tell_time();
                self.controller.note_denial(event);
            }
            Request::Refused(why) => self.last_error = Some(why),
        }
    }

    fn apply(&mut self, accepted: Accepted) -> Result<Reloaded, ControlError> {
        let Accepted { loaded, found, readers, tables, now } = accepted;
        let refused = tables.and_then(|tables| self.use_tables(tables).err());
        let (candidate, config) = self.discovery.consider(loaded.config, found);
        let mut answer = self.put_in_force(config, now)?;
        self.discovery.take(candidate);
        answer.warnings.extend(self.discovery.warnings());
        self.config_warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        answer.warnings.extend(self.config_warnings.iter().cloned());
        answer.warnings.extend(refused.map(|error| format!("limits.nat_flows: {error:#}")));
        if let Err(error) = self.socket.grant(readers) {
            answer.warnings.push(format!("control: the socket's group cannot be set: {error}"));
        }
        self.loaded_at = SystemTime::now();
        self.last_error = None;
        self.logger.configure(self.controller.config().nat_log.clone());
        self.notifier.configure(&self.controller.config().notify);
        Ok(answer)
    }

    /// Packets see other tables of translated flows from now on.
    fn use_tables(&mut self, tables: NewTables) -> anyhow::Result<()> {
        let mut ebpf = tables.put_in_place(&self.pins)?;
        program_log::forward(&mut ebpf);
        // The tables before go with the programs that know them.
        self.ebpf = ebpf;
        self.own_host.renew_egress();
        self.nat.set_tables(NatTables::open(&self.pins)?);
        info!(
            "the tables of translated flows have another size: {:?}",
            self.nat.tables().buckets()
        );
        Ok(())
    }

    pub(super) fn reload_in_background(&self) {
        let handler = self.handler.clone();
        // The outcome is logged.
        tokio::spawn(async move { drop(handler.reload(None, false).await) });
    }

    fn stats(&mut self, turn: &Turn) -> Result<Stats, ControlError> {
        let reports = self
            .interfaces
            .report(&self.inputs.links.borrow(), &self.controller.config().interfaces);
        let interfaces = reports.into_iter().map(|one| {
            let egress = one.ifindex.is_some_and(|index| self.own_host.has_egress(index));
            InterfaceStats { egress, ..turn.traffic.describe(one) }
        });
        let loaded_at = self.loaded_at.duration_since(UNIX_EPOCH);
        let mut stats = self.controller.stats(Surroundings {
            instance: self.lock.instance().to_string(),
            uptime: self.started.elapsed().as_secs(),
            config: ConfigStats {
                path: self.config_path.display().to_string(),
                loaded_at: loaded_at.map_or(0, |since| since.as_secs()),
                last_error: self.last_error.clone(),
            },
            interfaces: interfaces.collect(),
            rates: &turn.rates,
            probed: self.prober.probed(),
            local_clients: self.own_host.has_sockets(),
            nat_log: self.logger.stats(),
            notify: self.notifier.stats(),
            warnings: [
                &self.config_warnings[..],
                &self.discovery.warnings(),
                &turn.findings[..],
                &self.way_problems[..],
                &self.own_host.troubles[..],
                &self.path_warnings(),
                turn.refusals.warnings(),
                &self.notifier.warnings()[..],
            ]
            .concat(),
        })?;
        self.discovery.describe(&mut stats.services, self.controller.config());
        Ok(stats)
    }
}

fn failed(error: ControlError) -> Error {
    Error::new(ErrorCode::Failed, error.to_string())
}
