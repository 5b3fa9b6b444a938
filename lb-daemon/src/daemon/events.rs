//! The loop that hands news to the controller.
//!
//! A backend's change of state is acted on before anything else; slot tables
//! are made one at a time, and chores done one at a time, with a look at what is
//! new between two of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    signal::unix::Signal,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, sleep_until},
};
use tracing::{error, info, warn};

use super::{
    discovered::Discovered,
    inspection::{Inspected, Wanted, inspect},
    notify::{Notice, notify},
    own_host::{self, OwnHost},
    path::PathSetup,
    requests::{Request, Requests},
    turn::{Chore, SCAN_PAUSE, Turn},
};
use crate::{
    api::{
        InstanceLock, SocketAccess,
        types::{Event, EventKind, InterfaceMode},
    },
    config::OnExit,
    control::{Controller, Interfaces, way_problems},
    dataplane::{BackendStats, Kernel, KernelSlots},
    discovery::News,
    events::Journal,
    health::{HealthEvent, Prober},
    loader::{Attacher, Mode, PinDir, unload},
    nat::{Logger, Registry},
    netlink::{Links, LocalAddresses, Monitor, NextHops, seen_on},
    notify::Notifier,
    state::{HealthFile, HealthMemory},
};

/// Where news come from.
pub struct Inputs {
    pub health: mpsc::UnboundedReceiver<HealthEvent>,
    pub requests: mpsc::Receiver<Request>,
    pub next_hops: watch::Receiver<Arc<NextHops>>,
    pub links: watch::Receiver<Arc<Links>>,
    pub addresses: watch::Receiver<Arc<LocalAddresses>>,
    pub discovered: mpsc::Receiver<News>,
    pub hang_up: Signal,
    pub terminate: Signal,
    pub interrupt: Signal,
}

pub struct Daemon {
    /// Held until the end.
    pub lock: InstanceLock,
    pub socket: SocketAccess,
    pub pins: PinDir,
    /// Holds the programs that packets are handed to, and their ring buffer.
    pub ebpf: aya::Ebpf,
    pub nat: Arc<Registry>,
    pub logger: Logger,
    /// Flows that began and were not told, as last counted.
    pub unlogged: Option<u64>,
    pub controller: Controller<Kernel, KernelSlots>,
    pub interfaces: Interfaces<Attacher>,
    pub own_host: OwnHost,
    pub monitor: Arc<Monitor>,
    pub prober: Prober,
    pub discovery: Discovered,
    pub backend_stats: Arc<BackendStats>,
    pub health_file: HealthFile,
    /// Since it was last written.
    pub health_changed: bool,
    /// Who starts slowly, as last written.
    pub starting: BTreeMap<u16, u64>,
    pub inputs: Inputs,
    pub handler: Requests,
    pub config_path: PathBuf,
    pub started: Instant,
    pub loaded_at: SystemTime,
    pub last_error: Option<String>,
    pub config_warnings: Vec<String>,
    pub dead_neighbours: BTreeSet<IpAddr>,
    /// Backends that packets cannot get to.
    pub way_problems: Vec<String>,
    pub journal: Journal,
    pub notifier: Notifier,
    /// Warnings that there is an event for.
    pub warned: BTreeMap<String, String>,
    pub path: PathSetup,
}

const SECOND: Duration = Duration::from_secs(1);
/// How long a stop waits for events to be told.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Seconds between two looks at interfaces' settings.
const SETTINGS_EVERY: u64 = 10;

impl Daemon {
    pub async fn run(mut self) -> anyhow::Result<()> {
        let (inspected_sender, mut inspected) = mpsc::channel(1);
        let mut turn = Turn::new(inspected_sender);
        let mut every_second = interval(SECOND);
        every_second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let slots_due = self.slots_due();
            let scanning = turn.scan.is_some();
            let has_work = self.controller.has_work();
            let chore = turn.chores.front().copied();
            tokio::select! {
                biased;
                _ = self.inputs.terminate.recv() => break,
                _ = self.inputs.interrupt.recv() => break,
                Some(event) = self.inputs.health.recv() => self.health_changed(event),
                Ok(()) = self.inputs.next_hops.changed() => self.next_hops_changed(),
                Ok(()) = self.inputs.addresses.changed() => self.addresses_changed(),
                Some(news) = self.inputs.discovered.recv() => self.discovered(news),
                Ok(()) = self.inputs.links.changed() => self.follow_interfaces(),
                () = sleep_until(slots_due) => {}
                Some(request) = self.inputs.requests.recv() => self.answer(request, &turn),
                Some(()) = self.inputs.hang_up.recv() => self.reload_in_background(),
                Some(found) = inspected.recv() => self.note(found, &mut turn),
                _ = every_second.tick() => turn.chores = Chore::ALL.into(),
                Some(chore) = std::future::ready(chore) => {
                    turn.chores.pop_front();
                    self.do_chore(chore, &mut turn);
                }
                () = std::future::ready(()), if has_work => self.controller.work(),
                () = sleep_until(turn.next_scan), if !scanning => self.begin_scan(&mut turn),
                () = std::future::ready(()), if scanning => self.go_on_scanning(&mut turn),
            }
        }
        self.stop().await
    }

    /// Does what is due for the slots, and says when to look again.
    fn slots_due(&mut self) -> tokio::time::Instant {
        let ticks = self.controller.ticks();
        let wait = match self.controller.tick() {
            Ok(Some(after)) => ticks.duration(after).clamp(Duration::from_millis(1), SECOND),
            Ok(None) => SECOND,
            Err(error) => {
                error!("{error}; trying again");
                SECOND
            }
        };
        tokio::time::Instant::now() + wait
    }

    /// All that have come together are acted on together.
    fn health_changed(&mut self, event: HealthEvent) {
        self.take_in(event);
        while let Ok(event) = self.inputs.health.try_recv() {
            self.take_in(event);
        }
        self.refresh();
    }

    fn take_in(&mut self, event: HealthEvent) {
        let state = format!("{:?}", event.state).to_lowercase();
        let of = self.controller.whose(&event.target);
        info!("{of} is {state}: {} ({})", event.reason, event.target);
        self.controller.view_mut().note(event);
        self.health_changed = true;
    }

    pub(super) fn tell_time(&mut self) {
        self.controller.view_mut().tell_time(SystemTime::now());
    }

    fn refresh(&mut self) {
        if let Err(error) = self.controller.refresh() {
            error!("{error}; trying again");
        }
    }

    fn next_hops_changed(&mut self) {
        let next_hops = self.inputs.next_hops.borrow_and_update().clone();
        let dead = next_hops.iter().filter_map(|(address, hop)| {
            hop.as_ref().err().filter(|error| error.is_dead()).map(|_| *address)
        });
        let dead: BTreeSet<IpAddr> = dead.collect();
        for address in dead.difference(&self.dead_neighbours) {
            self.prober.neighbour_failed(*address);
        }
        self.dead_neighbours = dead;
        let problems = way_problems(self.controller.config(), &next_hops);
        for new in problems.iter().filter(|one| !self.way_problems.contains(one)) {
            warn!("{new}");
        }
        self.way_problems = problems;
        self.controller.view_mut().next_hops = next_hops;
        // Before packets find the backend.
        self.follow_own_host();
        self.refresh();
        self.follow_path();
    }

    fn addresses_changed(&mut self) {
        self.controller.view_mut().addresses = self.inputs.addresses.borrow_and_update().clone();
        if let Err(error) = self.controller.publish() {
            error!("{error}; trying again");
        }
        self.follow_path();
    }

    pub(super) fn follow_interfaces(&mut self) {
        let links = self.inputs.links.borrow_and_update().clone();
        self.interfaces.follow(&links, &self.controller.config().interfaces);
        self.follow_own_host();
        self.follow_path();
    }

    /// What probes through the data path need follows what there is.
    pub(super) fn follow_path(&mut self) {
        let config = self.controller.config().clone();
        let links = self.inputs.links.borrow().clone();
        let reports = self.interfaces.report(&links, &config.interfaces);
        let attached = |name: &String| {
            reports.iter().any(|one| one.name == *name && one.mode != InterfaceMode::None)
        };
        let seen = links.iter().filter(|link| seen_on(link.index, &links).iter().any(attached));
        let seen = seen.map(|link| link.index).collect();
        // A driver that runs no program need not take what another redirects.
        let generic = reports.iter().any(|one| one.mode == InterfaceMode::Generic);
        let mode = if generic { Mode::Generic } else { Mode::Native };
        self.path.follow(&mut self.ebpf, &config, mode);
        let view = self.controller.view_mut();
        view.seen = seen;
        view.probe_interface = self.path.ifindex();
        if let Err(error) = self.controller.follow_probe_ways() {
            error!("{error}; trying again");
        }
    }

    /// Why some backends are not probed through the data path.
    pub(super) fn path_warnings(&self) -> Vec<String> {
        match &self.path.trouble {
            Some(trouble) => vec![trouble.clone()],
            None => self.controller.unseen_ways(),
        }
    }

    fn follow_own_host(&mut self) {
        let config = self.controller.config().clone();
        let wanted = own_host::Wanted {
            egress: self.controller.translates_for_own_host(),
            sockets: config.local_clients,
            interfaces: &config.interfaces,
        };
        let links = self.inputs.links.borrow().clone();
        self.own_host.follow(&mut self.ebpf, &links, wanted);
    }

    fn do_chore(&mut self, chore: Chore, turn: &mut Turn) {
        match chore {
            Chore::Housekeep => {
                if let Err(error) = self.controller.housekeep() {
                    error!("{error}; trying again");
                }
            }
            Chore::Refresh => {
                self.tell_time();
                self.refresh();
                self.retry_discovered();
            }
            Chore::NextHops => {
                self.monitor.watch(self.controller.next_hop_targets());
                for address in self.controller.unresolved() {
                    self.monitor.hurry(address);
                }
            }
            Chore::Interfaces => self.follow_interfaces(),
            Chore::Remember => {
                self.remember_health();
                self.discovery.remember();
                self.note_warnings(turn);
            }
            Chore::Inspect => self.inspect(turn),
        }
    }

    /// Tells of warnings that have come up, or gone, since the last second.
    fn note_warnings(&mut self, turn: &Turn) {
        let discovered = self.discovery.warnings();
        let path = self.path_warnings();
        let found = turn.findings.iter().chain(&self.way_problems).chain(&discovered).chain(&path);
        let mut now: BTreeMap<String, String> =
            found.map(|one| (one.clone(), one.clone())).collect();
        // What is behind the colon has numbers that grow.
        let about = |one: &String| one.split(": ").next().unwrap_or_default().to_owned();
        let changing = [turn.refusals.warnings(), &self.notifier.warnings()[..]].concat();
        now.extend(changing.into_iter().map(|one| (about(&one), one)));
        for (_, what) in now.iter().filter(|(about, _)| !self.warned.contains_key(*about)) {
            // It is in the log since it was found.
            self.journal.record(Event::new(EventKind::Warning, what.clone()));
        }
        for (_, what) in self.warned.iter().filter(|(about, _)| !now.contains_key(*about)) {
            self.journal.announce(Event::new(EventKind::WarningCleared, what.clone()));
        }
        self.warned = now;
    }

    /// In the background.
    fn remember_health(&mut self) {
        let starting = self.controller.starting();
        if std::mem::take(&mut self.health_changed) || starting != self.starting {
            self.starting = starting;
            let (file, memory) = (self.health_file.clone(), self.controller.to_remember());
            tokio::task::spawn_blocking(move || write_health(&file, &memory));
        }
    }

    /// In the background; the loop gets what was found.
    fn inspect(&self, turn: &mut Turn) {
        let Ok(place) = turn.inspected.clone().try_reserve_owned() else { return };
        let reports = self
            .interfaces
            .report(&self.inputs.links.borrow(), &self.controller.config().interfaces);
        let attached = reports.iter().filter(|one| one.mode != InterfaceMode::None);
        let native = attached.clone().filter(|one| one.mode == InterfaceMode::Native);
        let next_hops = self.inputs.next_hops.borrow();
        let wanted = Wanted {
            links: self.inputs.links.borrow().clone(),
            native: native.map(|one| one.name.clone()).collect(),
            ingress: attached.map(|one| one.name.clone()).collect(),
            egress: next_hops.values().flatten().map(|hop| hop.interface.clone()).collect(),
            settings: turn.seconds.is_multiple_of(SETTINGS_EVERY),
            backends: self.controller.backend_ids(),
            backend_stats: self.backend_stats.clone(),
        };
        turn.seconds += 1;
        let monitor = self.monitor.clone();
        tokio::spawn(async move {
            if let Some(found) = inspect(&monitor, wanted).await {
                place.send(found);
            }
        });
    }

    fn note(&mut self, found: Inspected, turn: &mut Turn) {
        let unlogged =
            found.counters.values().fold(0, |sum: u64, one| sum.wrapping_add(one.unlogged));
        let before = self.unlogged.replace(unlogged).unwrap_or(unlogged);
        self.logger.lose(unlogged.saturating_sub(before));
        match self.controller.look_at_traffic(&found.counters) {
            Ok(doubtful) => doubtful.iter().for_each(|target| self.prober.hurry(target)),
            Err(error) => error!("{error}; trying again"),
        }
        let full = self.controller.flows_without_room();
        let pool = |id| self.controller.pool_of(id);
        turn.refusals.note(found.counted_at, &found.counters, full, pool);
        turn.note(found);
    }

    fn begin_scan(&mut self, turn: &mut Turn) {
        turn.next_scan = tokio::time::Instant::now() + SCAN_PAUSE;
        if !self.controller.needs_scan() {
            return;
        }
        match self.controller.begin_scan() {
            Ok(scan) => turn.scan = Some(scan),
            Err(error) => error!("flow table: {error}"),
        }
    }

    fn go_on_scanning(&mut self, turn: &mut Turn) {
        let Some(scan) = turn.scan.take() else { return };
        match self.controller.scan(scan) {
            Ok(rest) => turn.scan = rest,
            Err(error) => error!("flow table: {error}; the scan is begun again"),
        }
        turn.next_scan = tokio::time::Instant::now() + SCAN_PAUSE;
    }

    async fn stop(self) -> anyhow::Result<()> {
        notify(Notice::Stopping);
        self.journal.announce(Event::new(EventKind::Stopping, "told to"));
        write_health(&self.health_file, &self.controller.to_remember());
        self.discovery.remember_now();
        match self.controller.config().on_exit {
            OnExit::Keep => info!(
                "stopped; the XDP program forwards on. `lb-daemon unload --instance {}` ends that",
                self.lock.instance()
            ),
            OnExit::Unload => {
                self.monitor.watch([]);
                unload(&self.pins)?;
                info!("stopped; the XDP program and its maps are removed (on_exit: unload)");
            }
        }
        drop(self.ebpf);
        self.notifier.finish(LAST_WORDS).await;
        Ok(())
    }
}

fn write_health(file: &HealthFile, memory: &HealthMemory) {
    if let Err(error) = file.write(memory) {
        warn!("since when backends are up or not will not be known after a restart: {error}");
    }
}
