//! The control loop: keeps the maps what they should be.
//!
//! ```text
//! configuration ─┐
//! health ────────┼─► what should be ─► compared with what is ─► steps, in order
//! next hops ─────┘
//! ```
//!
//! What should be is made by pure functions ([`selection`], [`backend_entry`],
//! [`service_entry`], [`frontends`], [`table`]); what is, is read back from the
//! maps. Nothing is remembered of a step that failed: the next comparison finds
//! it again. Steps are ordered so that no packet sees a half-made state:
//! backends before slots before ports before VIPs, and away in reverse.
//!
//! [`Controller`] is synchronous and knows no clock but the data path's; the
//! daemon feeds it events and calls it when something is due.

mod backend_entry;
mod changes;
mod configure;
mod counters;
mod departed;
mod drains;
mod flows;
mod frontends;
mod interfaces;
mod life;
mod lingering;
mod orders;
mod passive;
mod refresh;
mod refusals;
mod selection;
mod service_entry;
mod settle;
mod snapshot;
mod table;
mod translation;
mod view;
mod ways;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::Arc,
};

use lb_common::{maglev::Member, transition::Health};

use crate::{
    api::types::{Event, EventKind},
    config::Config,
    dataplane::{DataPlane, PortTable, Ticks, VipTable},
    events::Journal,
    nat::Registry,
    passive::Watches,
    slots::{Engine, SlotMemory, SlotSpace},
    state::{EjectionsFile, Identity, Overrides, OverridesFile, SeedError, StateError, StateFile},
};

pub use counters::{Rate, Rates};
pub use flows::FlowScan;
pub use interfaces::{InterfaceReport, Interfaces};
pub use refusals::{PoolName, Refusals};
pub use snapshot::Surroundings;
pub use view::{Status, View, targets};
pub use ways::problems as way_problems;

use drains::Drains;
use life::Standings;
use lingering::{FormerMode, RestingEntry};
use selection::Selection;
use translation::Marks;

#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error(transparent)]
    Numbers(#[from] crate::state::NoRoom),
    #[error("the data path's clock or counters cannot be read: {0}")]
    DataPlane(#[from] io::Error),
}

/// Keeps the maps what they should be. See the module.
pub struct Controller<P, M> {
    plane: P,
    engine: Engine<M>,
    space: SlotSpace,
    vips: VipTable,
    ports: PortTable,
    state_file: StateFile,
    identity: Identity,
    config: Arc<Config>,
    /// Of the flow hash.
    key: [u64; 2],
    view: View,
    services: BTreeMap<String, Live>,
    /// What the data path and the engine were told of each backend.
    health: HashMap<u16, Health>,
    /// Services whose slots are to be brought to what they should be.
    queue: BTreeSet<String>,
    /// Service entries that packets or flows may still read.
    resting_entries: Vec<RestingEntry>,
    /// Backends that the engine was told are gone.
    retired: BTreeSet<u16>,
    /// What could not be done yet, by what it is about.
    troubles: BTreeMap<String, String>,
    /// When a VIP was last removed: its number rests for a second.
    vip_removed: u64,
    /// Entries that the last whole scan of the flow table found.
    flow_entries: u64,
    /// Addresses under which answers to translated flows arrive.
    marks: Marks,
    /// Numbers of backends that no slot names, by the version of the directory
    /// that a pass must know to say that no translated flow does.
    waiting_ids: BTreeMap<u16, u64>,
    /// Shared with those who look at translated flows.
    nat: Arc<Registry>,
    /// Of the last directory in there.
    directory_version: u64,
    /// It has to be made anew.
    directory_stale: bool,
    journal: Journal,
    overrides_file: OverridesFile,
    overrides: Overrides,
    drains: Drains,
    standings: Standings,
    watches: Watches,
    ejections_file: EjectionsFile,
}

/// A configured service, as it is.
#[derive(Debug, Default)]
struct Live {
    /// The engine knows it, and its slots are in place.
    ready: bool,
    /// What its slots were last made of.
    members: Vec<Member>,
    selection: Option<Selection>,
    /// Slots by owner, as last counted.
    shares: BTreeMap<u16, u32>,
    /// No slot has changed since.
    shares_hold: bool,
    former_mode: FormerMode,
    /// Slots that were given to another backend.
    moved: u64,
}

/// What a controller is made of.
pub struct Parts<P, M> {
    pub plane: P,
    pub slots: M,
    pub slot_space: u32,
    pub state_file: StateFile,
    pub identity: Identity,
    pub config: Config,
    pub nat: Arc<Registry>,
    pub journal: Journal,
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// Takes over what is in the maps. `fresh`: they are new and empty.
    pub fn new(parts: Parts<P, M>, fresh: bool) -> Result<Self, ControlError> {
        let Parts { plane, slots, slot_space, state_file, identity, config, nat, journal } = parts;
        let overrides_file = OverridesFile::beside(state_file.path());
        let overrides = overrides_file.read()?;
        overrides.trail().cloned().for_each(|event| journal.keep(event));
        let ticks_per_second = plane.ticks().per_second();
        let ejections_file = EjectionsFile::beside(state_file.path());
        let mut controller = Self {
            engine: Engine::new(slots, ticks_per_second),
            space: SlotSpace::new(slot_space, ticks_per_second),
            vips: VipTable::read(&plane),
            ports: PortTable::read(&plane),
            plane,
            state_file,
            identity,
            key: [0; 2],
            config: Arc::new(config),
            view: View::default(),
            services: BTreeMap::new(),
            health: HashMap::new(),
            queue: BTreeSet::new(),
            resting_entries: Vec::new(),
            retired: BTreeSet::new(),
            troubles: BTreeMap::new(),
            vip_removed: 0,
            flow_entries: 0,
            marks: Marks::default(),
            waiting_ids: BTreeMap::new(),
            nat,
            directory_version: 0,
            directory_stale: true,
            journal,
            overrides_file,
            overrides,
            drains: Drains::new(),
            standings: Standings::new(),
            watches: Watches::restored(ejections_file.read()),
            ejections_file,
        };
        if fresh {
            controller.identity.begin_anew(&controller.config);
        }
        controller.take_over()?;
        Ok(controller)
    }

    /// Reads back what an earlier daemon left: tables, backends' health, and what
    /// translated flows may need.
    fn take_over(&mut self) -> Result<(), ControlError> {
        for service in self.identity.services.values() {
            for table in service.table.iter().chain(&service.old_table) {
                self.space.reserve(table.base, table.count);
            }
            for id in service.backends.values() {
                let health = refresh::health_of(self.plane.backend(*id).flags);
                self.engine.backend_changed(service.id, *id, health, 0);
                self.health.insert(*id, health);
            }
        }
        let now = self.plane.now()?;
        self.find_resting_entries(now);
        let version = self.next_version();
        self.marks = Marks::found(&self.vips, version);
        Ok(())
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    pub fn view_mut(&mut self) -> &mut View {
        &mut self.view
    }

    /// Does what is due for the slots; returns after how many ticks something
    /// will be due next.
    pub fn tick(&mut self) -> Result<Option<u64>, ControlError> {
        let now = self.plane.now()?;
        Ok(self.engine.tick(now).map(|next| next.saturating_sub(now)))
    }

    pub fn ticks(&self) -> Ticks {
        self.plane.ticks()
    }

    /// To be called every second: lets go of what has rested long enough, and
    /// tries again what could not be done.
    pub fn housekeep(&mut self) -> Result<(), ControlError> {
        let now = self.plane.now()?;
        let second = u64::from(self.plane.ticks().per_second());
        self.vips.pass(now, second);
        self.ports.pass(now, second);
        self.finish_table_changes(now)?;
        if self.queue.is_empty() {
            self.let_go(now, second)?;
        }
        self.retire_departed();
        self.release_ids()?;
        self.forget_vips(now, second)?;
        self.forget_overrides();
        self.publish_directory();
        if !self.troubles.is_empty() {
            self.queue_all();
        }
        Ok(())
    }

    fn queue_all(&mut self) {
        self.queue.extend(self.config.services.iter().map(|service| service.name.clone()));
    }

    fn trouble(&mut self, about: &str, what: Option<String>) {
        match what {
            Some(what) => {
                if self.troubles.get(about) != Some(&what) {
                    self.journal
                        .announce(Event::new(EventKind::Warning, format!("{about}: {what}")));
                    self.troubles.insert(about.to_owned(), what);
                }
            }
            None => {
                if let Some(what) = self.troubles.remove(about) {
                    let cleared = Event::new(EventKind::WarningCleared, format!("{about}: {what}"));
                    self.journal.announce(cleared);
                }
            }
        }
    }

    fn save(&self) -> Result<(), StateError> {
        self.state_file.write(&self.identity)
    }
}
