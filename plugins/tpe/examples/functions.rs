//! Beside Optuna's sampler on the twelve test functions: `cargo run -p tpe --example functions [PARAMETERS] [SEEDS]`.
//!
//! Prints a table of median regrets after 100 trials over 30 seeds and, for each function, the one-sided Mann-Whitney
//! p-value of being worse than Optuna (tests/golden/optuna-functions.csv, made by tests/peers/optuna_functions.py).
#![allow(clippy::unwrap_used, clippy::panic)] // not shipped

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;

const TRIALS: u64 = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let parameters = arguments.next().unwrap_or_else(|| "{}".to_owned());
    let seeds: u64 = arguments.next().map_or(30, |seeds| seeds.parse().unwrap());
    let first: u64 = arguments.next().map_or(0, |seed| seed.parse().unwrap());
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/optuna-functions.csv");
    let mut peers: BTreeMap<(String, String), Vec<f64>> = BTreeMap::new();
    for line in std::fs::read_to_string(golden).unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let key = (fields[0].to_owned(), fields[1].to_owned());
        peers.entry(key).or_default().push(fields[3].parse().unwrap());
    }
    println!("| function | tpe | Optuna | p (worse) | Optuna, univariate | p (worse) |");
    println!("|---|---|---|---|---|---|");
    let mut not_worse = 0;
    for function in nasd_functions::classic() {
        let regret = |seed| {
            let losses = support::losses(function, &parameters, seed, 1, TRIALS);
            losses.into_iter().fold(f64::INFINITY, f64::min) - function.minimum
        };
        let ours: Vec<f64> = (first..first + seeds).map(regret).collect();
        let theirs = &peers[&(function.name.to_owned(), "default".to_owned())];
        let univariate = &peers[&(function.name.to_owned(), "univariate".to_owned())];
        let p = worse(&ours, theirs);
        not_worse += u32::from(p > 0.05);
        println!(
            "| {} | {:.4} | {:.4} | {p:.3} | {:.4} | {:.3} |",
            function.name,
            median(&ours),
            median(theirs),
            median(univariate),
            worse(&ours, univariate)
        );
    }
    println!("\nnot significantly worse than Optuna's default on {not_worse} of 12");
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// p of the hypothesis that ours are not larger: Mann-Whitney U, normal approximation with correction for continuity.
fn worse(ours: &[f64], theirs: &[f64]) -> f64 {
    let u: f64 = ours
        .iter()
        .flat_map(|a| {
            theirs.iter().map(move |b| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum();
    let (n, m) = (ours.len() as f64, theirs.len() as f64);
    let deviation = (n * m * (n + m + 1.0) / 12.0).sqrt();
    tpe::gauss::mass(0.0, 1.0, (u - n * m / 2.0 - 0.5) / deviation, f64::INFINITY)
}
