//! What an architecture of ENAS's micro search costs the controller, computed natively:
//! `cargo run --release -p enas --example controller_speed`.

use std::time::Instant;

use enas::{Controller, Masking, Parameters};
use nas_strategy_sdk::Role;
use nas_strategy_sdk::testing::{Host, Row, choice_space};

fn main() {
    let operations = ["sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"];
    let names = ["0", "1", "2", "3", "4", "5", "6"];
    let mut rows: Vec<Row> = Vec::new();
    let mut sources = Vec::new();
    for cell in 0..2 {
        for node in 2..7 {
            for _ in 0..2 {
                sources.push((rows.len(), (0..node).collect::<Vec<u32>>()));
                rows.push(("in", Role::Input, (cell, node), &names[..node as usize]));
                rows.push(("op", Role::Operation, (cell, node), &operations));
            }
        }
    }
    let mut space = choice_space(&rows);
    for (decision, read) in sources {
        space.decisions[decision].sources = read;
    }
    for (idx, decision) in space.decisions.iter_mut().enumerate() {
        decision.name = format!("{idx}/{}", decision.name);
    }
    Host::new(&space, 1).install();
    let controller = Controller::new(&space, &Parameters::default());
    let weights = controller.initial_weights();
    for count in [10usize, 50] {
        let (mut sampling, mut learning) = (f64::MAX, f64::MAX);
        for _ in 0..50 {
            let begun = Instant::now();
            let paths = controller.sample(&weights, count, Masking::Written).unwrap_or_default();
            sampling = sampling.min(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            let gradient = controller.gradient(&weights, &paths, Masking::Written, |_, _| Some(0.5));
            learning = learning.min(begun.elapsed().as_secs_f64());
            assert!(gradient.is_some());
        }
        let each = 1e6 / count as f64;
        println!(
            "{count} architectures: {:.0} us each to sample, {:.0} us each to learn",
            sampling * each,
            learning * each
        );
    }
}
