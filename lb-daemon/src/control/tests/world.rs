//! A controller, and eyes that look at its maps as packets do.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::SystemTime,
};

use lb_common::{
    abi::{
        Backend, FlowEntry, FlowKey, FlowOwner, FlowSeen, FlowState, PortEntry, SlotWord, VipEntry,
    },
    hash::{FlowHash, FlowWords},
    lookup::{port_buckets, port_in, vip_buckets, vip_in},
};
use tempfile::TempDir;

use crate::{
    api::{
        protocol::Reloaded,
        types::{ConfigStats, Stats},
    },
    config,
    control::{ControlError, Controller, Parts, Rates, Surroundings, view::target},
    dataplane::{DataPlane, Fake, words_of},
    events::Journal,
    health::{HealthEvent, State, path::Ways},
    nat::{Buckets, Directory, NatTables, Pass, Registry},
    netlink::{MacAddress, NextHop},
    slots::{HeapSlots, SlotMemory},
    state::{OverridesFile, StateFile},
};

pub const SECOND: u64 = 1000;
const SLOT_SPACE: u32 = 1 << 16;

pub struct World {
    pub controller: Controller<Fake, HeapSlots>,
    state: TempDir,
}

/// A file with services of the given lines.
pub fn file(services: &[String]) -> config::Config {
    let text = format!("interfaces: [eth0]\nservices:\n{}", services.concat());
    config::parse("lb.yaml", &text).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// A service at 192.0.2.VIP:80 with backends (last byte of the address, weight).
pub fn service(name: &str, vip: u8, more: &str, backends: &[(u8, u16)]) -> String {
    let backends: Vec<_> = backends
        .iter()
        .map(|(last, weight)| {
            format!("{{name: b{last}, address: 10.0.0.{last}, weight: {weight}}}")
        })
        .collect();
    format!(
        "- {{name: {name}, vip: 192.0.2.{vip}, port: 80, protocol: tcp, mode: dsr, table_size: \
         251, idle: {{tcp: 20s, udp: 5s}}, closing: 10s, half_open: 10s, health: {{type: tcp}}{more}, \
         backends: [{}]}}\n",
        backends.join(", ")
    )
}

/// Tables of translated flows that have a bucket each.
pub fn registry() -> Arc<Registry> {
    let buckets = Buckets { narrow: 1, narrow_new: 1, wide: 1, wide_new: 1 };
    let tables = NatTables::of_nothing(buckets).unwrap();
    Arc::new(Registry::new(tables, Directory::empty(Fake::default().ticks)))
}

pub fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// From a client to 192.0.2.1:80.
pub fn flow_to_web(port: u16) -> FlowKey {
    let mapped = |last: [u8; 4]| std::net::Ipv4Addr::from(last).to_ipv6_mapped().octets();
    FlowKey {
        source: mapped([198, 51, 100, 7]),
        destination: mapped([192, 0, 2, 1]),
        source_port: port.to_be_bytes(),
        destination_port: 80u16.to_be_bytes(),
        protocol: 6,
        reserved: [0; 3],
    }
}

impl World {
    pub fn new(services: &[String]) -> Self {
        Self::with_ways(services, Arc::default())
    }

    /// A prober may look at `ways`.
    pub fn with_ways(services: &[String], ways: Arc<Ways>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file_of_state = StateFile::in_directory(state.path());
        let identity = file_of_state.fresh().unwrap();
        let parts = Parts {
            plane: Fake::default(),
            slots: HeapSlots::new(SLOT_SPACE),
            slot_space: SLOT_SPACE,
            state_file: file_of_state,
            identity,
            config: file(services),
            nat: registry(),
            journal: Journal::default(),
            ways,
        };
        let mut world = Self { controller: Controller::new(parts, true).unwrap(), state };
        world.resolve();
        world.controller.start().unwrap();
        world.settle();
        world
    }

    /// The daemon is killed; another one finds the same maps and state.
    pub fn succeed(self, services: &[String]) -> Self {
        let state_file = StateFile::in_directory(self.state.path());
        let parts = Parts {
            plane: Fake { writes: Vec::new(), ..self.controller.plane.clone() },
            slots: self.controller.engine.memory().clone(),
            slot_space: SLOT_SPACE,
            identity: state_file.read().unwrap().unwrap(),
            state_file,
            config: file(services),
            nat: registry(),
            journal: Journal::default(),
            ways: Arc::default(),
        };
        let time = self.controller.view.time;
        let mut controller = Controller::new(parts, false).unwrap();
        controller.view.time = time;
        Self { controller, state: self.state }
    }

    /// As the daemon begins after [`Self::succeed`], a second later.
    pub fn begin(&mut self) {
        self.resolve();
        self.controller.start().unwrap();
        self.settle();
    }

    /// Every backend's next hop is known.
    pub fn resolve(&mut self) {
        let hop = |last: u8| NextHop {
            ifindex: 3,
            interface: "eth0".into(),
            source_mac: MacAddress([2, 0, 0, 0, 0, 0]),
            destination_mac: MacAddress([2, 0, 0, 0, 0, last]),
            mtu: 1500,
            source: None,
            gateway: None,
        };
        let hops: BTreeMap<_, _> = (0..=255).map(|last| (address(last), Ok(hop(last)))).collect();
        self.controller.view_mut().next_hops = Arc::new(hops);
    }

    pub fn settle(&mut self) {
        while self.controller.has_work() {
            self.controller.work();
        }
    }

    pub fn reload(&mut self, services: &[String]) -> Result<Reloaded, ControlError> {
        let answer = self.controller.reload(file(services), false)?;
        self.settle();
        Ok(answer)
    }

    /// Probes find a backend of `service` in a new state. Tables follow with
    /// [`Self::settle`].
    pub fn found(&mut self, service: &str, last: u8, state: State) {
        let config = self.controller.config().clone();
        let service = config.services.iter().find(|one| one.name == service).unwrap();
        let backend = service.backends.iter().find(|one| one.address == address(last)).unwrap();
        let target = Arc::new(target(service, backend).unwrap());
        let event = HealthEvent { target, state, reason: "test".into(), at: SystemTime::now() };
        self.controller.view_mut().note(event);
        self.controller.refresh().unwrap();
    }

    /// Lets seconds pass, each with what the daemon does in one.
    pub fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.controller.plane.now += SECOND;
            self.controller.view.time += 1;
            self.controller.tick().unwrap();
            self.controller.housekeep().unwrap();
            self.controller.refresh().unwrap();
            self.settle();
            self.sweep();
            let mut scan = Some(self.controller.begin_scan().unwrap());
            while let Some(under_way) = scan {
                scan = self.controller.scan(under_way).unwrap();
            }
        }
    }

    /// A whole pass over the tables of translated flows.
    pub fn sweep(&mut self) {
        let registry = self.controller.nat.clone();
        let mut pass = Pass::begin(&registry);
        while pass.slice(self.controller.plane.now, &mut |_| {}) {}
        registry.set_census(pass.finish());
    }

    pub fn stats(&mut self) -> Stats {
        let rates = Rates::default();
        let around = Surroundings {
            instance: "main".into(),
            uptime: 0,
            config: ConfigStats::default(),
            interfaces: vec![],
            rates: &rates,
            warnings: vec![],
            probed: HashMap::new(),
            local_clients: false,
            nat_log: None,
            notify: vec![],
        };
        self.controller.stats(around).unwrap()
    }

    /// A packet of a flow passes that 192.0.2.1:80 has stored for a backend.
    pub fn store(&mut self, key: FlowKey, owner: u16) {
        let table = self.controller.identity.services["web"].table.unwrap();
        let slot = FlowHash::of(&FlowWords::from(&key), table.key).slot(table.count);
        let epoch = self.words(1).unwrap()[slot as usize].epoch();
        let seen = FlowSeen::new(self.controller.plane.now, FlowState::Open);
        let entry = FlowEntry { owner: FlowOwner::new(owner, epoch, 0), seen };
        self.controller.plane.flows.insert(key, entry);
    }

    /// The state directory becomes a place where nothing can be written.
    pub fn forbid_state(&mut self) {
        let file = self.state.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        self.controller.state_file = StateFile::in_directory(&file);
        self.controller.overrides_file = OverridesFile::beside(self.controller.state_file.path());
    }

    pub fn writes(&mut self) -> Vec<crate::dataplane::Write> {
        std::mem::take(&mut self.controller.plane.writes)
    }

    pub fn id(&self, service: &str, last: u8) -> Option<u16> {
        self.controller.identity.services.get(service)?.backends.get(&address(last)).copied()
    }

    pub fn backend(&self, id: u16) -> Backend {
        self.controller.plane.backend(id)
    }

    /// The words of the table that packets for 192.0.2.VIP:80 find.
    pub fn words(&self, vip: u8) -> Option<Vec<SlotWord>> {
        let plane = &self.controller.plane;
        let address = words_of(IpAddr::from([192, 0, 2, vip]));
        let meta = vip_buckets(address)
            .into_iter()
            .find_map(|bucket| vip_in(&plane.vip_bucket(bucket), address))?;
        let key = PortEntry::new(VipEntry::id_of(meta), 6, 80, 0).key();
        let service = port_buckets(key)
            .into_iter()
            .find_map(|bucket| port_in(&plane.port_bucket(bucket), key))?;
        let table = plane.service(service).table;
        let memory = self.controller.engine.memory();
        Some((table.base..table.base + table.count).map(|index| memory.load(index)).collect())
    }

    /// How many slots give new flows to a backend.
    pub fn share(&self, vip: u8, id: u16) -> usize {
        self.words(vip).unwrap().iter().filter(|word| word.current() == id).count()
    }

    pub fn all_at_rest(&self, vip: u8) -> bool {
        self.words(vip).unwrap().iter().all(|word| !word.look_up())
    }
}
