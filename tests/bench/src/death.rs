//! One host that serves a thousand services dies and returns: how long until all
//! its entries say so, and until no slot leads to it.
//!
//! The daemon's own controller, on maps of its own in the kernel, is told what
//! its probes would tell it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use aya::maps::{Map, MapData};
use lb_common::abi::{
    Backend, MAX_BACKENDS, MAX_SERVICES, Service, SlotWord, backend_flags, map_names,
};
use lb_daemon::config::{self, Config};
use lb_daemon::control::{Controller, Parts, targets};
use lb_daemon::dataplane::{DataPlane, Kernel, KernelSlots};
use lb_daemon::events::Journal;
use lb_daemon::health::{HealthEvent, State};
use lb_daemon::loader::{self, MapSizes, PinDir};
use lb_daemon::nat::{Directory, NatTables, Registry};
use lb_daemon::netlink::{MacAddress, NextHop, NextHops};
use lb_daemon::state::StateFile;

use crate::mapped::Mapped;
use crate::median;

pub const SERVICES: usize = 1000;
pub const HOSTS: u8 = 10;
/// Hosts that die, one after the other.
const DEATHS: u8 = 5;

/// Milliseconds, medians.
pub struct Death {
    /// From the news to the last entry's bit.
    pub marked: f64,
    /// The same when a host returns; one run.
    pub returned: f64,
    /// From the news to the last slot.
    pub tables: f64,
    /// The longest that the loop does something else before it looks for news.
    pub away: f64,
}

/// Pins and state, gone at the end.
struct Place {
    pins: PinDir,
    state: std::path::PathBuf,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = loader::unload(&self.pins);
        let _ = std::fs::remove_dir_all(&self.state);
    }
}

pub fn measure(object: &[u8]) -> Result<Death> {
    let returned = Scene::new(object)?.death_and_return()?;
    Scene::new(object)?.deaths(returned)
}

/// A thousand services, settled.
struct Scene {
    controller: Controller<Kernel, KernelSlots>,
    entries: Mapped<Backend>,
    services: Mapped<Service>,
    slots: Mapped<u64>,
    _place: Place,
}

impl Scene {
    fn new(object: &[u8]) -> Result<Self> {
        let name = format!("lb-bench-{}", std::process::id());
        let place =
            Place { pins: PinDir::of_instance(&name), state: std::env::temp_dir().join(&name) };
        let config = config::parse("bench", &file())
            .map_err(|problems| anyhow::anyhow!("{problems}"))?
            .config;
        let sizes = MapSizes::of(&config.limits);
        let loaded = loader::load(object, &place.pins, sizes).context("cannot load the program")?;
        let state_file = StateFile::in_directory(&place.state);
        let plane = Kernel::open(&place.pins, loaded.clock)?;
        let flows = NatTables::open(&place.pins)?;
        let parts = Parts {
            nat: Arc::new(Registry::new(flows, Directory::empty(plane.ticks()))),
            journal: Journal::default(),
            ways: Arc::default(),
            plane,
            slots: KernelSlots::open(&place.pins)?,
            slot_space: sizes.slots,
            identity: state_file.fresh()?,
            state_file,
            config,
        };
        let mut controller = Controller::new(parts, true)?;
        controller.view_mut().next_hops = Arc::new(next_hops());
        controller.start()?;
        while controller.has_work() {
            controller.work();
        }
        let entries = pinned(&place.pins, map_names::BACKENDS)?;
        let services = pinned(&place.pins, map_names::SERVICES)?;
        let slots = pinned(&place.pins, map_names::SLOTS)?;
        Ok(Self {
            controller,
            entries: Mapped::of(&entries, MAX_BACKENDS)?,
            services: Mapped::of(&services, MAX_SERVICES)?,
            slots: Mapped::of(&slots, sizes.slots)?,
            _place: place,
        })
    }

    /// Hosts die, one after the other.
    fn deaths(mut self, returned: f64) -> Result<Death> {
        let (mut marked, mut tables, mut away) = (Vec::new(), Vec::new(), Longest::default());
        for host in 1..=DEATHS {
            let start = Instant::now();
            marked.push(self.becomes(host, State::Dead, host.into())?);
            let controller = &mut self.controller;
            while controller.has_work() {
                away.time(|| controller.work());
            }
            tables.push(milliseconds(start));
            let led = led_to(&self.services, &self.slots, &dead(&self.entries));
            ensure!(led == 0, "{led} slots still lead to the dead host");
            away.time(|| controller.tick())?;
            away.time(|| controller.housekeep())?;
            away.time(|| controller.refresh())?;
            away.time(|| controller.to_remember());
            away.time(|| controller.next_hop_targets());
        }
        Ok(Death {
            marked: median(&mut marked),
            returned,
            tables: median(&mut tables),
            away: away.0,
        })
    }

    /// The same host, once its slots have others.
    fn death_and_return(mut self) -> Result<f64> {
        self.becomes(1, State::Dead, 1)?;
        while self.controller.has_work() {
            self.controller.work();
        }
        self.becomes(1, State::Up, 0)
    }

    /// Tells the controller, and returns the milliseconds until all entries say
    /// so. `dead_hosts`: how many are dead then.
    fn becomes(&mut self, host: u8, state: State, dead_hosts: usize) -> Result<f64> {
        let event = news(self.controller.config(), host, state)?;
        let start = Instant::now();
        self.controller.view_mut().note(event);
        self.controller.refresh()?;
        let taken = milliseconds(start);
        let dead = dead(&self.entries).len();
        ensure!(dead == dead_hosts * SERVICES, "{dead} entries say dead");
        Ok(taken)
    }
}

/// What the probes would say of a host.
fn news(config: &Config, host: u8, state: State) -> Result<HealthEvent> {
    let all = targets(config);
    let target = all.into_iter().find(|target| target.address == address(host));
    Ok(HealthEvent {
        target: Arc::new(target.context("every host is probed")?),
        state,
        reason: "the bench says so".into(),
        at: SystemTime::now(),
    })
}

/// Milliseconds that the longest of several steps took.
#[derive(Default)]
struct Longest(f64);

impl Longest {
    fn time<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = step();
        self.0 = self.0.max(milliseconds(start));
        result
    }
}

fn address(host: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, host).into()
}

/// Ten hosts behind every service, probed once for all of them.
fn file() -> String {
    let backends: Vec<_> =
        (1..=HOSTS).map(|host| format!("{{name: h{host}, address: {}}}", address(host))).collect();
    let services: String = (0..SERVICES)
        .map(|number| {
            format!(
                "- {{name: s{number}, vip: 203.0.{}.{}, port: 80, protocol: tcp, mode: dsr, health: \
                 {{via: direct, port: 8080}}, backends: [{}]}}\n",
                113 + number / 250,
                1 + number % 250,
                backends.join(", ")
            )
        })
        .collect();
    format!("interfaces: [lo]\nservices:\n{services}")
}

fn next_hops() -> NextHops {
    let hop = |host| NextHop {
        ifindex: 1,
        interface: "lo".into(),
        source_mac: MacAddress([2, 0, 0, 0, 0, 0]),
        destination_mac: MacAddress([2, 0, 0, 0, 0, host]),
        mtu: 1500,
        source: None,
        gateway: None,
    };
    (1..=HOSTS).map(|host| (address(host), Ok(hop(host)))).collect()
}

fn pinned(pins: &PinDir, name: &str) -> Result<Map> {
    let data = MapData::from_pin(pins.map(name)).with_context(|| format!("cannot open {name}"))?;
    Ok(Map::Array(data))
}

fn dead(entries: &Mapped<Backend>) -> BTreeSet<u16> {
    let is_dead = |id: &u32| entries.get(*id).flags & backend_flags::DEAD != 0;
    (0..MAX_BACKENDS).filter(is_dead).map(|id| id as u16).collect()
}

/// Slots of services that give new flows to one of these.
fn led_to(services: &Mapped<Service>, slots: &Mapped<u64>, dead: &BTreeSet<u16>) -> usize {
    let tables = (0..MAX_SERVICES).map(|id| services.get(id).table);
    let all = tables.flat_map(|table| table.base..table.base + table.count);
    all.filter(|slot| dead.contains(&SlotWord(slots.get(*slot)).current())).count()
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
