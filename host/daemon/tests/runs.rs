//! The real binary with the null trainer: runs end, resume after `kill -9`, and bad input writes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{process::Stdio, time::Duration};

use support::{Bench, SEARCH};

#[test]
fn a_run_is_the_same_on_one_trainer_and_on_three() {
    let bench = Bench::new(SEARCH, "well-behaved");
    let one = bench.summary("one", &["--trainers", "1"]);
    let three = bench.summary("three", &["--trainers", "3"]);
    assert_eq!(one["jobs"], 300);
    assert_eq!(one["digest"], three["digest"]);
    let other = bench.summary("other", &["--trainers", "1", "--seed", "7"]);
    assert_ne!(one["digest"], other["digest"]);
}

#[test]
fn a_run_killed_again_and_again_ends_as_if_it_had_not_been() {
    let bench = Bench::new(SEARCH, "well-behaved");
    let whole = bench.summary("whole", &[]);
    let mut n_killed = 0;
    for attempt in 0..20u64 {
        let mut child = bench.null("killed", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 17 * attempt));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        n_killed += 1;
    }
    assert!(n_killed > 0, "the run was over before it could be killed");
    // Whatever is left is done, and be it the report.
    bench.summary("killed", &[]);
    assert_eq!(bench.journal("killed", "digest").trim(), whole["digest"]);
    assert_eq!(bench.n_of("killed", "ended"), 1);
    assert_eq!(bench.n_of("killed", "begun"), 1);
}

#[test]
fn a_finished_run_is_followed_by_a_new_one() {
    let bench = Bench::new(&SEARCH.replace("jobs = 300", "jobs = 5"), "well-behaved");
    assert_eq!(bench.summary("state", &[])["run"], "test/1");
    assert_eq!(bench.summary("state", &[])["run"], "test/2");
}

#[test]
fn without_a_trainer_nothing_is_written_and_with_one_that_does_not_start_no_job_is_lost() {
    let bench = Bench::new(SEARCH, "well-behaved");
    let output = bench.command("state", &[]).env("NASD_TRAINER", "/absent").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("nasd: error: there is no trainer /absent; build it by"), "{error}");
    assert!(!bench.path("state").exists());

    let output = bench.command("state", &["--log", "error"]).env("NASD_TRAINER", "/bin/false").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("3 trainers in a row ended before they were ready"), "{error}");
    assert_eq!((error.lines().count(), bench.n_of("state", "arrived")), (1, 0), "{error}");
    assert_eq!(bench.summary("state", &[])["failed"], 0);
}

#[test]
fn settings_of_the_stack_act_on_the_one_shot_graph_where_that_is_meant() {
    let bench = Bench::new(SEARCH, "well-behaved");
    let costs = |settings: &[&str]| {
        let mut command = bench.nasd(&["space", "cost", "darts-cnn", "--one-shot"]);
        let output = command.args(settings.iter().flat_map(|setting| ["--set", setting])).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let whole = costs(&[]);
    assert_eq!(whole["params"], 1_930_618);
    let small = costs(&["stack.channels=8", "stack.layers=5"]);
    assert!(small["params"].as_u64() < whole["params"].as_u64());
    assert_eq!(small, costs(&["one-shot.channels=8", "one-shot.layers=5"]));
    assert_ne!(costs(&["stack.classes=100"])["params"], whole["params"]);
}
