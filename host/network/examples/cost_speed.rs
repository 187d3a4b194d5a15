//! How many DARTS genotypes a second one core counts: `cargo run -p nasd-network --example cost_speed`.

use std::time::Instant;

use nasd_network::SpaceDefinition;
use nasd_space::StreamRandom;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let space = SpaceDefinition::preset("darts-cnn")?;
    let mut random = StreamRandom::new(1, "cost speed");
    let prepared = space.space().prepare()?;
    let architectures = (0..500).map(|_| prepared.sample(&mut random)).collect::<Result<Vec<_>, _>>()?;
    space.stand_alone()?;
    let begun = Instant::now();
    let mut sum = 0;
    for architecture in &architectures {
        sum += space.costs(architecture)?.params;
    }
    let rate = architectures.len() as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} costs a second (mean {} parameters)", sum / architectures.len() as u64);
    let begun = Instant::now();
    for architecture in &architectures {
        space.identity(architecture)?;
    }
    println!("{:.0} identities a second", architectures.len() as f64 / begun.elapsed().as_secs_f64());
    Ok(())
}
