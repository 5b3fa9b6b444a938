//! A daemon with its operator, its probes and its clock, and everything that may
//! happen to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use lb_test_support::{host::Host, random::Random};
use tempfile::TempDir;

use super::{
    balancer::{Balancer, Shared},
    mutants::Mutant,
    operator::{File, Place},
    traffic::Traffic,
};
use crate::{
    control::{Controller, FlowScan},
    state::{HealthMemory, Identity},
};

pub type Daemon = Controller<Shared, Shared>;

/// What the operator decided beside the file.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Decided {
    pub drained: bool,
    pub weight: Option<u16>,
}

pub struct World {
    pub random: Random,
    pub balancer: Rc<Balancer>,
    pub daemon: Option<Daemon>,
    /// The file in force.
    pub file: File,
    pub decided: BTreeMap<Place, Decided>,
    /// What was being decided of these when the daemon died is not known.
    pub(super) unsure: BTreeSet<Place>,
    pub(super) state: TempDir,
    /// The file that says what probes found.
    pub(super) health: HealthMemory,
    pub(super) scan: Option<FlowScan>,
    pub(super) mutant: Option<Mutant>,
}

/// In memory where that can be had: each change of state is synchronized.
fn state_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

impl World {
    pub fn new(seed: u64, mutant: Option<Mutant>) -> Self {
        let mut random = Random::new(seed);
        let start = 1_000_000 + random.below(1000);
        let copies = random.below(3) == 0;
        let capacity = if random.below(3) == 0 { 4 + random.below(12) as u32 } else { 1 << 16 };
        let traffic = Traffic::new(random.next(), copies, start);
        let balancer = Rc::new(Balancer::new(traffic, capacity, mutant));
        let file = File::new(&mut random);
        let mut world = Self {
            balancer,
            daemon: None,
            file,
            decided: BTreeMap::new(),
            unsure: BTreeSet::new(),
            state: state_directory(),
            health: HealthMemory::default(),
            scan: None,
            mutant,
            random,
        };
        let identity = Identity::new([world.random.next(), world.random.next()]);
        world.state_file().write(&identity).unwrap();
        world.begin(world.file.clone(), true);
        world
    }

    pub fn host<T>(&self, what: impl FnOnce(&mut Traffic, &mut Host) -> T) -> T {
        what(&mut self.balancer.traffic.borrow_mut(), &mut self.balancer.host.borrow_mut())
    }

    /// One thing happens; an error when a promise is broken.
    pub fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..16 => self.time_passes(),
            16..56 => self.host(|traffic, host| traffic.one_sends(host)),
            56..58 => self.flood(),
            58..62 => self.a_server_changes(),
            62..68 => self.probe(),
            68..84 => self.a_second_of_work(),
            84..90 => self.scan_goes_on(),
            90..94 => self.reload(),
            94..97 => self.order(),
            97 if self.random.below(3) == 0 => self.restart(),
            _ => {
                self.operate(|daemon| daemon.work());
            }
        }
        self.check()
    }

    fn time_passes(&mut self) {
        let most = [500, 2500, 6000][self.random.below(3) as usize];
        let by = 1 + self.random.below(most);
        self.host(|traffic, _| traffic.truth.time_passes(by));
    }

    fn flood(&mut self) {
        for _ in 0..self.random.below(8) {
            self.host(|traffic, host| traffic.stranger_sends(host));
        }
    }
}
