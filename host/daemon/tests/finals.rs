//! The final training with the real trainer: on another data set, at another size, by several seeds, interrupted.
//!
//! Without `nasd-trainer` beside nasd (`cargo xtask build`) nothing is tested, and it is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::Value;
use support::{Bench, built, summary, wait_until};

const SEARCH: &str = r#"
name = "test"
space = "nas-bench-201"
seed = 3
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
fidelity = 1
[strategy]
component = "strategy.wasm"
[budget]
jobs = 3
[final]
data = "squares"
fidelity = 6
architectures = 2
repetitions = 3
save-every = 2
space-settings = { "stack.channels" = 6, "stack.cells-per-stage" = 2 }
[final.recipe]
batch-size = 32
learning-rate = 0.05
warmup-epochs = 1
average = 0.9
label-smoothing = 0.1
augmentation = { cutout = 3 }
"#;

const SIDE: usize = 12;

/// An IDX file of bytes (LeCun's format): dimensions, then values.
fn idx(dimensions: &[usize], values: Vec<u8>) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    dimensions.iter().for_each(|extent| bytes.extend((*extent as u32).to_be_bytes()));
    bytes.extend(values);
    bytes
}

/// Images of 12x12 in three classes: a bright quarter that tells the class, and a pattern that does not.
fn write_squares(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    for (name, n) in [("train", 240), ("t10k", 90)] {
        let labels: Vec<u8> = (0..n).map(|index| (index % 3) as u8).collect();
        let pixel = |index: usize, at: usize| {
            let (row, column) = (at / SIDE, at % SIDE);
            let quarter = 2 * usize::from(row >= SIDE / 2) + usize::from(column >= SIDE / 2);
            let noise = (index * 31 + at * 17 + index * at) % 60;
            (noise + if quarter == index % 3 { 120 } else { 0 }) as u8
        };
        let pixels = (0..n).flat_map(|index| (0..SIDE * SIDE).map(move |at| pixel(index, at))).collect();
        std::fs::write(folder.join(format!("{name}-images-idx3-ubyte")), idx(&[n, SIDE, SIDE], pixels)).unwrap();
        std::fs::write(folder.join(format!("{name}-labels-idx1-ubyte")), idx(&[n], labels)).unwrap();
    }
}

fn bench() -> Option<Bench> {
    let random = built("random")?;
    let trainer = Path::new(env!("CARGO_BIN_EXE_nasd")).with_file_name("nasd-trainer");
    if !trainer.is_file() {
        eprintln!("skipped: there is no {}; `cargo xtask build` makes it", trainer.display());
        return None;
    }
    let bench = Bench::new(SEARCH, "well-behaved");
    std::fs::write(bench.path("strategy.wasm"), random).unwrap();
    write_squares(&bench.path("idx"));
    let mut import = bench.nasd(&["data", "import", "squares"]);
    let output = import.arg(bench.path("idx")).arg("--data").arg(bench.path("data")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(bench)
}

fn start(bench: &Bench, state: &str) -> Child {
    let mut command = bench.command(state, &["--device", "cpu", "--trainers", "1"]);
    command.arg("--data").arg(bench.path("data")).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn weights_of(bench: &Bench, state: &str) -> Vec<String> {
    let folder = std::fs::read_dir(bench.path(state).join("weights")).unwrap();
    let mut names: Vec<String> =
        folder.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_is_found_is_trained_on_another_data_set_by_several_seeds_and_goes_on_after_a_kill() {
    let Some(bench) = bench() else { return };
    let whole = summary(&start(&bench, "whole").wait_with_output().unwrap());
    assert_eq!(whole["finals"].as_array().unwrap().len(), 6);
    let results: &Vec<Value> = whole["final_results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for (rank, result) in results.iter().enumerate() {
        assert_eq!((&result["data"], &result["repetitions"]), (&"squares".into(), &3.into()));
        let accuracy = |row: &Value| row["test"][0]["value"].as_f64().unwrap();
        let of_rank: Vec<f64> =
            whole["finals"].as_array().unwrap().iter().filter(|row| row["rank"] == rank).map(accuracy).collect();
        let mean = of_rank.iter().sum::<f64>() / 3.0;
        assert!((result["test"]["accuracy"]["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
        assert!(result["test"]["accuracy"]["deviation"].as_f64().unwrap() >= 0.0);
        // The network of 6 channels and 2 cells a stage for 3 classes, not the one searched.
        let searched =
            whole["best"].as_array().unwrap().iter().find(|row| row["architecture"] == result["architecture"]);
        assert!(result["params"].as_f64().unwrap() > 1.5 * searched.unwrap()["params"].as_f64().unwrap());
    }
    assert!(whole["device_seconds"]["retraining"].as_f64().unwrap() > 0.0);
    let row = &whole["report_rows"][1];
    let accuracy = &results[1]["test"]["accuracy"];
    let error = 100.0 * (1.0 - accuracy["mean"].as_f64().unwrap());
    assert!((row["error_percent"].as_f64().unwrap() - error).abs() < 1e-9);
    assert_eq!((&row["operations"], &row["repetitions"], &row["method"]), (&4.into(), &3.into(), &"random, 2".into()));
    assert!(row["parts"]["retraining"].as_f64().unwrap() > 0.0 && row["parts"]["supernet"] == 0.0);
    let report = std::fs::read_to_string(bench.path("whole/runs/test/1/report.md")).unwrap();
    assert!(report.contains("## Trained on squares") && report.contains("**this run, test/1**"), "{report}");
    // One checkpoint for each training, none of those on the way.
    assert_eq!(weights_of(&bench, "whole").len(), 6);

    // Killed once a checkpoint is journalled, twice.
    for n_saved in [1, 4] {
        let mut child = start(&bench, "killed");
        let saved = || bench.n_of("killed", "finally-saved") >= n_saved;
        assert!(wait_until(Duration::from_secs(120), saved), "no checkpoint was journalled");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let resumed = summary(&start(&bench, "killed").wait_with_output().unwrap());
    assert_eq!(resumed["finals"], whole["finals"]);
    assert_eq!(resumed["digest"], whole["digest"]);
    assert_eq!(weights_of(&bench, "killed"), weights_of(&bench, "whole"));
}
