//! A configuration put into force, at start and by a reload.

use std::sync::Arc;

use super::{
    ControlError, Controller, changes, service_entry, targets,
    translation::{self, has_dnat},
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
        self.adopt(config)
    }

    /// Puts `config` into force. When it fails, the one before stays.
    pub fn reload(&mut self, config: Config) -> Result<Reloaded, ControlError> {
        let before = self.config.clone();
        let config = self.keep_map_sizes(config);
        let answer = changes::between(&before, &config);
        let key_before = self.key;
        self.adopt(Arc::new(config))?;
        let mut answer = Reloaded { warnings: self.warnings(), ..answer };
        if self.key != key_before {
            answer.pending.push(changes::new_seed());
        }
        Ok(answer)
    }

    /// Maps cannot change their size while packets use them.
    fn keep_map_sizes(&mut self, mut config: Config) -> Config {
        let (now, wanted) = (self.config.limits, config.limits);
        let same = MapSizes::of(&now) == MapSizes::of(&wanted);
        let what = format!(
            "slot_space {}, flow_entries {}, nat_flows {} and nat_flows_wide {} take effect only \
             with new maps: stop the daemon, run `lb-daemon unload` and start it again (every \
             flow is then assigned anew)",
            wanted.slot_space, wanted.flow_entries, wanted.nat_flows, wanted.nat_flows_wide
        );
        self.trouble("limits", (!same).then_some(what));
        config.limits.slot_space = now.slot_space;
        config.limits.flow_entries = now.flow_entries;
        config.limits.nat_flows = now.nat_flows;
        config.limits.nat_flows_wide = now.nat_flows_wide;
        config
    }

    fn adopt(&mut self, config: Arc<Config>) -> Result<(), ControlError> {
        // Everything that can fail comes before anything is changed.
        let key = hash_key(&config.seed, self.identity.generated_key)?;
        let mut identity = self.identity.clone();
        identity.admit(&config, self.resting_entries.iter().map(|one| one.entry))?;
        self.state_file.write(&identity)?;
        self.identity = identity;
        self.key = key;
        self.config = config;
        self.allocate_tables()?;
        let present = self.plane.nat_settings();
        // Another key would lose the flows that are there.
        let key = if present.key == [0; 2] { self.key.map(|word| !word) } else { present.key };
        let nat_settings = translation::settings(&self.config, key, self.plane.ticks());
        if present != nat_settings {
            self.plane.set_nat_settings(&nat_settings);
        }
        self.directory_stale = true;
        self.put_settings();
        self.view.retain(&targets(&self.config));
        self.recall_returned();
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
        let settings = service_entry::settings(&self.config, dnat, self.plane.ticks());
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
        self.troubles.iter().map(|(about, what)| format!("{about}: {what}")).collect()
    }
}
