//! Beside Optuna's sampler on the twelve test functions: `cargo run -p tpe --example functions [PARAMETERS] [SEEDS]`.
//!
//! Prints a table of median regrets after 100 trials over 30 seeds and, for each function, the one-sided Mann-Whitney
//! p-value of being worse than Optuna (tests/golden/optuna-functions.csv, made by tests/peers/optuna_functions.py).
#![allow(clippy::unwrap_used, clippy::panic)] // not shipped

#[path = "../tests/support/mod.rs"]
mod support;

const TRIALS: u64 = 100;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let parameters = arguments.next().unwrap_or_else(|| "{}".to_owned());
    let seeds: u64 = arguments.next().map_or(30, |seeds| seeds.parse().unwrap());
    let first: u64 = arguments.next().map_or(0, |seed| seed.parse().unwrap());
    let peers = support::peers();
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
        let p = support::worse(&ours, theirs);
        not_worse += u32::from(p > 0.05);
        println!(
            "| {} | {:.4} | {:.4} | {p:.3} | {:.4} | {:.3} |",
            function.name,
            median(&ours),
            median(theirs),
            median(univariate),
            support::worse(&ours, univariate)
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
