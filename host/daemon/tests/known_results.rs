//! Searches that are looked up in a table of known results once they are over, on the real binary with a trainer that
//! trains nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use support::Bench;

const SEARCH: &str = r#"
name = "test"
space = "nas-bench-201"
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
validation = 0.5
shared-epochs = 2
[strategy]
component = "strategy.wasm"
[strategy.parameters]
samples = 30
samples-per-job = 10
validation-batches = 2
finalists = 3
batch-norm = "recalibrated"
compare-batch-norm = ["running-statistics", "batch-statistics"]
"#;

const KNOWN: &str = r#"
[known-results]
table = "nas-bench-201"
data-set = "cifar-100"
above = 0.6
"#;

fn bench(search: &str) -> Option<Bench> {
    let strategy = support::built("random-sharing")?;
    let bench = Bench::new(search, "well-behaved");
    std::fs::write(bench.path("strategy.wasm"), strategy).unwrap();
    Some(bench)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn what_is_found_and_how_it_is_ranked_is_looked_up_once_the_search_is_over() {
    let Some(bench) = bench(&format!("{SEARCH}{KNOWN}")) else { return };
    let summary = bench.summary("known", &[]);
    let known = &summary["known"];
    assert_eq!((&known["size"], &known["epochs"]), (&Value::from(15_625), &Value::from(200)));
    let found = &known["found"][0];
    assert_eq!(found["architecture"], summary["recommended"][0]);
    assert_eq!(found["results"][0][0], "cifar-100");
    assert!((0.0..=1.0).contains(&number(&found["percentile"])), "{found}");
    let judgements = known["judgements"].as_array().unwrap();
    let by: Vec<&str> = judgements.iter().map(|judgement| judgement["by"].as_str().unwrap()).collect();
    // The three finalists are too few for an order.
    let expected = [
        "shared weights, 2 validation minibatches, recalibrated on 25 minibatches",
        "shared weights, 2 validation minibatches, running statistics",
        "shared weights, 2 validation minibatches, batch statistics",
        "counting FLOPs",
        "counting parameters",
    ];
    assert_eq!(by, expected);
    let n_points = |judgement: &Value| judgement["points"].as_array().unwrap().len();
    assert!(judgements.iter().all(|judgement| n_points(judgement) == n_points(&judgements[0])));
    // Counting is a good judge of these cells; this trainer's numbers are none.
    for counted in &judgements[3..] {
        let (tau, low, high) = (&counted["all"]["tau"], &counted["all"]["low"], &counted["all"]["high"]);
        assert!(number(tau) > 0.3 && number(low) < number(tau) && number(tau) < number(high), "{counted}");
        let best = &counted["best"];
        assert!(number(&best["n"]) < number(&counted["all"]["n"]), "{best}");
    }
    let report = std::fs::read_to_string(bench.path("known/runs/test/1/report.md")).unwrap();
    assert!(report.contains("## Looked up in nas-bench-201") && report.contains("known-results.svg"), "{report}");
    assert!(bench.path("known/runs/test/1/known-results.png").is_file());
}

#[test]
fn a_report_is_written_anew_as_it_was() {
    let Some(bench) = bench(&format!("{SEARCH}{KNOWN}")) else { return };
    bench.summary("state", &[]);
    let folder = bench.path("state/runs/test/1");
    let read = |folder: &std::path::Path| {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let drawn = files.filter(|path| path.extension().is_some_and(|of| of == "md" || of == "svg" || of == "json"));
        let text =
            |path: std::path::PathBuf| (path.file_name().unwrap().to_owned(), std::fs::read_to_string(path).unwrap());
        drawn.map(text).collect::<std::collections::BTreeMap<_, _>>()
    };
    let before = read(&folder);
    std::fs::remove_file(folder.join("report.md")).unwrap();
    std::fs::remove_file(folder.join("known-results.svg")).unwrap();
    let report = |arguments: &[&str]| {
        bench.nasd(&["report", "test/1", "--state"]).arg(bench.path("state")).args(arguments).output().unwrap()
    };
    // No journal says what is looked up where.
    let refused = report(&[]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64), "{message}");
    assert!(message.contains("known results") && message.contains("--search FILE"), "{message}");
    let search = bench.path("search.toml");
    let written = report(&["--search", search.to_str().unwrap()]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(read(&folder), before);
    let elsewhere = bench.path("elsewhere/report");
    assert!(report(&["--output", elsewhere.to_str().unwrap()]).status.success());
    let names = |files: std::collections::BTreeMap<_, String>| files.into_keys().collect::<Vec<_>>();
    let known = std::ffi::OsString::from("known-results.svg");
    let without: Vec<_> = names(before).into_iter().filter(|name| *name != known).collect();
    assert_eq!(names(read(&elsewhere)), without);
}

#[test]
fn a_table_that_is_looked_up_makes_no_other_run() {
    let Some(bench) = bench(SEARCH) else { return };
    let without = bench.summary("one", &["--repeat", "2"]);
    assert_eq!(without["searches"][0]["repetitions"][0]["test"], serde_json::json!([]));
    std::fs::write(bench.path("search.toml"), format!("{SEARCH}{KNOWN}")).unwrap();
    let with = bench.summary("one", &["--repeat", "2"]);
    let test = &with["searches"][0]["repetitions"][0]["test"];
    let names: Vec<&str> = test.as_array().unwrap().iter().map(|measure| measure[0].as_str().unwrap()).collect();
    assert!(names.contains(&"cifar-100/accuracy") && names.contains(&"cifar-100 percentile"), "{names:?}");
    // The run of before was looked up, not repeated.
    assert!(!bench.path("one/runs/test/3").exists());
    assert_eq!(bench.n_of("one", "ended"), 1);
}

#[test]
fn searches_on_shared_weights_stand_beside_published_ones() {
    let Some(bench) = bench(&format!("{SEARCH}{}", KNOWN.replace("cifar-100", "cifar-10"))) else { return };
    let mut command = bench.nasd(&["run", "--device", "null", "--repeat", "2", "--state"]);
    let output = command.arg(bench.path("many")).arg(bench.path("search.toml")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in ["RSPS", "GDAS", "cifar-10 percentile test", "published rows had budgets of their own"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
}
