//! The figures for programs.

use serde_json::{Map, Value, json};

use super::Report;
use crate::effort::{CONNECTIONS_PER_MILLISECOND, KEPT, REQUESTS_PER_MILLISECOND, SATURATING};
use crate::load::KINDS;
use crate::measure::Series;
use crate::spread::Spread;

impl Report<'_> {
    pub fn json(&self) -> Value {
        let subjects: Vec<Value> = self
            .rows()
            .map(|(name, what, measured)| {
                let mut row = Map::new();
                row.insert("name".into(), name.into());
                row.insert("what".into(), what.into());
                for kind in KINDS {
                    row.insert(kind.name().into(), series(measured.of(kind)));
                }
                Value::Object(row)
            })
            .collect();
        let programs: Map<String, Value> = self
            .machine
            .programs
            .iter()
            .map(|(name, version)| ((*name).to_owned(), version.as_str().into()))
            .collect();
        json!({
            "version": 1,
            "machine": {
                "kernel": self.machine.kernel, "cpu": self.machine.cpu,
                "cpus": self.machine.cpus, "programs": programs,
            },
            "method": {
                "pinned_cpu": self.cpu,
                "requests_per_second": REQUESTS_PER_MILLISECOND * 1000,
                "kept_connections": KEPT,
                "connections_per_second": CONNECTIONS_PER_MILLISECOND * 1000,
                "saturating_connections": SATURATING,
            },
            "background": Spread::json(&self.background),
            "backends": Self::backends(),
            "subjects": subjects,
            "cautions": self.cautions(),
            "failures": self.failures(),
        })
    }
}

fn series(series: &Series) -> Value {
    json!({
        "cpu_us": Spread::json(&series.cpu),
        "cpu_us_above_direct": Spread::json(&series.cpu_above),
        "latency_p50_us": Spread::json(&series.p50),
        "latency_p99_us": Spread::json(&series.p99),
        "saturated_per_second": Spread::json(&series.per_second),
        "windows": series.cpu.len(),
        "overloaded_windows": series.overloaded,
        "served": series.tally.served,
        "errors": series.tally.errors,
    })
}
