//! Alarms about translated flows that could not begin: which pool is exhausted,
//! and whether a table is full. In words, over the last minute, at most once a
//! minute each in the log.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use lb_common::abi::BackendCounters;

/// Over which refusals are added up, and how often the log says the same.
const PERIOD: Duration = Duration::from_secs(60);
/// The counts are looked at once a second.
const SAMPLES: usize = 60;

/// A pool as the operator knows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PoolName {
    /// Its addresses and ports.
    pub pool: String,
    pub service: String,
    pub backend: String,
}

/// What was refused lately.
#[derive(Debug, Default)]
pub struct Refusals {
    recent: BTreeMap<u16, Recent>,
    /// Backends at the last look, and when that was.
    looked_at: HashMap<u16, Instant>,
    full: Recent,
    warnings: Vec<String>,
}

/// One counter's growth.
#[derive(Debug, Default)]
struct Recent {
    /// What the counter said, newest last.
    values: VecDeque<(Instant, u64)>,
    /// When the log last spoke of it.
    logged: Option<Instant>,
}

impl Recent {
    fn note(&mut self, now: Instant, value: u64) {
        if self.values.back().is_some_and(|(_, last)| *last > value) {
            self.values.clear();
        }
        self.values.push_back((now, value));
        let outdated = |at: &Instant| now.duration_since(*at) > PERIOD;
        while self.values.len() > SAMPLES + 1
            || self.values.len() > 1 && self.values.front().is_some_and(|(at, _)| outdated(at))
        {
            self.values.pop_front();
        }
    }

    fn growth(&self) -> u64 {
        match (self.values.front(), self.values.back()) {
            (Some((_, first)), Some((_, last))) => last - first,
            _ => 0,
        }
    }

    /// Whether the log has not said so for a while.
    fn is_news(&mut self, now: Instant) -> bool {
        let news = self.logged.is_none_or(|at| now.duration_since(at) >= PERIOD);
        if news {
            self.logged = Some(now);
        }
        news
    }
}

impl Refusals {
    /// What is counted now for each backend, and flows for which a table was full.
    pub fn note(
        &mut self,
        now: Instant,
        counters: &HashMap<u16, BackendCounters>,
        full: u64,
        name: impl Fn(u16) -> Option<PoolName>,
    ) {
        self.recent.retain(|id, _| counters.contains_key(id));
        for (id, one) in counters.iter().filter(|(_, one)| one.refused > 0) {
            // What was refused before the first look is as old as the maps.
            let recent = self.recent.entry(*id).or_default();
            if let Some(before) = self.looked_at.get(id).filter(|_| recent.values.is_empty()) {
                recent.note(*before, 0);
            }
            recent.note(now, one.refused);
        }
        self.looked_at = counters.keys().map(|id| (*id, now)).collect();
        self.full.note(now, full);
        self.warnings.clear();
        for (id, recent) in &mut self.recent {
            let growth = recent.growth();
            let Some(name) = Some(*id).filter(|_| growth > 0).and_then(&name) else { continue };
            let warning = exhausted(&name, growth);
            if recent.is_news(now) {
                tracing::warn!("{warning}");
            }
            self.warnings.push(warning);
        }
        if self.full.growth() > 0 {
            let warning = format!(
                "the table of translated flows is full: {} new flows refused in the last minute; \
                 raise limits.nat_flows (IPv4) or nat_flows_wide (all others)",
                self.full.growth()
            );
            if self.full.is_news(now) {
                tracing::warn!("{warning}");
            }
            self.warnings.push(warning);
        }
    }

    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn exhausted(name: &PoolName, refused: u64) -> String {
    let PoolName { pool, service, backend } = name;
    format!(
        "pool {pool} (service {service}) is exhausted towards backend {backend}: {refused} new flows \
         refused in the last minute; add snat.addresses, widen snat.ports, or shorten snat.rest"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(refused: u64) -> HashMap<u16, BackendCounters> {
        [(7, BackendCounters { refused, ..BackendCounters::default() })].into()
    }

    fn name(_: u16) -> Option<PoolName> {
        let [pool, service, backend] =
            ["10.0.0.1:10240-32767", "web", "10.0.0.7"].map(String::from);
        Some(PoolName { pool, service, backend })
    }

    #[test]
    fn an_exhausted_pool_is_named_for_a_minute() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let mut at = |seconds, refused| {
            refusals.note(start + Duration::from_secs(seconds), &counters(refused), 0, name);
            refusals.warnings().to_vec()
        };
        assert_eq!(at(0, 5), [""; 0], "refused before the first look");
        let warnings = at(1, 12);
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with(
                "pool 10.0.0.1:10240-32767 (service web) is exhausted towards backend 10.0.0.7: 7 \
                 new flows refused in the last minute"
            ),
            "{warnings:?}"
        );
        assert_eq!(at(40, 12).len(), 1);
        assert_eq!(at(62, 12), [""; 0]);
        assert_eq!(at(63, 3), [""; 0], "the counter was set back");
    }

    #[test]
    fn the_first_refusals_of_all_count() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        refusals.note(start, &counters(0), 0, name);
        refusals.note(start + Duration::from_secs(1), &counters(4), 0, name);
        assert!(refusals.warnings()[0].contains(": 4 new flows"), "{:?}", refusals.warnings());
    }

    #[test]
    fn the_log_repeats_itself_once_a_minute() {
        let (mut recent, start) = (Recent::default(), Instant::now());
        assert!(recent.is_news(start));
        assert!(!recent.is_news(start + Duration::from_secs(59)));
        assert!(recent.is_news(start + Duration::from_secs(60)));
    }

    #[test]
    fn a_full_table_is_said_with_the_limit_to_raise() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        refusals.note(start, &HashMap::new(), 10, name);
        assert_eq!(refusals.warnings(), [""; 0]);
        refusals.note(start + Duration::from_secs(1), &HashMap::new(), 13, name);
        assert!(refusals.warnings()[0].contains("full: 3 new flows"), "{:?}", refusals.warnings());
    }
}
