//! The slots' engine, together with the data path's rules, against a model
//! that knows every flow's owner.

mod flows;
mod memory;
mod mutants;
mod random;
mod table;
mod world;

use mutants::Mutant;
use world::World;

const STEPS: usize = 1500;

/// The first step that breaks a flow.
fn run(seed: u64, mutant: Option<Mutant>) -> Result<World, String> {
    let mut world = World::new(seed, mutant);
    for step in 0..STEPS {
        world.step().map_err(|why| format!("seed {seed}, step {step}: {why}"))?;
    }
    Ok(world)
}

#[test]
fn no_flow_is_broken_and_everything_comes_to_rest() {
    for seed in 0..400 {
        match run(seed, None) {
            Ok(mut world) => world.comes_to_rest(),
            Err(why) => panic!("{why}"),
        }
    }
}

#[test]
fn every_mutant_breaks_a_flow() {
    for mutant in Mutant::ALL {
        let found = (0..400).find_map(|seed| run(seed, Some(mutant)).err());
        match found {
            Some(why) => eprintln!("{mutant:?}: {why}"),
            None => panic!("{mutant:?} broke no flow"),
        }
    }
}
