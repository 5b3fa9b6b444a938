//! A configuration put into force, at start and by a reload.

use std::sync::Arc;

use lb_common::abi::features;

use super::{
    ControlError, Controller, changes, service_entry, targets,
    translation::{self, has_dnat, has_nat},
};
use crate::{
    api::protocol::Reloaded,
    config::Config,
    dataplane::DataPlane,
    loader::MapSizes,
    slots::SlotMemory,
    state::{StoredTable, hash_key},
};

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Puts the configuration that [`Controller::new`] was given into force.
    pub fn start(&mut self) -> Result<(), ControlError> {
        let config = self.config.clone();
        self.know_standings();
        self.adopt(config, false)
    }

    /// Puts `config` into force. When it fails, the one before stays. `now`: flows
    /// of backends that are removed are cut off.
    pub fn reload(&mut self, config: Config, now: bool) -> Result<Reloaded, ControlError> {
        let before = self.config.clone();
        let config = self.keep_map_sizes(config);
        let answer = changes::between(&before, &config, now);
        let key_before = self.key;
        self.adopt(Arc::new(config), now)?;
        let mut answer = Reloaded { warnings: self.warnings(), ..answer };
        if self.key != key_before {
            answer.pending.push(changes::new_seed());
        }
        Ok(answer)
    }

    /// Maps cannot change their size while packets use them.
    fn keep_map_sizes(&mut self, mut config: Config) -> Config {
        let (now, wanted) = (self.config.limits, config.limits);
        let same = (now.slot_space, now.flow_entries) == (wanted.slot_space, wanted.flow_entries);
        let what = format!(
            "slot_space {} and flow_entries {} take effect only with new maps: stop the daemon, \
             run `lb-daemon unload` and start it again (every flow is then assigned anew)",
            wanted.slot_space, wanted.flow_entries
        );
        self.trouble("limits", (!same).then_some(what));
        config.limits.slot_space = now.slot_space;
        config.limits.flow_entries = now.flow_entries;
        config
    }

    /// Tables of translated flows stay as they are while there are flows in them.
    fn compare_tables(&mut self) {
        let wanted = MapSizes::of(&self.config.limits);
        let present = self.nat.tables().buckets();
        let smaller = present.narrow < wanted.narrow() || present.wide < wanted.wide();
        let what = format!(
            "nat_flows {} and nat_flows_wide {} need larger tables than those that hold flows now \
             (for {} and {}): `lb-daemon reload` makes them when the present ones are empty, as \
             does a restart; or stop the daemon, run `lb-daemon unload` and start it again (every \
             flow is then assigned anew)",
            wanted.nat_flows,
            wanted.nat_flows_wide,
            MapSizes::flows_in(present.narrow),
            MapSizes::flows_in(present.wide)
        );
        self.trouble("limits of translated flows", smaller.then_some(what));
    }

    fn adopt(&mut self, config: Arc<Config>, now: bool) -> Result<(), ControlError> {
        // Everything that can fail comes before anything is changed.
        let key = hash_key(&config.seed, self.identity.generated_key)?;
        let mut identity = self.identity.clone();
        identity.admit(&config, self.resting_entries.iter().map(|one| one.entry))?;
        self.state_file.write(&identity)?;
        let overrides = self.with_removals(&config, now);
        if overrides != self.overrides {
            self.overrides_file.write(&overrides)?;
            self.overrides = overrides;
        }
        self.identity = identity;
        self.key = key;
        self.config = config;
        self.compare_tables();
        self.allocate_tables()?;
        let present = self.plane.nat_settings();
        // Another key would lose the flows that are there.
        let key = if present.key == [0; 2] { self.key.map(|word| !word) } else { present.key };
        let mut nat_settings = translation::settings(
            &self.config,
            self.nat.tables().buckets(),
            key,
            self.plane.ticks(),
        );
        if present.mixed > nat_settings.mixed && !self.nat.tables().is_empty(self.plane.now()?) {
            // Flows between the families may go on.
            nat_settings.mixed = present.mixed;
        }
        if present != nat_settings {
            self.plane.set_nat_settings(&nat_settings);
        }
        self.directory_stale = true;
        self.put_settings();
        self.view.retain(&targets(&self.config));
        self.recall_returned();
        self.follow_drains();
        self.refresh()?;
        // Away with what is gone, before anything else takes its place.
        self.publish()?;
        self.remove_departed_services()?;
        self.queue_all();
        Ok(())
    }

    pub(super) fn put_settings(&mut self) {
        // Before a flow of such a service can begin, and until the last has ended.
        let dnat = has_dnat(&self.config) || self.marks.has_backends();
        let mut features = if dnat { features::DNAT } else { 0 };
        if has_nat(&self.config) || self.marks.has_sources() {
            features |= features::FRAGMENTS;
        }
        let settings = service_entry::settings(&self.config, features, self.plane.ticks());
        if self.plane.settings() != settings {
            self.plane.set_settings(&settings);
        }
    }

    /// Finds room for the tables of services that have none.
    pub(super) fn allocate_tables(&mut self) -> Result<(), ControlError> {
        let now = self.plane.now()?;
        let key = self.key;
        let mut changed = false;
        for service in &self.config.services {
            let Some(known) = self.identity.services.get_mut(&service.name) else { continue };
            if known.table.is_none()
                && let Some(base) = self.space.allocate(service.table_size, now)
            {
                known.table = Some(StoredTable { base, count: service.table_size, key });
                changed = true;
            }
        }
        if changed { Ok(self.save()?) } else { Ok(()) }
    }

    /// What an operator should look at.
    pub fn warnings(&self) -> Vec<String> {
        let troubles = self.troubles.iter().map(|(about, what)| format!("{about}: {what}"));
        troubles.chain(self.suspicions()).collect()
    }
}
