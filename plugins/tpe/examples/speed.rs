//! Proposes 1,000 trials over 40 parameters outside of a component, for a profiler: `cargo run -p tpe --example speed`.
#![allow(clippy::unwrap_used)] // not shipped

#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let parameters = arguments.next().unwrap_or_else(|| "{}".to_owned());
    let jobs: u64 = arguments.next().map_or(1_000, |jobs| jobs.parse().unwrap());
    let seed: u64 = arguments.next().map_or(1, |seed| seed.parse().unwrap());
    let function = nasd_functions::find("mixed-40").unwrap();
    let start = std::time::Instant::now();
    let losses = support::losses(function, &parameters, seed, 1, jobs);
    let best = losses.into_iter().fold(f64::INFINITY, f64::min);
    println!("{jobs} trials in {:.2} s, best {best:.3}", start.elapsed().as_secs_f64());
}
