//! Every strategy that is built keeps every promise of the contract, with its defaults and with the settings
//! that change most about it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};

use nasd_strategy::conformance::{CheckOptions, check};
use nasd_strategy::{Runtime, RuntimeOptions};

/// Settings besides the defaults, by strategy.
const SETTINGS: &[(&str, &str)] = &[
    ("darts", r#"{"order": 2, "initial": "normal", "warm-up-epochs": 1, "stop-at-skips": 2}"#),
    (
        "enas",
        r#"{"controller-size": 8, "steps-per-job": 4, "controller-steps": 2, "aggregate": 3, "validation-batches": 2}"#,
    ),
    ("grid", r#"{"stride": 3, "offset": 2, "levels": 2}"#),
    ("local-search", r#"{"variant": "first-improvement", "starts": 3}"#),
    (
        "one-shot",
        r#"{"steps-per-job": 16, "samples": 30, "samples-per-job": 4, "validation-batches": 2, "recommend-comparison": true}"#,
    ),
    ("random", r#"{"unique": false}"#),
    ("random-sharing", r#"{"steps-per-job": 5, "samples": 30, "samples-per-job": 4, "validation-batches": 2}"#),
    ("regularized-evolution", r#"{"population": 10, "sample": 3}"#),
    ("regularized-evolution", r#"{"population": 10, "sample": 3, "repetition": "never"}"#),
    ("reinforce", r#"{"learning-rate": 0.5, "entropy-weight": 0.1}"#),
    ("reinforce", r#"{"repetition": "never"}"#),
    (
        "spos",
        r#"{"steps-per-job": 16, "iterations": 3, "population": 6, "crossovers": 2, "mutations": 2, "candidates-per-job": 3, "validation-batches": 2, "bins": {"from": 0.0, "to": 100000.0, "width": 20000.0}}"#,
    ),
];

fn components() -> Vec<PathBuf> {
    let folder = std::env::var_os("NASD_STRATEGIES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/strategies"));
    let mut components: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    components.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    components.sort();
    if components.is_empty() {
        eprintln!("skipped: there is no strategy in {}; `cargo xtask strategies` builds them", folder.display());
    }
    components
}

#[tokio::test]
async fn every_strategy_keeps_every_promise() {
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    for path in components() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let component = runtime.load(&std::fs::read(&path).unwrap()).unwrap();
        let settings = SETTINGS.iter().filter(|(strategy, _)| *strategy == name).map(|(_, settings)| *settings);
        for parameters in std::iter::once("{}").chain(settings) {
            let options = CheckOptions { parameters: parameters.to_owned(), ..CheckOptions::default() };
            let report = check(&runtime, &component, options).await;
            let failures: Vec<_> = report.checks.iter().filter(|check| !check.passed).collect();
            assert!(report.passed(), "{name} with {parameters}: {failures:#?}");
        }
    }
}
