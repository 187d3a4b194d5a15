//! Ctrl-C and SIGTERM on the real binary: exit code 130, what was done is kept, the same command goes on to the same
//! journal digest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{
    process::{Output, Stdio},
    time::Duration,
};

use support::{Bench, SEARCH, built, length, signal, wait_until};

/// Start the search, send a signal once the journal has grown a good deal, wait for the end.
fn interrupted(bench: &Bench, name: &str, arguments: &[&str]) -> Output {
    let journal = bench.path("interrupted/runs/test/1/journal");
    let before = length(&journal);
    let child = bench.null("interrupted", arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let grown = || length(&journal) > before + 3_000;
    assert!(wait_until(Duration::from_secs(60), grown), "the journal does not grow");
    signal(name, child.id());
    child.wait_with_output().unwrap()
}

fn check(bench: &Bench, arguments: &[&str]) {
    let whole = bench.summary("whole", arguments);
    let mut n_interrupted = 0;
    for name in ["INT", "TERM", "INT"] {
        let output = interrupted(bench, name, arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        if output.status.success() {
            break; // it was faster than the signal
        }
        assert_eq!(output.status.code(), Some(130), "{error}");
        assert_eq!(error, "nasd: error: test/1 is saved; the same command goes on with it\n");
        assert!(output.stdout.is_empty());
        assert_eq!(bench.n_of("interrupted", "ended"), 0);
        n_interrupted += 1;
    }
    assert!(n_interrupted > 0, "the run was over before it could be interrupted");
    if bench.n_of("interrupted", "ended") == 0 {
        bench.summary("interrupted", arguments);
    }
    assert_eq!(bench.journal("interrupted", "digest").trim(), whole["digest"]);
    assert_eq!(bench.n_of("interrupted", "ended"), 1);
    assert!(bench.path("interrupted/runs/test/1/report.md").exists());
}

#[test]
fn an_interrupted_run_of_several_slots_goes_on_to_the_same_end() {
    check(&Bench::new(&SEARCH.replace("jobs = 300", "jobs = 2000"), "well-behaved"), &[]);
}

#[test]
fn an_interrupted_run_of_one_slot_goes_on_to_the_same_end() {
    let search = SEARCH.replace("jobs = 300", "jobs = 1000").replace("slots = 4", "slots = 1");
    check(&Bench::new(&search, "well-behaved"), &[]);
}

#[test]
fn an_interrupted_run_on_shared_weights_goes_on_to_the_same_end() {
    let Some(darts) = built("darts") else { return };
    let search = SEARCH
        .replace("nas-bench-201", "darts-cnn")
        .replace(
            r#""stack.channels" = 4, "stack.cells-per-stage" = 1"#,
            r#""one-shot.channels" = 1, "one-shot.layers" = 3, "stack.channels" = 1, "stack.layers" = 3"#,
        )
        .replace("fidelity = 3", "validation = 0.5\nshared-epochs = 40")
        .replace("jobs = 300", "")
        .replace("slots = 4", "slots = 1");
    let bench = Bench::new(&search, "well-behaved");
    std::fs::write(bench.path("strategy.wasm"), darts).unwrap();
    check(&bench, &[]);
}

#[test]
fn no_further_search_begins_after_an_interruption() {
    let bench = Bench::new(&SEARCH.replace("jobs = 300", "jobs = 2000"), "well-behaved");
    std::fs::write(bench.path("next.toml"), SEARCH.replace("name = \"test\"", "name = \"next\"")).unwrap();
    let mut command = bench.null("interrupted", &[]);
    let mut child = command.arg(bench.path("next.toml")).stderr(Stdio::null()).spawn().unwrap();
    let journal = bench.path("interrupted/runs/test/1/journal");
    assert!(wait_until(Duration::from_secs(60), || length(&journal) > 3_000));
    signal("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!bench.path("interrupted/runs/next").exists());
}

#[test]
fn a_run_that_is_not_over_has_a_report_elsewhere_and_goes_on_all_the_same() {
    let bench = Bench::new(SEARCH, "well-behaved");
    let whole = bench.summary("whole", &[]);
    let mut child = bench.null("interrupted", &[]).stderr(Stdio::null()).spawn().unwrap();
    let journal = bench.path("interrupted/runs/test/1/journal");
    assert!(wait_until(Duration::from_secs(60), || length(&journal) > 3_000));
    signal("INT", child.id());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let state = bench.path("interrupted");
    let report =
        |arguments: &[&str]| bench.nasd(&["report", "test/1", "--state"]).arg(&state).args(arguments).output().unwrap();
    let refused = report(&[]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(64), "{message}");
    assert!(message.contains("test/1 is not over") && message.contains("--output DIR"), "{message}");
    let elsewhere = bench.path("so-far");
    let written = report(&["--output", elsewhere.to_str().unwrap()]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert!(elsewhere.join("report.md").is_file() && !state.join("runs/test/1/report.md").exists());
    assert_eq!(bench.summary("interrupted", &[])["digest"], whole["digest"]);
}

#[test]
fn a_limit_on_the_size_of_files_ends_a_run_with_a_reason_and_nothing_is_lost() {
    let bench = Bench::new(&SEARCH.replace("jobs = 300", "jobs = 600"), "well-behaved");
    let whole = bench.summary("whole", &[]);
    let blocks = length(&bench.path("whole/runs/test/1/journal")) / 512 / 2;
    let run = bench.null("limited", &[]);
    let mut limited = std::process::Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -f {blocks}; exec \"$0\" \"$@\"")])
        .arg(run.get_program())
        .args(run.get_args());
    for (key, value) in run.get_envs() {
        match value {
            Some(value) => limited.env(key, value),
            None => limited.env_remove(key),
        };
    }
    let output = limited.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("nasd: error: ") && last.contains("test/1/journal"), "{error}");
    assert_eq!(bench.summary("limited", &[])["digest"], whole["digest"]);
    assert_eq!(bench.n_of("limited", "ended"), 1);
}
