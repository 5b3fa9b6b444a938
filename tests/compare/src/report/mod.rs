//! The figures: tables for people, JSON for programs, and whether every subject did its job.

mod json;
mod table;

use crate::load::KINDS;
use crate::machine::Machine;
use crate::measure::Measured;
use crate::spread::Spread;
use crate::stage::BACKENDS;
use crate::subject::Subject;

pub struct Report<'a> {
    pub machine: Machine,
    pub subjects: &'a [&'static Subject],
    pub direct: Measured,
    /// In the order of the subjects.
    pub measured: Vec<Measured>,
    /// Shares of the pinned CPU that were busy with nothing offered.
    pub background: Vec<f64>,
    pub cpu: usize,
}

/// Above this, others were at work on the CPU and the figures are only good to try.
const QUIET: f64 = 0.05;

impl Report<'_> {
    /// The backends alone first, then the subjects.
    fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, &Measured)> {
        let subjects = self.subjects.iter().zip(&self.measured);
        std::iter::once(("direct", "direct, no balancer", &self.direct))
            .chain(subjects.map(|(subject, measured)| (subject.name, subject.what, measured)))
    }

    /// The names of the backends, from all that was served.
    fn backends() -> Vec<String> {
        (1..=BACKENDS).map(|number| format!("web-{number}")).collect()
    }

    /// Subjects that did not do the job, in words: a balancer serves from all backends.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (_, what, measured) in self.rows() {
            for kind in KINDS {
                let served = &measured.of(kind).tally.served;
                let idle = Self::backends().into_iter().filter(|name| !served.contains_key(name));
                failures
                    .extend(idle.map(|name| format!("{what}: {name} served no {}", kind.name())));
            }
        }
        failures
    }

    /// What a reader must know before believing the figures.
    fn cautions(&self) -> Vec<String> {
        let mut cautions = Vec::new();
        if let Some(busy) = Spread::of(&self.background)
            && busy.median > QUIET
        {
            cautions.push(format!(
                "CPU {} was {:.0} % busy with nothing offered: repeat this on a quiet machine",
                self.cpu,
                busy.median * 100.0
            ));
        }
        for (_, what, measured) in self.rows() {
            for kind in KINDS {
                let series = measured.of(kind);
                if series.overloaded > 0 {
                    cautions.push(format!(
                        "{what}: the rate of {}s was not served in {} of {} windows",
                        kind.name(),
                        series.overloaded,
                        series.cpu.len()
                    ));
                }
                let errors = series.tally.errors.iter();
                cautions.extend(errors.map(|(error, times)| {
                    format!("{what}: {times} times in {}s: {error}", kind.name())
                }));
            }
        }
        cautions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::SUBJECTS;

    fn measured(served: [u64; BACKENDS]) -> Measured {
        let mut measured = Measured::default();
        for kind in KINDS {
            let tally = &mut measured.of_mut(kind).tally;
            for (name, times) in Report::backends().iter().zip(served) {
                (0..times).for_each(|_| tally.answer(name));
            }
        }
        measured
    }

    fn report<'a>(subjects: &'a [&'static Subject], served: [u64; BACKENDS]) -> Report<'a> {
        let machine =
            Machine { kernel: String::new(), cpu: String::new(), cpus: 2, programs: Vec::new() };
        let (direct, measured) = (measured([5, 5, 5]), vec![measured(served)]);
        Report { machine, subjects, direct, measured, background: vec![0.01], cpu: 1 }
    }

    #[test]
    fn a_balancer_that_leaves_a_backend_out_has_failed() {
        let subjects = [&SUBJECTS[0]];
        assert_eq!(report(&subjects, [1, 2, 3]).failures(), [""; 0]);
        let failures = report(&subjects, [9, 0, 9]).failures();
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(failures[0].contains("web-2 served no request"), "{failures:?}");
    }

    #[test]
    fn errors_and_a_busy_machine_are_told() {
        let subjects = [&SUBJECTS[0]];
        let mut report = report(&subjects, [1, 1, 1]);
        assert_eq!(report.cautions(), [""; 0]);
        report.background = vec![0.3];
        let tally = &mut report.measured[0].of_mut(crate::load::Kind::Request).tally;
        tally.error("no answer".to_owned(), 7);
        let cautions = report.cautions().join("\n");
        assert!(cautions.contains("30 % busy"), "{cautions}");
        assert!(cautions.contains("7 times in requests: no answer"), "{cautions}");
    }
}
