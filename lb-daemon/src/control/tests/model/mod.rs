//! The whole life of a balancer, against a model that knows each flow's server.
//!
//! The real controller writes maps that the real data path reads, with a clock of
//! the test's own. At random, backends are added, removed, replaced, given other
//! weights, drained with and without deadlines; servers get slow, die and return;
//! the file changes under a daemon that is down; and the daemon is killed between
//! any two of its writes. No flow is broken that sends within its idle time and
//! whose server lives and was not given up: past its deadline, or removed at once.
//!
//! `LB_MODEL_CASES` says how many cases are tried; `LB_SEED` repeats one.

mod balancer;
mod life;
mod mutants;
mod operator;
mod orders;
mod probes;
mod promises;
mod traffic;
mod truth;
mod world;

use std::{
    env,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use mutants::Mutant;
use world::World;

const CASES: u64 = 2000;
const STEPS: u32 = 160;
/// A mutant must be found within so many.
const MUTANT_CASES: u64 = 1000;

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// A case that is repeated is told step by step.
fn tell(what: impl FnOnce() -> String) {
    static TELLS: LazyLock<bool> = LazyLock::new(|| number("LB_SEED").is_some());
    if *TELLS {
        println!("{}", what());
    }
}

/// Says which case it was when something panics.
struct Case(u64);

impl Drop for Case {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("LB_SEED={} repeats this", self.0);
        }
    }
}

/// The first broken promise.
fn run(seed: u64, mutant: Option<Mutant>) -> Result<(), String> {
    let _case = Case(seed);
    let mut world = World::new(seed, mutant);
    for step in 0..STEPS {
        world.step().map_err(|why| format!("LB_SEED={seed}, step {step}: {why}"))?;
    }
    world.comes_to_rest().map_err(|why| format!("LB_SEED={seed}, at the end: {why}"))
}

#[test]
fn no_flow_is_broken_whatever_happens_to_backends_and_daemon() {
    if let Some(seed) = number("LB_SEED") {
        return run(seed, None).unwrap();
    }
    let (cases, next) = (number("LB_MODEL_CASES").unwrap_or(CASES), AtomicU64::new(0));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let seed = next.fetch_add(1, Relaxed)
                    && seed < cases
                {
                    run(seed, None).unwrap();
                }
            });
        }
    });
}

#[test]
fn every_mutant_breaks_a_promise() {
    for mutant in Mutant::ALL {
        match (0..MUTANT_CASES).find_map(|seed| run(seed, Some(mutant)).err()) {
            Some(why) => eprintln!("{mutant:?}: {why}"),
            None => panic!("{mutant:?} broke nothing"),
        }
    }
}
