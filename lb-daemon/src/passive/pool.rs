//! Who of a service's backends is taken out. Never more than a share of them, and
//! never the last: what looks like many bad backends is most likely something else.

use std::collections::BTreeMap;

use super::{
    outlier,
    watch::{Ejection, Standing, TRIAL_WEIGHT, Watch},
    window::{Counts, Sample},
};

/// One in so many may be out.
const SHARE: usize = 3;
/// Seconds without suspicion after which one is not suspected any more.
const CLEARED: u64 = 15;

/// A backend of the service in question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    pub id: u16,
    /// It gets new connections, or would if it were not out.
    pub takes: bool,
}

/// Something new about a backend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Finding {
    /// It is out, or on trial, or in again.
    Moved(u16),
    /// It should be out and is not, for this reason.
    Suspected(u16, String),
    /// It is not suspected any more.
    Cleared(u16, String),
}

#[derive(Clone, Debug)]
struct Suspicion {
    what: String,
    /// When it was last confirmed.
    at: u64,
}

/// All backends that are watched, by number.
#[derive(Clone, Debug, Default)]
pub struct Watches {
    watches: BTreeMap<u16, Watch>,
    suspects: BTreeMap<u16, Suspicion>,
}

impl Watches {
    /// Goes on where an earlier daemon was.
    pub fn restored(ejections: BTreeMap<u16, Ejection>) -> Self {
        let watches = ejections.into_iter().map(|(id, one)| (id, Watch::restored(one))).collect();
        Self { watches, suspects: BTreeMap::new() }
    }

    /// Those who are out now.
    pub fn ejections(&self) -> BTreeMap<u16, Ejection> {
        let out = self.watches.iter().filter_map(|(id, watch)| match &watch.standing {
            Standing::Out(ejection) => Some((*id, ejection.clone())),
            Standing::In | Standing::OnTrial(_) => None,
        });
        out.collect()
    }

    pub fn standing(&self, id: u16) -> &Standing {
        self.watches.get(&id).map_or(&Standing::In, |watch| &watch.standing)
    }

    pub fn is_out(&self, id: u16) -> bool {
        self.watches.get(&id).is_some_and(Watch::is_out)
    }

    /// Per cent of its weight that a backend may have.
    pub fn weight(&self, id: u16) -> u32 {
        match self.standing(id) {
            Standing::OnTrial(_) => TRIAL_WEIGHT,
            Standing::In | Standing::Out(_) => 100,
        }
    }

    pub fn times_out(&self, id: u16) -> u32 {
        self.watches.get(&id).map_or(0, |watch| watch.times)
    }

    /// What is held against backends that are not out.
    pub fn suspicions(&self) -> impl Iterator<Item = (u16, &str)> {
        self.suspects.iter().map(|(id, one)| (*id, one.what.as_str()))
    }

    /// Watches nobody else any more.
    pub fn retain(&mut self, is_watched: impl Fn(u16) -> bool) {
        self.watches.retain(|id, _| is_watched(*id));
        self.suspects.retain(|id, _| is_watched(*id));
    }

    /// Takes in a second of a backend's traffic. True: a probe should look at once.
    pub fn note(&mut self, id: u16, counts: Counts, networks: u64) -> bool {
        self.watches.entry(id).or_default().note(counts, networks)
    }

    /// Looks at a service after all its backends were noted. `acts`: backends are
    /// taken out; else they are only suspected.
    pub fn judge(&mut self, members: &[Member], acts: bool, now: u64) -> Vec<Finding> {
        let mut found = Vec::new();
        for Member { id, takes } in members {
            let Some(watch) = self.watches.get_mut(id) else { continue };
            if watch.pass(*takes, now) {
                found.push(Finding::Moved(*id));
            }
            if !acts && !matches!(watch.standing, Standing::In) {
                watch.standing = Standing::In;
                found.push(Finding::Moved(*id));
            }
        }
        for (id, why) in self.outliers(members) {
            let room = self.room(members);
            match self.watches.get_mut(&id) {
                Some(watch) if acts && room.is_ok() => {
                    watch.eject(&why, now);
                    self.suspects.remove(&id);
                    found.push(Finding::Moved(id));
                }
                _ => {
                    let but = room.err().filter(|_| acts).unwrap_or("passive: advisory");
                    found.extend(self.suspect(id, format!("{why}; not taken out: {but}"), now));
                }
            }
        }
        found.extend(self.clear(members, now));
        found
    }

    /// The worst first, and what is held against each.
    fn outliers(&self, members: &[Member]) -> Vec<(u16, String)> {
        let takes = members.iter().filter(|member| member.takes);
        let watched = takes.filter_map(|one| Some((one.id, self.watches.get(&one.id)?)));
        let (mut fail, mut sound) = (Vec::new(), Vec::new());
        for (id, watch) in watched.filter(|(_, watch)| !watch.is_out()) {
            let sum = watch.window.sum();
            if outlier::fails(&watch.window, watch.bar()) {
                fail.push((id, watch, sum));
            }
            if watch.standing == Standing::In && sum.connections > 0 {
                sound.push((sum, id));
            }
        }
        sound.sort_by(|(a, _), (b, _)| a.rate().total_cmp(&b.rate()));
        fail.sort_by(|(.., a), (.., b)| b.rate().total_cmp(&a.rate()));
        let mut found = Vec::new();
        for (id, watch, one) in fail {
            // One on trial is not among them.
            let peers = sound.len() - usize::from(watch.standing == Standing::In);
            let sorted = sound.iter().filter(|(_, peer)| *peer != id).map(|(sum, _)| *sum);
            let measure = outlier::measure(sorted, peers);
            if outlier::stands_out(&one, &measure, watch.bar()) {
                let seconds = watch.window.seconds();
                found.push((id, words(&one, seconds, peers, &measure)));
            }
        }
        found
    }

    /// Whether one more may be taken out, or why not.
    fn room(&self, members: &[Member]) -> Result<(), &'static str> {
        let takers = members.iter().filter(|member| member.takes).count();
        let out = members.iter().filter(|one| one.takes && self.is_out(one.id)).count();
        if takers < out + 2 {
            Err("no other backend is left")
        } else if out >= (takers / SHARE).max(1) {
            Err("as many of the pool are out as may be")
        } else {
            Ok(())
        }
    }

    fn suspect(&mut self, id: u16, what: String, now: u64) -> Option<Finding> {
        if let Some(known) = self.suspects.get_mut(&id) {
            known.at = now;
            return None;
        }
        self.suspects.insert(id, Suspicion { what: what.clone(), at: now });
        Some(Finding::Suspected(id, what))
    }

    fn clear(&mut self, members: &[Member], now: u64) -> Vec<Finding> {
        let mut found = Vec::new();
        for Member { id, .. } in members {
            let old = self.suspects.get(id).is_some_and(|one| now.abs_diff(one.at) >= CLEARED);
            if old && let Some(known) = self.suspects.remove(id) {
                found.push(Finding::Cleared(*id, known.what));
            }
        }
        found
    }
}

fn words(one: &Sample, seconds: usize, peers: usize, measure: &Sample) -> String {
    let whose = if peers > 1 { "the better half of its peers" } else { "its peer" };
    format!(
        "from the traffic: {one} in {seconds} s, from at least {} client networks; {whose}: {} of {}",
        one.networks(),
        measure.failed(),
        measure.connections,
    )
}
