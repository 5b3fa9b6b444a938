//! What was counted: answers by backend, and failures.

use std::collections::BTreeMap;

#[derive(Default, Clone)]
pub struct Ledger {
    pub answers: BTreeMap<String, usize>,
    pub failed: usize,
}

impl Ledger {
    pub fn answer(&mut self, name: &str) {
        *self.answers.entry(name.to_owned()).or_default() += 1;
    }

    pub fn add(&mut self, other: &Self) {
        for (name, count) in &other.answers {
            *self.answers.entry(name.clone()).or_default() += count;
        }
        self.failed += other.failed;
    }

    pub fn answered(&self) -> usize {
        self.answers.values().sum()
    }

    pub fn of(&self, name: &str) -> usize {
        self.answers.get(name).copied().unwrap_or(0)
    }

    /// A bar for each backend, and what failed.
    pub fn lines(&self) -> Vec<String> {
        let total = self.answered().max(1);
        let mut lines: Vec<String> = self
            .answers
            .iter()
            .map(|(name, count)| {
                let percent = 100 * count / total;
                format!("{name:<8} {count:>5} answers {percent:>3} %  {}", "▇".repeat(percent / 2))
            })
            .collect();
        lines.push(format!("failed   {:>5}", self.failed));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_counted_once() {
        let mut one = Ledger { failed: 1, ..Ledger::default() };
        one.answer("web-1");
        let mut all = one.clone();
        all.add(&one);
        assert_eq!((all.of("web-1"), all.answered(), all.failed), (2, 2, 2));
        assert_eq!(all.lines().len(), 2);
    }
}
