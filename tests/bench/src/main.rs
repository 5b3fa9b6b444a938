//! Measures the XDP program in the kernel: ns per packet, with a harness that
//! makes every packet anew (`lb-ebpf/src/harness`). `cargo xtask bench` builds
//! the objects and runs this.
//!
//! All cases are measured in turn, several times over, so that a neighbour on
//! the machine who comes and goes troubles all of them alike; then the median
//! counts. Time is that of the thread, not of the wall.

mod cases;
mod death;
mod health;
mod kernel;
mod mapped;
mod measure;
mod nat;
mod packets;
#[path = "../../../lb-ebpf/src/harness/pattern.rs"]
mod pattern;
mod reaction;
mod report;
mod slot_maps;
mod sweep;
mod tables;
mod transition;
mod world;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::cases::{Case, Path, State};
use crate::kernel::Kernel;
use crate::measure::Bench;
use crate::report::{Figure, Report};
use crate::world::World;

/// Measure the XDP program, in ns per packet.
#[derive(Parser)]
struct Args {
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// Fewer and shorter runs: figures to glance at
    #[arg(long, global = true)]
    quick: bool,
    /// Only the floors and the cases whose name begins so; no targets
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    #[command(subcommand)]
    instead: Option<Instead>,
}

#[derive(Subcommand)]
enum Instead {
    /// What probes cost, and how soon they tell
    Health,
    /// The server that is probed
    #[command(hide = true)]
    HealthServer,
}

/// How often and how long.
struct Effort {
    rounds: u32,
    runs: u32,
    packets: u32,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.instead {
        Some(Instead::Health) => return health::run(args.json, args.quick),
        Some(Instead::HealthServer) => return health::serve(),
        None => {}
    }
    let effort = if args.quick {
        Effort { rounds: 3, runs: 3, packets: 1 << 16 }
    } else {
        Effort { rounds: 7, runs: 3, packets: 1 << 18 }
    };
    let kernel = Kernel::load()?;
    let mut world = World::new(&kernel)?;
    let mut cases = cases::all(&mut world);
    if let Some(only) = &args.only {
        cases.retain(|case| case.name.starts_with(only) || matches!(case.path, Path::Floor(_)));
    }
    let flows = nat::Flows::new(&kernel)?;
    let mut bench = Bench { kernel, world, flows };
    let times = rounds(&mut bench, &cases, &effort)?;
    let tables = tables::measure(&bench.kernel, 51)?;
    let death = death::measure(&kernel::object("LB_EBPF_OBJECT", "lb-ebpf.o")?)?;
    let figures = cases.into_iter().zip(times).map(|(case, times)| figure(case, times)).collect();
    let sweep = sweep::measure(7)?;
    let moments = transition::simulate()?;
    let complete = args.only.is_none();
    let report = Report { figures, tables, death, sweep, moments, complete };
    if args.json {
        println!("{:#}", report.json());
    } else {
        report.print();
    }
    Ok(())
}

/// Runs of each case, all rounds together.
fn rounds(bench: &mut Bench, cases: &[Case], effort: &Effort) -> Result<Vec<Vec<f64>>> {
    let mut times = vec![Vec::new(); cases.len()];
    for round in 0..effort.rounds {
        eprintln!("round {} of {}", round + 1, effort.rounds);
        for (case, times) in cases.iter().zip(&mut times) {
            if takes_long(case) && round >= LONG_ROUNDS {
                continue;
            }
            let packets = effort.packets.max(case.flows);
            times.extend(bench.case(case, effort.runs, packets)?);
        }
    }
    Ok(times)
}

/// Rounds of the cases whose preparation takes long.
const LONG_ROUNDS: u32 = 2;

/// Stores a million flows, and removes them one by one.
fn takes_long(case: &Case) -> bool {
    matches!(case.path, Path::Backend(_, State::Insert | State::Hit) | Path::Nat(..))
        && case.flows > 1 << 16
}

fn figure(case: Case, mut times: Vec<f64>) -> Figure {
    let ns = median(&mut times);
    Figure { case, ns, fastest: times[0], slowest: times[times.len() - 1] }
}

/// Sorts, too.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
