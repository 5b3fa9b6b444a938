//! The order of a run: rounds, in each a visit of every subject, in each visit windows of
//! the subject between windows of the backends alone.
//!
//! A neighbour on the machine who comes and goes troubles all alike; what a subject costs
//! is the difference of windows side by side.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::cpu::Reading;
use crate::effort::Effort;
use crate::load::{KINDS, Kind, Tally, Window};
use crate::stage::Stage;
use crate::subject::Subject;

/// What was measured of a subject, or of the backends alone.
#[derive(Default)]
pub struct Measured {
    requests: Series,
    connections: Series,
}

/// Samples of one kind of load, a value for each window.
#[derive(Default)]
pub struct Series {
    /// CPU time in µs of everything, for each request or connection.
    pub cpu: Vec<f64>,
    /// How much of it the backends alone do not take.
    pub cpu_above: Vec<f64>,
    pub p50: Vec<f64>,
    pub p99: Vec<f64>,
    /// Answers per second when saturated.
    pub per_second: Vec<f64>,
    /// Windows in which the fixed rate was too much.
    pub overloaded: usize,
    pub tally: Tally,
}

impl Measured {
    pub fn of(&self, kind: Kind) -> &Series {
        match kind {
            Kind::Request => &self.requests,
            Kind::Connection => &self.connections,
        }
    }

    pub fn of_mut(&mut self, kind: Kind) -> &mut Series {
        match kind {
            Kind::Request => &mut self.requests,
            Kind::Connection => &mut self.connections,
        }
    }

    pub fn tally(&self) -> Tally {
        let mut tally = self.requests.tally.clone();
        tally.add(&self.connections.tally);
        tally
    }
}

impl Series {
    fn paced(&mut self, mut window: Window) {
        self.tally.add(&window.tally);
        self.overloaded += usize::from(!window.kept_up());
        self.cpu.push(window.cpu_each());
        self.p50.extend(window.latencies.quantile(0.5));
        self.p99.extend(window.latencies.quantile(0.99));
    }

    fn saturated(&mut self, window: &Window) {
        self.tally.add(&window.tally);
        self.per_second.push(window.per_second());
    }
}

pub struct Run<'a> {
    stage: &'a Stage,
    effort: &'a Effort,
    subjects: &'a [&'static Subject],
    pub direct: Measured,
    /// In the order of the subjects.
    pub measured: Vec<Measured>,
    /// Shares of the CPU that were busy with nothing offered.
    pub background: Vec<f64>,
}

impl<'a> Run<'a> {
    pub fn new(stage: &'a Stage, effort: &'a Effort, subjects: &'a [&'static Subject]) -> Self {
        let measured = subjects.iter().map(|_| Measured::default()).collect();
        let direct = Measured::default();
        Self { stage, effort, subjects, direct, measured, background: Vec::new() }
    }

    /// Everything on one CPU, at a fixed rate: CPU time and latency.
    pub fn paced(&mut self) -> Result<()> {
        let _servers = self.stage.cast(&[self.stage.cpu])?;
        for round in 1..=self.effort.rounds {
            self.rest()?;
            for number in 0..self.subjects.len() {
                let what = self.subjects[number].what;
                eprintln!("fixed rate, round {round} of {}: {what}", self.effort.rounds);
                self.paced_visit(number).with_context(|| format!("while {what} was measured"))?;
            }
        }
        Ok(())
    }

    fn paced_visit(&mut self, number: usize) -> Result<()> {
        let running = self.stage.start(self.subjects[number], 1)?;
        for kind in KINDS {
            let load = self.effort.paced(kind);
            // Direct, subject, subject, direct: what grows or falls steadily cancels out.
            for subject_first in (0..self.effort.pairs).map(|pair| pair % 2 == 1) {
                let first = self.side(&load, subject_first)?;
                let second = self.side(&load, !subject_first)?;
                let (direct, subject) =
                    if subject_first { (second, first) } else { (first, second) };
                let above = subject.cpu_each() - direct.cpu_each();
                self.direct.of_mut(kind).paced(direct);
                let series = self.measured[number].of_mut(kind);
                series.cpu_above.push(above);
                series.paced(subject);
            }
        }
        running.stop()
    }

    fn side(&self, load: &crate::load::Load, subject: bool) -> Result<Window> {
        if subject { self.stage.through(load, 1) } else { self.stage.direct(load, 1) }
    }

    /// A window with nothing offered: what others do on the CPU.
    fn rest(&mut self) -> Result<()> {
        let before = Reading::take(self.stage.cpu)?;
        sleep(self.effort.window.max(Duration::from_millis(500)));
        let after = Reading::take(self.stage.cpu)?;
        let busy = after.busy_since(&before).as_secs_f64();
        self.background.push(busy / (after.wall - before.wall).as_secs_f64());
        Ok(())
    }

    /// On all CPUs, as much as goes: answers per second.
    pub fn saturated(&mut self, cpus: &[usize]) -> Result<()> {
        let _servers = self.stage.cast(cpus)?;
        let (rounds, threads) = (self.effort.saturated_rounds, cpus.len());
        for round in 1..=rounds {
            eprintln!("saturated, round {round} of {rounds}: the backends alone");
            for kind in KINDS {
                let window = self.stage.direct(&self.effort.saturating(kind, threads), threads)?;
                self.direct.of_mut(kind).saturated(&window);
            }
            for (subject, measured) in self.subjects.iter().zip(&mut self.measured) {
                eprintln!("saturated, round {round} of {rounds}: {}", subject.what);
                let running = self.stage.start(subject, threads)?;
                for kind in KINDS {
                    let load = self.effort.saturating(kind, threads);
                    let window = self
                        .stage
                        .through(&load, threads)
                        .with_context(|| format!("while {} was saturated", subject.what))?;
                    measured.of_mut(kind).saturated(&window);
                }
                running.stop()?;
            }
        }
        Ok(())
    }
}
