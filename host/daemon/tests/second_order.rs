//! Second-order DARTS on the digits, with the real trainer: order 2 is offered, and ends after as many jobs
//! as order 1. (That its gradients are right is host/train's test of parity.)
//!
//! Without `nasd-trainer` beside nasd (`cargo xtask build`) nothing is tested, and it is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::path::Path;

use support::{Bench, built};

const SEARCH: &str = r#"
name = "test"
space = "nas-bench-201"
seed = 3
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
validation = 0.5
shared-epochs = 1
[task.shared-recipe]
batch-size = 128
[strategy]
component = "strategy.wasm"
[strategy.parameters]
order = 2
[final]
fidelity = 1
"#;

#[test]
fn second_order_darts_searches_by_unrolled_gradients() {
    let Some(darts) = built("darts") else { return };
    let trainer = Path::new(env!("CARGO_BIN_EXE_nasd")).with_file_name("nasd-trainer");
    if !trainer.is_file() {
        eprintln!("skipped: there is no {}; `cargo xtask build` makes it", trainer.display());
        return;
    }
    let run = |order: &str| {
        let bench = Bench::new(&SEARCH.replace("order = 2", order), "well-behaved");
        std::fs::write(bench.path("strategy.wasm"), &darts).unwrap();
        let output = bench.command("state", &["--device", "cpu"]).output().unwrap();
        (support::summary(&output), bench.journal("state", "print").contains(":\"unrolled\""))
    };
    let [(first, first_unrolls), (second, second_unrolls)] = ["order = 1", "order = 2"].map(run);
    for summary in [&first, &second] {
        assert_eq!(summary["failed"], 0, "{summary}");
    }
    assert_eq!(first["jobs"], second["jobs"]);
    assert_eq!([first_unrolls, second_unrolls], [false, true]);
}
