//! The figures for people. The first table is Markdown, to be copied into a document.

use super::Report;
use crate::effort::{CONNECTIONS_PER_MILLISECOND, KEPT, REQUESTS_PER_MILLISECOND, SATURATING};
use crate::load::{KINDS, Kind};
use crate::measure::{Measured, Series};
use crate::spread::{Number, Spread, thousands};

const NONE: &str = "-";

impl Report<'_> {
    pub fn print(&self) {
        self.print_method();
        self.print_medians();
        self.print_spreads();
        self.print_served();
        for caution in self.cautions() {
            println!("caution: {caution}");
        }
    }

    fn print_method(&self) {
        let machine = &self.machine;
        let ids: Vec<&str> = machine.programs.iter().map(|(_, version)| version.as_str()).collect();
        println!("\nLinux {}, {} CPUs: {}", machine.kernel, machine.cpus, machine.cpu);
        println!("{}", ids.join(" · "));
        println!(
            "\nCPU and latency: everything on CPU {}, {} requests/s on {KEPT} kept connections or\n\
             {} new connections/s, in bursts every millisecond; CPU is what it takes above\n\
             \"direct\". Per second: saturated by {SATURATING} connections, on all CPUs.\n\
             HTTP over TCP/IPv4, {} backends, all hosts in namespaces of this machine. Medians.",
            self.cpu,
            thousands(i64::from(REQUESTS_PER_MILLISECOND) * 1000),
            thousands(i64::from(CONNECTIONS_PER_MILLISECOND) * 1000),
            Self::backends().len(),
        );
    }

    fn print_medians(&self) {
        let head = [
            "",
            "CPU µs/request",
            "CPU µs/connection",
            "request p50 / p99 µs",
            "connection p50 / p99 µs",
            "requests/s",
            "connections/s",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for (_, what, measured) in self.rows() {
            let [request, connection] = KINDS.map(|kind| measured.of(kind));
            rows.push([
                what.to_owned(),
                cpu(request),
                cpu(connection),
                latency(request),
                latency(connection),
                median(&request.per_second),
                median(&connection.per_second),
            ]);
        }
        println!();
        print_markdown(&rows);
        println!("\n(in brackets: all of it, that of client, network and backends alone)");
    }

    fn print_spreads(&self) {
        println!("\nFrom the least to the most of all windows\n");
        println!(
            "{:<28} {:>22} {:>22} {:>22} {:>22}",
            "", "CPU µs/request", "CPU µs/connection", "requests/s", "connections/s"
        );
        for (_, what, measured) in self.rows() {
            let cpu = |kind: Kind| {
                let series = measured.of(kind);
                range(if series.cpu_above.is_empty() { &series.cpu } else { &series.cpu_above })
            };
            let rate = |kind: Kind| range(&measured.of(kind).per_second);
            println!(
                "{what:<28} {:>22} {:>22} {:>22} {:>22}",
                cpu(Kind::Request),
                cpu(Kind::Connection),
                rate(Kind::Request),
                rate(Kind::Connection)
            );
        }
        if let Some(busy) = Spread::of(&self.background) {
            println!(
                "\nCPU {} with nothing offered: {:.1} % busy ({:.1} to {:.1})",
                self.cpu,
                busy.median * 100.0,
                busy.least * 100.0,
                busy.most * 100.0
            );
        }
    }

    fn print_served(&self) {
        let backends = Self::backends();
        println!("\nAnswers by backend, all windows together\n");
        print!("{:<28}", "");
        for name in &backends {
            print!(" {name:>11}");
        }
        println!(" {:>9}", "errors");
        for (_, what, measured) in self.rows() {
            let tally = Measured::tally(measured);
            print!("{what:<28}");
            for name in &backends {
                let count = tally.served.get(name).copied().unwrap_or(0);
                print!(" {:>11}", thousands(count as i64));
            }
            println!(" {:>9}", thousands(tally.failed() as i64));
        }
        println!();
    }
}

/// What a subject takes above direct; of direct itself all of it, in brackets.
fn cpu(series: &Series) -> String {
    match Spread::of(&series.cpu_above) {
        Some(above) => Number(above.median).to_string(),
        None => format!("({})", median(&series.cpu)),
    }
}

fn latency(series: &Series) -> String {
    format!("{} / {}", median(&series.p50), median(&series.p99))
}

fn median(samples: &[f64]) -> String {
    Spread::of(samples).map_or(NONE.to_owned(), |spread| Number(spread.median).to_string())
}

fn range(samples: &[f64]) -> String {
    Spread::of(samples).map_or(NONE.to_owned(), |spread| {
        format!("{} to {}", Number(spread.least), Number(spread.most))
    })
}

fn print_markdown<const N: usize>(rows: &[[String; N]]) {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    for (index, row) in rows.iter().enumerate() {
        print!("|");
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            if column == 0 {
                print!(" {cell:<width$} |");
            } else {
                print!(" {cell:>width$} |");
            }
        }
        println!();
        if index == 0 {
            let dashes: Vec<String> = widths
                .iter()
                .enumerate()
                .map(|(column, width)| {
                    let (dashes, end) =
                        ("-".repeat(width + 1), if column == 0 { "-" } else { ":" });
                    format!("{dashes}{end}")
                })
                .collect();
            println!("|{}|", dashes.join("|"));
        }
    }
}
