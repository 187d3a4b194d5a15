//! The commands that talk to a daemon, as a person at a terminal has them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/serving.rs"]
mod serving;
mod support;

use serde_json::Value;
use serving::{Serving, bench};
use support::{SEARCH, assemble, wait_until};

/// Without what differs from run to run.
fn settled(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let kept = words.iter().map(|word| if word.chars().any(|c| c.is_ascii_digit()) { "#" } else { word });
        lines.push(kept.collect::<Vec<_>>().join(" "));
    }
    lines.join("\n")
}

#[test]
fn a_search_is_submitted_watched_and_listed() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    let file = bench.path("search.toml");
    let file = file.to_str().unwrap();
    let empty = daemon.out(&bench, &["list"]);
    assert_eq!(empty, "There are no runs; `nasd submit SEARCH.toml` begins one.\n");
    let said = daemon.out(&bench, &["submit", file, "--set", "budget.jobs=200", "--set", "summary=small nets"]);
    assert_eq!(said, "test is submitted; its latest run is test/1; `nasd show test/1 --follow` watches it\n");
    let shown = daemon.out(&bench, &["show", "test", "--follow"]);
    assert_eq!(
        settled(shown.split("  share").next().unwrap()),
        "# ended, done: the budget is used up\nstrategy well-behaved # #\nspace #\njobs #\nbest accuracy #\nbegun # # took # s"
    );
    assert!(shown.contains("\n  jobs        200\n") && shown.contains("\n  report      /"), "{shown}");
    assert!(shown.contains("\nBest jobs\nJOB  accuracy    loss  COST  NOTE\n"), "{shown}");
    let list = daemon.out(&bench, &["list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("RUN     STATE  STRATEGY      BEST             JOBS  BUDGET  TIME"), "{list}");
    assert!(lines[1].starts_with("test/1  ended  well-behaved  accuracy 0."), "{list}");
    assert!(lines[1].ends_with("done: the budget is used up"), "{list}");
    let searches = daemon.out(&bench, &["list", "--searches"]);
    assert_eq!(
        searches,
        "SEARCH  LAST RUN  NEXT START  FROM       NOTE\ntest    test/1                submitted  small nets\n"
    );
    assert_eq!(daemon.out(&bench, &["list", "--state-of", "running", "--json"]), "[]\n");
    let document: Value = serde_json::from_str(&daemon.out(&bench, &["show", "test/1", "--json"])).unwrap();
    assert_eq!(document, daemon.run("test/1"));
    let again = daemon.out(&bench, &["rerun", "test", "--seed", "7"]);
    assert!(again.starts_with("test/2 begins ("), "{again}");
    daemon.wait_for("test/2", |run| run["state"] == "ended");
    assert_eq!(daemon.out(&bench, &["events", "test/1"]), bench.journal("state", "print"));
    let ended = daemon.out(&bench, &["events", "test/1", "--kinds", "ended", "--follow"]);
    assert_eq!(ended.lines().count(), 1);
    assert_eq!(daemon.out(&bench, &["logs", "test/1", "--follow"]), "");
}

#[test]
fn a_run_is_suspended_swapped_returned_and_forked() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    let file = bench.path("search.toml");
    daemon.out(&bench, &["submit", file.to_str().unwrap(), "--set", "budget.jobs=10000000"]);
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(30));
    let mut build = assemble::hostile("well-behaved");
    build.extend([0, 2, 1, b'x']);
    std::fs::write(bench.path("build.wasm"), &build).unwrap();
    let build = bench.path("build.wasm").display().to_string();
    let said = daemon.out(&bench, &["swap", "test", "--strategy", &build, "--dry-run"]);
    assert!(
        said.starts_with("well-behaved 0.1.0 (") && said.contains(") would have test/1, from the state of"),
        "{said}"
    );
    let said = daemon.out(&bench, &["swap", "test/1", "--strategy", &build]);
    assert!(said.contains(") has test/1, from the state of the one before ("), "{said}");
    let said = daemon.out(&bench, &["rollback", "test/1"]);
    assert!(said.contains(") has test/1, from the state of the one before ("), "{said}");
    let changes = daemon.run("test/1")["changes"].clone();
    assert_eq!(changes[0]["by"], "operator");
    let said = daemon.out(&bench, &["fork", "test/1", "--at", &changes[0]["event"].to_string()]);
    assert!(said.starts_with("test/2 shares the history of test/1 up to event "), "{said}");
    assert!(daemon.out(&bench, &["pause", "test/1"]).starts_with("test/1 waits from now on"));
    daemon.wait_for("test/1", |run| run["state"] == "paused");
    assert!(daemon.out(&bench, &["list", "--state-of", "paused"]).contains("test/1"));
    assert!(daemon.out(&bench, &["resume", "test/1"]).starts_with("test/1 goes on"));
    for run in ["test/1", "test/2"] {
        daemon.out(&bench, &["stop", run]);
        daemon.wait_for(run, |run| run["state"] == "ended" && run["reason"] == "stopped by operator");
    }
    let shown = daemon.out(&bench, &["show", "test/1"]);
    assert!(shown.contains("\nChanges\nEVENT  WHEN "), "{shown}");

    // Without a daemon the folder itself is forked, and another daemon leaves the fork to `nasd run`.
    assert_eq!(daemon.terminate(), Some(0));
    let mut offline = bench.nasd(&["fork", "test/1", "--at", "20", "--json", "--state"]);
    let offline = offline.arg(bench.path("state")).output().unwrap();
    let offline: Value = serde_json::from_slice(&offline.stdout).unwrap();
    assert_eq!(offline["run"], "test/3");
}

#[test]
fn what_goes_wrong_is_said_in_a_line_with_what_to_do() {
    let bench = bench();
    let fails = |arguments: &[&str], environment: &[(&str, &str)]| {
        let mut command = bench.nasd(arguments);
        command.arg("--state").arg(bench.path("state")).env_remove("NASD_TOKEN");
        command.envs(environment.iter().copied());
        let output = command.output().unwrap();
        assert!(output.stdout.is_empty());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        (output.status.code(), said)
    };
    let (code, said) = fails(&["list"], &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("no daemon runs on") && said.contains("start one with `nasd serve --state"), "{said}");
    let (code, said) = fails(&["list", "--daemon", "http://127.0.0.1:9"], &[]);
    assert_eq!(code, Some(64));
    assert!(said.contains("NASD_TOKEN is not set"), "{said}");
    let (code, said) = fails(&["list", "--daemon", "http://127.0.0.1:9"], &[("NASD_TOKEN", "x")]);
    assert_eq!(code, Some(1));
    assert!(said.contains("does not run at http://127.0.0.1:9"), "{said}");

    let daemon = Serving::start(&bench, "state");
    let url = format!("http://{}", daemon.address);
    let (code, said) = fails(&["list", "--daemon", &url], &[("NASD_TOKEN", "x")]);
    assert_eq!(code, Some(64));
    assert!(said.contains("does not know the token"), "{said}");
    // A proxy is none of a local client's business.
    let mut command = bench.nasd(&["list", "--json", "--daemon", &url]);
    command
        .env("NASD_TOKEN", &daemon.token)
        .env("http_proxy", "http://127.0.0.1:9")
        .env("ALL_PROXY", "http://127.0.0.1:9");
    assert!(command.output().unwrap().status.success());
    for (arguments, code, part) in [
        (&["show", "nothing/1"][..], 1, "there is no run nothing/1; `nasd list` says which there are"),
        (&["show", "nothing"], 1, "there is no run of `nothing`"),
        (&["show", "../x/1"], 64, "does not name a run"),
        (&["pause", "nothing/1"], 1, "there is no run nothing/1"),
        (&["rerun", "nothing"], 1, "there is no search `nothing`"),
        (&["submit", "absent.toml"], 64, "absent.toml: "),
        (&["swap", "a/1", "--parameters", "{"], 64, "--parameters {: "),
        (&["swap", "a/1", "--strategy", "./absent.wasm"], 64, "./absent.wasm: "),
    ] {
        let (is, said) = fails(arguments, &[]);
        assert_eq!(is, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    std::fs::write(bench.path("bad.toml"), SEARCH.replace("jobs = 300", "jbs = 300")).unwrap();
    let bad = bench.path("bad.toml");
    let (code, said) = fails(&["submit", bad.to_str().unwrap()], &[]);
    assert_eq!(code, Some(64));
    assert!(said.contains("bad.toml:11: "), "{said}");

    // A daemon that was killed leaves its address behind.
    drop(daemon);
    assert!(wait_until(serving::LONG, || bench.path("state/address").exists()));
    let (code, said) = fails(&["list"], &[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("does not run at") && said.contains("`nasd serve` starts one"), "{said}");
}
