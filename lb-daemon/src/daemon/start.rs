//! From a configuration file to a running data path.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tracing::{info, warn};

use super::{
    RunOptions,
    discovered::Discovered,
    events::{Daemon, Inputs},
    notify::{Notice, notify},
    own_host::{self, OwnHost},
    path::PathSetup,
    program_log,
    requests::{FOLLOWERS, FlowSource, Requests, readers},
};
use crate::{
    api::types::{Event, EventKind},
    api::{InstanceLock, RuntimeDir, Server},
    config::{self, Comparison, Config, Loaded, Severity},
    control::{Controller, Interfaces, Parts, targets},
    dataplane::{BackendStats, DataPlane, Kernel, KernelSlots, ProbePorts},
    discovery::AnswerFile,
    events::Journal,
    health::{
        Prober,
        path::{Namespace, Path, Ways},
    },
    loader::{self, MapSizes, PinDir, object},
    nat::{self, Directory, Events, Logger, NatTables, Registry},
    netlink::Monitor,
    state::{HealthFile, Identity, StateFile},
};

/// How long the first look at next hops may take before packets are let in
/// without.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// Requests that wait for the control loop.
const REQUESTS: usize = 64;

/// `namespace`: for probes through the data path, or why there is none.
pub async fn start(
    options: RunOptions,
    namespace: io::Result<Namespace>,
) -> anyhow::Result<Daemon> {
    let RunOptions { instance, config_path } = options;
    let lock = InstanceLock::acquire(&RuntimeDir::default(), &instance)?;
    // A host that is not ready yet, at boot, is no reason not to begin.
    let host = Comparison::with_this_host(Severity::Warn);
    let Loaded { config, warnings } = config::load(&config_path, Some(&host))?;
    for warning in &warnings {
        warn!("{warning}");
    }
    let readers = readers(&config)?;
    let pins = PinDir::of_instance(instance.as_str());
    let sizes = MapSizes::of(&config.limits);
    let loaded = loader::load(object::embedded()?, &pins, sizes)?;
    if loaded.kept_tables {
        info!("limits.nat_flows: the tables keep their size while they hold flows");
    }
    let mut ebpf = loaded.ebpf;
    program_log::forward(&mut ebpf);
    let state_file = StateFile::of_instance(instance.as_str());
    let health_file = HealthFile::beside(state_file.path());
    let identity = identity(&state_file, loaded.adopted, &pins)?;
    let plane = Kernel::open(&pins, loaded.clock)?;
    let clock = plane.clock()?;
    let nat = Arc::new(Registry::new(NatTables::open(&pins)?, Directory::empty(plane.ticks())));
    let journal = Journal::default();
    let answers = AnswerFile::beside(state_file.path());
    let (discovery, config, discovered) = Discovered::start(config, answers).await;
    let ways = Arc::new(Ways::default());
    let path = path(namespace, &pins, &ways)?;
    let parts = Parts {
        plane,
        slots: KernelSlots::open(&pins)?,
        slot_space: sizes.slots,
        state_file,
        identity,
        config,
        nat: nat.clone(),
        journal: journal.clone(),
        ways: ways.clone(),
    };
    let backend_stats = Arc::new(BackendStats::open(&pins)?);
    let monitor = Arc::new(Monitor::start()?);
    let mut controller = Controller::new(parts, !loaded.adopted)?;
    let (health_sender, health) = mpsc::unbounded_channel();
    let prober = Prober::new(health_sender, path.as_ref().ok().cloned());
    prober.set_targets(targets(controller.config()));
    for (target, status) in controller.remembered(&health_file.read()) {
        prober.restore(&target, status.state);
        controller.view_mut().restore(target, status);
    }
    look_around(&monitor, &mut controller).await;
    controller.view_mut().tell_time(SystemTime::now());
    controller.start()?;
    monitor.watch(controller.next_hop_targets());
    while controller.has_work() {
        controller.work();
    }
    let mut own_host = OwnHost::new(pins.clone());
    let config = controller.config().clone();
    let wanted = own_host::Wanted {
        egress: controller.translates_for_own_host(),
        sockets: config.local_clients,
        interfaces: &config.interfaces,
    };
    let links = monitor.links().borrow().clone();
    own_host.follow(&mut ebpf, &links, wanted);
    let attacher = (loaded.attacher, journal.clone());
    let interfaces = attach(attacher, &pins, &monitor, controller.config())?;
    let path = PathSetup::new(path, instance.as_str());

    let (sender, requests) = mpsc::channel(REQUESTS);
    let flows = FlowSource::new(nat.clone(), clock.try_clone()?, pins.clone());
    let handler = Requests {
        sender,
        config_path: config_path.clone(),
        flows,
        journal: journal.clone(),
        followers: Arc::new(Semaphore::new(FOLLOWERS)),
        in_force: discovery.wanted(),
    };
    let nat_log = controller.config().nat_log.clone();
    let logger = Logger::start(Events::open(&pins)?, nat.clone(), clock.try_clone()?, nat_log)?;
    let ends = logger.clone();
    nat::start(&nat, clock, move |ended| ends.note(ended))?;
    let server = Server::bind(&lock, readers)
        .with_context(|| format!("cannot make the control socket {}", lock.socket().display()))?;
    let socket = server.access();
    tokio::spawn(server.serve(handler.clone()));
    let inputs = Inputs {
        health,
        requests,
        next_hops: monitor.next_hops(),
        links: monitor.links(),
        addresses: monitor.addresses(),
        discovered,
        hang_up: signal(SignalKind::hangup())?,
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let found =
        if loaded.adopted { "took over from an earlier daemon" } else { "started with new maps" };
    let services = controller.config().services.len();
    let what = format!("instance {instance}: {found}, services: {services}");
    journal.announce(Event::new(EventKind::Started, what).to(if loaded.adopted {
        "adopted"
    } else {
        "new"
    }));
    notify(Notice::Ready);
    let mut daemon = Daemon {
        lock,
        socket,
        pins,
        ebpf,
        nat,
        logger,
        unlogged: None,
        controller,
        interfaces,
        own_host,
        monitor,
        prober,
        discovery,
        backend_stats,
        health_file,
        health_changed: true,
        inputs,
        handler,
        config_path,
        started: Instant::now(),
        loaded_at: SystemTime::now(),
        last_error: None,
        config_warnings: warnings.iter().map(ToString::to_string).collect(),
        dead_neighbours: BTreeSet::new(),
        way_problems: Vec::new(),
        journal,
        warned: BTreeMap::new(),
        path,
    };
    daemon.follow_path();
    Ok(daemon)
}

/// What probes through the data path need, or why they cannot be made.
fn path(
    namespace: io::Result<Namespace>,
    pins: &PinDir,
    ways: &Arc<Ways>,
) -> anyhow::Result<Result<Arc<Path>, String>> {
    Ok(match namespace {
        Ok(namespace) => {
            let memory = Box::new(ProbePorts::open(pins)?);
            Ok(Arc::new(Path::new(Arc::new(namespace), memory, ways.clone())))
        }
        Err(error) => Err(format!(
            "no network namespace can be made for them: {error}; that takes CAP_SYS_ADMIN at the \
             start, which the systemd unit grants"
        )),
    })
}

fn identity(file: &StateFile, adopted: bool, pins: &PinDir) -> anyhow::Result<Identity> {
    match file.read()? {
        Some(identity) => Ok(identity),
        None if adopted => bail!(
            "{} is missing, but {} holds the maps that it numbers: restore it, or run `lb-daemon \
             unload --instance {}` and start again (every flow is then assigned anew)",
            file.path().display(),
            pins.path().display(),
            lock_name(pins)
        ),
        None => Ok(file.fresh()?),
    }
}

fn lock_name(pins: &PinDir) -> String {
    pins.path().file_name().map(PathBuf::from).unwrap_or_default().display().to_string()
}

/// Waits a moment until all next hops have been looked up.
async fn look_around(monitor: &Monitor, controller: &mut Controller<Kernel, KernelSlots>) {
    let backends = controller.config().services.iter().flat_map(|service| &service.backends);
    let wanted: BTreeSet<IpAddr> = backends.map(|backend| backend.address).collect();
    monitor.watch(wanted.iter().copied());
    let mut next_hops = monitor.next_hops();
    let known = next_hops.wait_for(|hops| wanted.iter().all(|one| hops.contains_key(one)));
    // What is not known by now is followed up later.
    let _ = timeout(FIRST_LOOK, known).await;
    let view = controller.view_mut();
    view.next_hops = monitor.next_hops().borrow().clone();
    view.addresses = monitor.addresses().borrow().clone();
}

fn attach(
    (attacher, journal): (loader::Attacher, Journal),
    pins: &PinDir,
    monitor: &Monitor,
    config: &Config,
) -> anyhow::Result<Interfaces<loader::Attacher>> {
    let links = monitor.links().borrow().clone();
    let mut interfaces = Interfaces::new(attacher, journal);
    let linked = pins
        .linked_interfaces()
        .with_context(|| format!("cannot read {}", pins.path().display()))?;
    interfaces.leave_others(&linked, &links, &config.interfaces);
    interfaces.follow(&links, &config.interfaces);
    Ok(interfaces)
}
