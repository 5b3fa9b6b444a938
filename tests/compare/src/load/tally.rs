//! What a client counts: who answered how often, what failed, how long answers took.

use std::collections::BTreeMap;
use std::time::Duration;

/// A subject that fails so often is not measured any further.
const MANY: u64 = 1000;

#[derive(Default, Clone)]
pub struct Tally {
    pub served: BTreeMap<String, u64>,
    pub errors: BTreeMap<String, u64>,
}

impl Tally {
    pub fn answer(&mut self, name: &str) {
        match self.served.get_mut(name) {
            Some(count) => *count += 1,
            None => drop(self.served.insert(name.to_owned(), 1)),
        }
    }

    pub fn error(&mut self, what: String, times: u64) {
        if times > 0 {
            *self.errors.entry(what).or_default() += times;
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.served {
            *self.served.entry(name.clone()).or_default() += count;
        }
        for (what, times) in &other.errors {
            self.error(what.clone(), *times);
        }
    }

    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    pub fn is_hopeless(&self) -> bool {
        self.failed() >= MANY
    }
}

/// Times of answers in one window.
#[derive(Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        self.0.push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time in µs that this share of the answers took at most; none without answers.
    pub fn quantile(&mut self, share: f64) -> Option<f64> {
        self.0.sort_unstable();
        let index = (self.0.len() as f64 * share) as usize;
        self.0.get(index.min(self.0.len().saturating_sub(1))).map(|us| f64::from(*us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_count_from_the_shortest() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for us in (0..100).rev() {
            latencies.add(Duration::from_micros(us));
        }
        assert_eq!(latencies.quantile(0.5), Some(50.0));
        assert_eq!(latencies.quantile(0.99), Some(99.0));
        assert_eq!(latencies.quantile(1.0), Some(99.0));
    }

    #[test]
    fn tallies_add_up() {
        let mut one = Tally::default();
        one.answer("web-1");
        one.error("reset".into(), 2);
        let mut both = one.clone();
        both.add(&one);
        assert_eq!((both.served["web-1"], both.failed()), (2, 4));
        assert!(!both.is_hopeless());
        both.error("reset".into(), MANY);
        assert!(both.is_hopeless());
    }
}
