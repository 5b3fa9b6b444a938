//! What a test run ends with: a table by layer, the names of what failed or was
//! skipped, and the totals on a line of their own.

use std::time::Duration;

use crate::sh;
use crate::suite::Outcome;

/// The layers of a run, in order.
#[derive(Default)]
pub struct Summary {
    layers: Vec<(&'static str, Outcome)>,
}

impl Summary {
    pub fn add(&mut self, layer: &'static str, outcome: Outcome) {
        self.layers.push((layer, outcome));
    }

    /// Prints all of it, the totals last.
    pub fn print(&self) {
        sh::heading("Summary");
        print!("{}", self.table());
        self.list("failed", |outcome| &outcome.failed);
        self.list("skipped", |outcome| &outcome.skipped);
        println!("\n{} passed, {} failed", self.passed(), self.failed());
    }

    fn passed(&self) -> usize {
        self.layers.iter().map(|(_, outcome)| outcome.passed).sum()
    }

    pub fn failed(&self) -> usize {
        self.layers.iter().map(|(_, outcome)| outcome.failed.len()).sum()
    }

    fn table(&self) -> String {
        let skipped = self.layers.iter().map(|(_, outcome)| outcome.skipped.len()).sum();
        let elapsed: Duration = self.layers.iter().map(|(_, outcome)| outcome.elapsed).sum();
        let mut table = format!(
            "    {:<24}{:>8}{:>8}{:>9}{:>11}\n",
            "layer", "passed", "failed", "skipped", "time"
        );
        for (layer, o) in &self.layers {
            table += &row(layer, o.passed, o.failed.len(), o.skipped.len(), o.elapsed);
        }
        table + &row("all", self.passed(), self.failed(), skipped, elapsed)
    }

    fn list(&self, what: &str, of: impl Fn(&Outcome) -> &Vec<String>) {
        for (layer, outcome) in &self.layers {
            for name in of(outcome) {
                println!("    {what}: {layer}: {name}");
            }
        }
    }
}

fn row(layer: &str, passed: usize, failed: usize, skipped: usize, elapsed: Duration) -> String {
    let time = sh::seconds(elapsed);
    format!("    {layer:<24}{passed:>8}{failed:>8}{skipped:>9}{time:>11}\n")
}
