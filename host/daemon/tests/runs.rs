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
