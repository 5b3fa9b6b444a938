//! Counters and what they grow by per second.

use std::{collections::HashMap, hash::Hash, time::Instant};

use lb_common::{abi::BackendCounters, reason::DropReason};

use super::{Controller, PoolName};
use crate::{dataplane::DataPlane, slots::SlotMemory};

/// Growth per second.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Rate {
    pub packets: f64,
    pub bytes: f64,
    pub new_connections: f64,
}

impl std::ops::Add for Rate {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            new_connections: self.new_connections + other.new_connections,
        }
    }
}

pub(super) fn add(a: BackendCounters, b: BackendCounters) -> BackendCounters {
    BackendCounters {
        packets: a.packets.wrapping_add(b.packets),
        bytes: a.bytes.wrapping_add(b.bytes),
        new_connections: a.new_connections.wrapping_add(b.new_connections),
        unresolved: a.unresolved.wrapping_add(b.unresolved),
        reply_packets: a.reply_packets.wrapping_add(b.reply_packets),
        reply_bytes: a.reply_bytes.wrapping_add(b.reply_bytes),
        refused: a.refused.wrapping_add(b.refused),
        unlogged: a.unlogged.wrapping_add(b.unlogged),
    }
}

/// The rates of counters that are read from time to time.
#[derive(Debug)]
pub struct Rates<K> {
    last: Option<(Instant, HashMap<K, BackendCounters>)>,
    rates: HashMap<K, Rate>,
}

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self { last: None, rates: HashMap::new() }
    }
}

impl<K: Hash + Eq + Copy> Rates<K> {
    /// Takes the counters' present values. What was not there before, or was
    /// set back, has no rate yet.
    pub fn sample(&mut self, now: Instant, counters: HashMap<K, BackendCounters>) {
        if let Some((before, last)) = &self.last {
            let seconds = now.duration_since(*before).as_secs_f64();
            let grown = |key: &K, present: &BackendCounters| {
                let growth = growth(last.get(key)?, present, seconds)?;
                Some((*key, growth))
            };
            self.rates = counters.iter().filter_map(|(key, one)| grown(key, one)).collect();
        }
        self.last = Some((now, counters));
    }

    pub fn get(&self, key: K) -> Rate {
        self.rates.get(&key).copied().unwrap_or_default()
    }
}

fn growth(before: &BackendCounters, now: &BackendCounters, seconds: f64) -> Option<Rate> {
    if seconds <= 0.0 {
        return None;
    }
    let per_second = |before: u64, now: u64| Some(now.checked_sub(before)? as f64 / seconds);
    Some(Rate {
        packets: per_second(before.packets, now.packets)?,
        bytes: per_second(before.bytes, now.bytes)?,
        new_connections: per_second(before.new_connections, now.new_connections)?,
    })
}

impl<P: DataPlane, M: SlotMemory> Controller<P, M> {
    /// New translated flows for which a table was full.
    pub fn flows_without_room(&self) -> u64 {
        let totals = self.plane.totals();
        totals.map_or(0, |totals| totals.dropped[DropReason::NatFull as usize])
    }

    /// The pool that flows to a backend get their sources from.
    pub fn pool_of(&self, id: u16) -> Option<PoolName> {
        let directory = self.nat.directory();
        let backend = directory.backends.get(&id)?;
        let mut services = self.config.services.iter();
        let service = services.find(|one| one.name == backend.service)?;
        let snat = service.mode.snat()?;
        let mut addresses: Vec<_> =
            snat.toward(backend.address).map(|address| address.to_string()).collect();
        if addresses.is_empty() {
            let hop = self.view.next_hops.get(&backend.address).and_then(|hop| hop.as_ref().ok());
            addresses.extend(hop.and_then(|hop| hop.source).map(|source| source.to_string()));
        }
        Some(PoolName {
            pool: format!("{}:{}", addresses.join("+"), snat.ports),
            service: service.name.clone(),
            backend: backend.address.to_string(),
        })
    }

    /// All backends of services.
    pub fn backend_ids(&self) -> Vec<u16> {
        let services = self.identity.services.values();
        services.flat_map(|service| service.backends.values().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn counters(packets: u64) -> HashMap<u16, BackendCounters> {
        [(7, BackendCounters { packets, bytes: 100 * packets, ..Default::default() })].into()
    }

    #[test]
    fn a_rate_is_the_growth_by_the_time_it_took() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        rates.sample(start, counters(10));
        assert_eq!(rates.get(7), Rate::default());
        rates.sample(start + Duration::from_secs(2), counters(16));
        assert_eq!(rates.get(7), Rate { packets: 3.0, bytes: 300.0, new_connections: 0.0 });
        rates.sample(start + Duration::from_secs(3), counters(1));
        assert_eq!(rates.get(7), Rate::default(), "set back");
    }
}
