//! The neighbours that watched addresses need, and when to ask the kernel to
//! resolve them and to keep them fresh.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::neighbour::{NeighbourKey, Neighbours, Resolution, Sighting};

/// Between two requests about one neighbour that is not kept fresh (yet).
const RETRY: Duration = Duration::from_secs(1);
/// The same where the kernel cannot keep neighbours fresh, for one that answers.
const REFRESH: Duration = Duration::from_secs(15);
/// The same after the kernel has deleted it, so that two parties that work
/// against each other do not spin.
const RECREATE: Duration = Duration::from_millis(20);

/// How neighbours are kept fresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Freshness {
    /// By the kernel, if it can: not seen yet.
    #[default]
    Untried,
    /// By the kernel: `NTF_EXT_MANAGED`, since 5.16 (7482e3841d52).
    Managed,
    /// By asking again and again.
    Periodic,
}

/// What to ask of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// Resolve it and keep it fresh.
    Manage(NeighbourKey),
    /// Resolve it, or confirm that it still answers.
    Resolve(NeighbourKey),
    /// Keep it fresh no longer.
    Release(NeighbourKey),
}

#[derive(Clone, Copy, Debug)]
struct Wanted {
    since: Instant,
    last_asked: Option<Instant>,
    ask_at: Instant,
}

#[derive(Default, Debug)]
pub struct WantedNeighbours {
    wanted: BTreeMap<NeighbourKey, Wanted>,
    freshness: Freshness,
}

impl WantedNeighbours {
    pub fn contains(&self, key: NeighbourKey) -> bool {
        self.wanted.contains_key(&key)
    }

    pub fn since(&self, key: NeighbourKey) -> Option<Instant> {
        self.wanted.get(&key).map(|wanted| wanted.since)
    }

    /// Makes `keys` the wanted ones and returns those to release.
    pub fn replace(
        &mut self,
        keys: &BTreeSet<NeighbourKey>,
        neighbours: &mut Neighbours,
        now: Instant,
    ) -> Vec<Request> {
        let mut releases = Vec::new();
        self.wanted.retain(|key, _| {
            let keep = keys.contains(key);
            if !keep {
                let sighting = neighbours.sighting(*key);
                releases.extend(
                    sighting.filter(|s| s.managed && s.own).map(|_| Request::Release(*key)),
                );
                neighbours.forget(*key);
            }
            keep
        });
        for key in keys {
            let fresh = Wanted { since: now, last_asked: None, ask_at: now };
            self.wanted.entry(*key).or_insert(fresh);
        }
        releases
    }

    /// The kernel has deleted its entry.
    pub fn gone(&mut self, key: NeighbourKey, now: Instant) {
        if let Some(wanted) = self.wanted.get_mut(&key) {
            let floor = wanted.last_asked.map_or(now, |at| at + RECREATE);
            wanted.ask_at = floor.max(now);
        }
    }

    /// Packets wait for it: asks soon, at most once per [`RETRY`].
    pub fn hurry(&mut self, key: NeighbourKey, now: Instant) -> Option<Request> {
        let wanted = self.wanted.get_mut(&key)?;
        if wanted.last_asked.is_some_and(|at| now < at + RETRY) {
            return None;
        }
        wanted.last_asked = Some(now);
        Some(self.request(key))
    }

    /// What the kernel made of a [`Request::Manage`]. One that does not know
    /// `NTF_EXT_MANAGED` ignores it; true when that is found out.
    pub fn outcome(&mut self, managed: bool) -> bool {
        if self.freshness != Freshness::Untried {
            return false;
        }
        self.freshness = if managed { Freshness::Managed } else { Freshness::Periodic };
        !managed
    }

    /// Also for a managed neighbour: a plain request would end that.
    fn request(&self, key: NeighbourKey) -> Request {
        match self.freshness {
            Freshness::Untried | Freshness::Managed => Request::Manage(key),
            Freshness::Periodic => Request::Resolve(key),
        }
    }

    /// What is due now.
    pub fn due(&mut self, neighbours: &Neighbours, now: Instant) -> Vec<Request> {
        let mut keys = Vec::new();
        for (key, wanted) in &mut self.wanted {
            let sighting = neighbours.sighting(*key);
            if wanted.ask_at > now || cared_for(sighting) {
                continue;
            }
            let answers = matches!(sighting, Some(Sighting { state: Resolution::Known(_), .. }));
            let calm = self.freshness == Freshness::Periodic && answers;
            wanted.last_asked = Some(now);
            wanted.ask_at = now + if calm { REFRESH } else { RETRY };
            keys.push(*key);
        }
        keys.into_iter().map(|key| self.request(key)).collect()
    }

    /// When something is due next.
    pub fn deadline(&self, neighbours: &Neighbours) -> Option<Instant> {
        let open = self.wanted.iter().filter(|(key, _)| !cared_for(neighbours.sighting(**key)));
        open.map(|(_, wanted)| wanted.ask_at).min()
    }
}

/// Kept fresh by the kernel, or set by an operator: resolving it through
/// netlink would turn a permanent entry into one that expires.
fn cared_for(sighting: Option<Sighting>) -> bool {
    sighting.is_some_and(|sighting| sighting.managed || sighting.fixed)
}
