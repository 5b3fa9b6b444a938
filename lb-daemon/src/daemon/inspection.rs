//! What the interfaces' drivers say (packets lost after the verdict, and
//! settings that stand in the way), and what is counted for backends. It may
//! take its time, so this runs beside the control loop.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use lb_common::abi::BackendCounters;
use tracing::{debug, warn};

use crate::dataplane::BackendStats;
use crate::netlink::{
    LinkStatistics, Links, Monitor,
    ethtool::Ethtool,
    preflight::{Inspector, native_ingress, redirect_egress},
    xdp_losses,
};

/// What to look at.
pub struct Wanted {
    pub links: Arc<Links>,
    /// Interfaces with the program in their driver.
    pub native: BTreeSet<String>,
    /// Interfaces with the program, in whatever mode.
    pub ingress: BTreeSet<String>,
    /// Interfaces that next hops are on.
    pub egress: BTreeSet<String>,
    /// Whether to look at their settings, too.
    pub settings: bool,
    /// Whose counters to read.
    pub backends: Vec<u16>,
    pub backend_stats: Arc<BackendStats>,
}

#[derive(Debug)]
pub struct Inspected {
    pub at: Instant,
    pub statistics: BTreeMap<u32, LinkStatistics>,
    /// By interface; those whose drivers do not count losses are missing.
    pub losses: BTreeMap<String, u64>,
    /// `None`: the settings were not looked at.
    pub findings: Option<Vec<String>>,
    pub counted_at: Instant,
    pub counters: HashMap<u16, BackendCounters>,
}

/// Asks the kernel and the drivers.
pub async fn inspect(monitor: &Monitor, wanted: Wanted) -> Option<Inspected> {
    let at = Instant::now();
    let statistics = match monitor.statistics().await {
        Ok(statistics) => statistics,
        Err(error) => {
            warn!("{error}");
            return None;
        }
    };
    let asked = tokio::task::spawn_blocking(move || {
        let counted_at = Instant::now();
        Inspected {
            at,
            statistics,
            counters: counters(&wanted),
            counted_at,
            losses: losses(&wanted),
            findings: wanted.settings.then(|| findings(&wanted)),
        }
    });
    asked.await.ok()
}

/// A backend whose counters cannot be read has no rates.
fn counters(wanted: &Wanted) -> HashMap<u16, BackendCounters> {
    let read = |id: &u16| Some((*id, wanted.backend_stats.read(*id).ok()?));
    wanted.backends.iter().filter_map(read).collect()
}

fn losses(wanted: &Wanted) -> BTreeMap<String, u64> {
    let Ok(ethtool) = Ethtool::open() else { return BTreeMap::new() };
    let interfaces = wanted.ingress.union(&wanted.egress);
    let of = |name: &String| Some((name.clone(), xdp_losses(&ethtool.counters(name).ok()?)?));
    interfaces.filter_map(of).collect()
}

fn findings(wanted: &Wanted) -> Vec<String> {
    let mut inspector = match Inspector::open() {
        Ok(inspector) => inspector,
        Err(error) => {
            debug!("interfaces' settings cannot be looked at: {error}");
            return Vec::new();
        }
    };
    let mut facts = |name: &String| {
        let link = wanted.links.by_name(name)?;
        inspector.facts(link, &wanted.links).ok()
    };
    let mut found = Vec::new();
    for name in &wanted.native {
        found.extend(facts(name).iter().flat_map(native_ingress));
    }
    for egress in &wanted.egress {
        let Some(facts) = facts(egress) else { continue };
        let others = wanted.ingress.iter().filter(|ingress| *ingress != egress);
        found.extend(others.filter_map(|ingress| redirect_egress(ingress, &facts)));
    }
    found.iter().map(ToString::to_string).collect()
}
