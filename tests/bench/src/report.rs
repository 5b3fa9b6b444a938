//! The figures: as a table with ratios and targets for people, as JSON for
//! programs.

use serde_json::{Value, json};

use crate::cases::{Case, FLOWS, Path};
use crate::death::{self, Death};
use crate::kernel::Target;
use crate::nat;
use crate::sweep;
use crate::tables::{self, Tables};
use crate::transition::Moment;

pub struct Figure {
    pub case: Case,
    /// Median ns per packet, and the fastest and slowest run.
    pub ns: f64,
    pub fastest: f64,
    pub slowest: f64,
}

pub struct Report {
    pub figures: Vec<Figure>,
    pub tables: Tables,
    pub death: Death,
    /// Milliseconds of a pass over a million translated flows.
    pub sweep: f64,
    pub moments: Vec<Moment>,
    /// All cases were measured, so that the targets can be judged.
    pub complete: bool,
}

/// A figure that is to be reached.
struct Goal {
    text: String,
    is: f64,
    at_most: f64,
    unit: &'static str,
}

impl Report {
    fn ns(&self, name: &str, flows: u32) -> f64 {
        let found = self.figures.iter().find(|f| f.case.name == name && f.case.flows == flows);
        found.unwrap_or_else(|| panic!("no case {name} with {flows} flows")).ns
    }

    fn goals(&self) -> Vec<Goal> {
        let mut goals = Vec::new();
        if !self.complete {
            return goals;
        }
        let mut goal = |text: &str, is, at_most, unit| {
            goals.push(Goal { text: text.into(), is, at_most, unit });
        };
        let one = |name| self.ns(name, 1);
        let (tx, head, pass) = (one("floor-tx"), one("floor-head"), one("floor-pass"));
        goal("dsr TCP/IPv4 / (harness + XDP_TX)", one("dsr-v4") / tx, 3.0, "×");
        goal("ipip TCP/IPv4 / (harness + adjust_head)", one("ipip-v4") / head, 2.4, "×");
        goal("not a VIP, IPv4 / (harness + XDP_PASS)", one("not-a-vip-v4") / pass, 2.5, "×");
        for name in ["dsr-v4", "dsr-v6", "ipip-v4", "ipip-v6"] {
            let many_flows = self.ns(name, 1 << 20) / one(name);
            goal(&format!("{name}: 1 M flows / 1 flow"), many_flows, 1.25, "×");
        }
        for name in ["dsr-v4", "dsr-v6", "ipip-v4", "ipip-v6"] {
            let many = self.ns(&format!("{name}-100"), 1 << 16) / self.ns(name, 1 << 16);
            goal(&format!("{name}, 64 k flows: 100 services / 1 service"), many, 1.6, "×");
        }
        for mode in ["nat", "dnat"] {
            for family in ["v4", "v6"] {
                self.goals_of_translation(&format!("{mode}-{family}"), tx, &mut goal);
            }
        }
        goal("memory per translated IPv4 flow", nat::bytes_per_flow(), 240.0, "B");
        let size = format!("65,537 slots for {} backends", tables::BACKENDS);
        goal(&format!("build a table: {size}"), self.tables.build / 1e3, 3.0, "ms");
        goal("write it to the mapped array", self.tables.write / 1e3, 1.0, "ms");
        let of = format!("1 of {} hosts behind {} services dies", death::HOSTS, death::SERVICES);
        goal(&format!("{of}: marked"), self.death.marked, 10.0, "ms");
        goal("it returns: marked", self.death.returned, 10.0, "ms");
        goal("the control loop's longest step meanwhile", self.death.away, 10.0, "ms");
        goal("no slot leads to the dead host", self.death.tables, 1000.0, "ms");
        goal("a pass over 1 M translated flows, every 5 s", self.sweep, 500.0, "ms");
        goals
    }

    fn goals_of_translation(
        &self,
        name: &str,
        floor: f64,
        goal: &mut impl FnMut(&str, f64, f64, &'static str),
    ) {
        for way in ["forward", "reply"] {
            let case = format!("{name}-{way}");
            let one = self.ns(&case, 1);
            goal(&format!("{case} / (harness + XDP_TX)"), one / floor, 5.0, "×");
            goal(&format!("{case}: 1 M flows / 1 flow"), self.ns(&case, 1 << 20) / one, 3.0, "×");
        }
        for flows in FLOWS {
            let of = |way| self.ns(&format!("{name}-{way}"), flows);
            let text = format!("{name}, {flows} flows: new / established");
            goal(&text, of("new") / of("forward"), 3.0, "×");
        }
    }

    pub fn print(&self) {
        self.print_figures();
        self.print_moments();
        if !self.complete {
            return;
        }
        println!("\nTargets\n");
        for goal in self.goals() {
            let verdict = if goal.is <= goal.at_most { "met" } else { "MISSED" };
            println!(
                "{:<52} {:>6.2} {:<2} (≤ {:.2})  {verdict}",
                goal.text, goal.is, goal.unit, goal.at_most
            );
        }
        println!(
            "\nEvery packet was counted on the path it claims (verdicts, lookups, inserts, bytes);\n\
             the last one of each run was compared byte by byte."
        );
    }

    fn print_figures(&self) {
        println!("\nns per packet, median of runs (thread CPU time, harness included)\n");
        println!(
            "{:<38} {:>8} {:>8} {:>8}   {:>7}  of floor",
            "", "1 flow", "64 k", "1 M", "ratio"
        );
        let mut names: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !names.contains(&figure.case.name.as_str()) {
                names.push(&figure.case.name);
            }
        }
        for name in names {
            self.print_row(name);
        }
    }

    fn print_moments(&self) {
        println!("\nSlots in transition after one of 100 backends is drained (simulated: 65,537");
        println!("slots, a web mix of 300 new flows/s, no flow broken)\n");
        println!(
            "{:>8} {:>14} {:>14} {:>14}",
            "after", "in transition", "stored flows", "live flows"
        );
        for m in &self.moments {
            println!(
                "{:>6} s {:>14} {:>14} {:>14}",
                m.seconds, m.in_transition, m.stored_flows, m.live_flows
            );
        }
    }

    fn print_row(&self, name: &str) {
        let row: Vec<&Figure> = self.figures.iter().filter(|f| f.case.name == name).collect();
        let cell = |flows: u32| {
            let figure = row.iter().find(|f| f.case.flows == flows);
            figure.map_or("-".into(), |f| format!("{:.1}", f.ns))
        };
        let first = row[0];
        let (floor, floor_name) = floor_of(&first.case.path, name);
        println!(
            "{:<38} {:>8} {:>8} {:>8}   {:>6.2}×  {floor_name}",
            first.case.text,
            cell(1),
            cell(1 << 16),
            cell(1 << 20),
            first.ns / self.ns(floor, 1),
        );
    }

    pub fn json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|f| {
                json!({
                    "case": f.case.name, "what": f.case.text, "flows": f.case.flows,
                    "ns": f.ns, "fastest": f.fastest, "slowest": f.slowest,
                })
            })
            .collect();
        let goals: Vec<Value> = self
            .goals()
            .iter()
            .map(|g| {
                json!({
                    "what": g.text, "is": g.is, "at_most": g.at_most, "unit": g.unit,
                    "met": g.is <= g.at_most,
                })
            })
            .collect();
        let moments: Vec<Value> = self
            .moments
            .iter()
            .map(|m| {
                json!({
                    "seconds": m.seconds, "in_transition": m.in_transition,
                    "stored_flows": m.stored_flows, "live_flows": m.live_flows,
                })
            })
            .collect();
        json!({
            "version": 1,
            "ns_per_packet": figures,
            "table_us": { "build": self.tables.build, "write": self.tables.write },
            "death_ms": {
                "services": death::SERVICES, "marked": self.death.marked, "returned": self.death.returned,
                "longest_step": self.death.away, "tables": self.death.tables,
            },
            "nat_pass_ms": { "flows": sweep::FLOWS, "pass": self.sweep },
            "after_one_change": moments,
            "targets": goals,
        })
    }
}

/// The floor a case is compared with.
fn floor_of(path: &Path, name: &str) -> (&'static str, &'static str) {
    match path {
        Path::NotVip | Path::Floor(Target::FloorPass) => ("floor-pass", "XDP_PASS"),
        Path::Floor(Target::FloorHead) => ("floor-head", "adjust_head"),
        Path::Backend(..) if name.starts_with("ipip") => ("floor-head", "adjust_head"),
        _ => ("floor-tx", "XDP_TX"),
    }
}
