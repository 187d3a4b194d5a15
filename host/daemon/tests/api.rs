//! The real binary as a daemon: what its API answers, whom it lets in, and that nothing a client sends brings it down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/serving.rs"]
mod serving;
mod support;

use serde_json::{Value, json};
use serving::{LONG, Serving, bench};
use support::{SEARCH, assemble, wait_until};

/// A search that goes on until it is stopped.
fn endless(name: &str) -> String {
    SEARCH.replace("\"test\"", &format!("{name:?}")).replace("jobs = 300", "jobs = 10000000")
}

fn submission(bench: &support::Bench, text: &str) -> Value {
    json!({ "text": text, "beside": bench.path(""), "by": "a test" })
}

/// Counts jobs as well, but writes its state down otherwise.
const OTHER: &str = r#"
(data (i32.const 16) "other-strate")
(data (i32.const 80) "seen")
"#;

/// Says something of each job.
const LOGS: &str = r#"
(func (export "nas:strategy/strategy@0.1.0#tell") (param $job i32) (result i32)
  (call $log (i32.const 2) (i32.const 48) (i32.const 18))
  (global.set $told (i64.add (global.get $told) (i64.const 1)))
  (call $ok))
"#;

#[test]
fn a_submitted_search_is_run_and_every_page_tells_of_it() {
    let bench = bench();
    std::fs::write(bench.path("strategy.wasm"), assemble::component(LOGS)).unwrap();
    let daemon = Serving::start(&bench, "state");
    assert_eq!(daemon.get("/v1/runs").json(), json!({ "runs": [], "next": null }));
    let answer = daemon.send("POST", "/v1/searches", &submission(&bench, SEARCH));
    assert_eq!((answer.status, &answer.json()["name"]), (201, &json!("test")), "{answer:?}");
    let run = daemon.wait_for("test/1", |run| run["state"] == "ended");
    assert_eq!((&run["jobs"], &run["reason"]), (&json!(300), &json!("done: the budget is used up")));
    assert_eq!(run["strategy"]["name"], "well-behaved");
    assert_eq!(run["top"].as_array().unwrap().len(), 10);
    assert_eq!(run["top"][0]["measures"]["accuracy"], run["best"]);

    let mut jobs = Vec::new();
    let mut from = json!(1);
    while !from.is_null() {
        let page = daemon.ok("GET", &format!("/v1/runs/test/1/jobs?limit=90&from={from}"), &Value::Null);
        jobs.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["job"].as_u64().unwrap()));
        from = page["next"].clone();
    }
    assert_eq!(jobs, (1..=300).collect::<Vec<_>>());
    assert_eq!(daemon.ok("GET", "/v1/runs/test/1/jobs/7", &Value::Null)["state"], "told");
    let curve = daemon.ok("GET", "/v1/runs/test/1/curve", &Value::Null);
    assert_eq!(curve.as_array().unwrap().last().unwrap()["best"], run["best"]);

    let log = daemon.ok("GET", "/v1/runs/test/1/log?limit=200", &Value::Null);
    assert_eq!(log["lines"].as_array().unwrap().len(), 200);
    assert_eq!(
        (&log["lines"][0]["level"], &log["lines"][0]["message"]),
        (&json!("info"), &json!("Samples and counts"))
    );
    let rest = daemon.ok("GET", &format!("/v1/runs/test/1/log?limit=200&after={}", log["next"]), &Value::Null);
    assert_eq!((rest["lines"].as_array().unwrap().len(), &rest["next"]), (100, &Value::Null));
    let last = daemon.ok("GET", "/v1/runs/test/1/log?limit=1&last=true", &Value::Null);
    assert_eq!(last["lines"][0], rest["lines"][99]);

    // A daemon's log is not drowned by it; the run's journal has all.
    let said = std::fs::read_to_string(bench.path("log")).unwrap().matches("Samples and counts").count();
    assert!((1..250).contains(&said), "{said}");

    let again = daemon.send("POST", "/v1/searches/test/runs", &json!({ "seed": 5, "by": "a test" }));
    assert_eq!((again.status, &again.json()["run"]), (201, &json!("test/2")));
    daemon.wait_for("test/2", |run| run["state"] == "ended");
    let page = daemon.ok("GET", "/v1/runs?limit=1&state=ended&search=test", &Value::Null);
    assert_eq!((&page["runs"][0]["run"], &page["next"]), (&json!("test/1"), &json!("test/1")));
    let page = daemon.ok("GET", "/v1/runs?after=test/1", &Value::Null);
    assert_eq!((&page["runs"][0]["run"], &page["next"]), (&json!("test/2"), &Value::Null));
    let metrics = daemon.get("/metrics");
    assert!(metrics.body.contains("nasd_runs{state=\"ended\"} 2"), "{}", metrics.body);
    assert!(metrics.body.contains("nasd_device_trainers_memory_bytes{device="), "{}", metrics.body);
    assert!(metrics.head.contains("application/openmetrics-text"), "{}", metrics.head);
}

#[test]
fn a_strategy_is_swapped_returned_to_and_forked_while_the_run_goes_on() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    daemon.ok("POST", "/v1/searches", &submission(&bench, &endless("test")));
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(40));

    // Another build reads the state; another strategy does not.
    let mut build = assemble::hostile("well-behaved");
    build.extend([0, 2, 1, b'x']);
    std::fs::write(bench.path("build.wasm"), &build).unwrap();
    let uploaded = upload(&daemon, "other", &assemble::component(OTHER));
    let swap = |strategy: &str, dry_run: bool| json!({ "strategy": strategy, "parameters": null, "dry_run": dry_run, "by": "a test" });
    let build = bench.path("build.wasm").display().to_string();
    let foreseen = daemon.ok("POST", "/v1/runs/test/1/swap", &swap(&build, true));
    assert_eq!((&foreseen["via"], &foreseen["dry_run"]), (&json!("restore"), &json!(true)));
    let foreseen = daemon.ok("POST", "/v1/runs/test/1/swap", &swap("other", true));
    assert_eq!(foreseen["via"], "replay");
    assert!(foreseen["jobs"].as_u64() > Some(30), "{foreseen}");
    assert!(!foreseen["checks"].as_array().unwrap().is_empty());
    assert_eq!(daemon.run("test/1")["changes"], json!([]), "nothing was changed yet");

    assert_eq!(daemon.ok("POST", "/v1/runs/test/1/swap", &swap(&build, false))["via"], "restore");
    let swapped = daemon.ok("POST", "/v1/runs/test/1/swap", &swap("other", false));
    assert_eq!((&swapped["via"], &swapped["to"]["digest"]), (&json!("replay"), &uploaded["digest"]));
    let back = daemon.ok("POST", "/v1/runs/test/1/rollback", &json!({ "by": "a test" }));
    assert_eq!(back["to"]["name"], "well-behaved");
    let run = daemon.run("test/1");
    let done: Vec<&Value> =
        run["changes"].as_array().unwrap().iter().filter(|change| change["cause"] != "refused").collect();
    assert_eq!(done.len(), 3, "{done:?}");
    assert!(done.iter().all(|change| change["by"] == "a test"), "{done:?}");
    assert_eq!((&done[1]["cause"], &done[2]["cause"]), (&json!("strategy"), &json!("roll-back")));

    let at = done[0]["event"].as_u64().unwrap();
    let order = json!({ "at": at, "strategy": "other", "by": "a test" });
    let forked = daemon.send("POST", "/v1/runs/test/1/fork", &order);
    assert_eq!((forked.status, &forked.json()["run"]), (201, &json!("test/2")), "{forked:?}");
    let fork = daemon.wait_for("test/2", |run| run["jobs"].as_u64() > Some(60));
    assert_eq!(fork["strategy"]["name"], "other-strate");

    assert_eq!(daemon.send("POST", "/v1/runs/test/1/swap", &json!({})).status, 422);
    assert_eq!(daemon.send("POST", "/v1/runs/test/1/swap", &swap("nowhere", false)).status, 404);
    assert_eq!(daemon.send("POST", "/v1/runs/test/1/swap", &swap("../etc/passwd.wasm", false)).status, 422);
    assert_eq!(daemon.send("POST", "/v1/runs/test/1/fork", &json!({ "at": 1_000_000_000 })).status, 422);
    upload(&daemon, "traps", &assemble::hostile("trap"));
    let refused = daemon.send("POST", "/v1/runs/test/1/swap", &swap("traps", false));
    assert_eq!(refused.status, 409, "{refused:?}");
    for run in ["test/1", "test/2"] {
        assert_eq!(daemon.ok("POST", &format!("/v1/runs/{run}/stop"), &json!({ "by": "a test" }))["run"], run);
        let ended = daemon.wait_for(run, |run| run["state"] == "ended");
        assert_eq!(ended["reason"], "stopped by a test");
        assert_eq!(daemon.send("POST", &format!("/v1/runs/{run}/pause"), &json!({})).status, 409);
    }
    drop(daemon);
    let replayed = bench.nasd(&["replay", "test/1", "--json", "--state"]).arg(bench.path("state")).output().unwrap();
    let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((&replayed["difference"], &replayed["swaps"]), (&Value::Null, &json!(3)));
}

fn upload(daemon: &Serving, name: &str, component: &[u8]) -> Value {
    let headers = [("Authorization", &*daemon.bearer()), ("Content-Type", "application/wasm")];
    let answer = daemon.request("POST", &format!("/v1/strategies?name={name}"), &headers, component);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

#[test]
fn a_paused_run_waits_through_a_restart_and_goes_on_when_it_is_told_to() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    daemon.ok("POST", "/v1/searches", &submission(&bench, &endless("test")));
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(20));
    daemon.ok("POST", "/v1/runs/test/1/pause", &Value::Null);
    let paused = daemon.wait_for("test/1", |run| run["state"] == "paused");
    assert_eq!(daemon.send("POST", "/v1/runs/test/1/swap", &json!({ "parameters": {} })).status, 409);
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = Serving::start(&bench, "state");
    assert_eq!(daemon.run("test/1")["state"], "paused");
    assert_eq!(daemon.run("test/1")["jobs"], paused["jobs"]);
    daemon.ok("POST", "/v1/runs/test/1/resume", &json!({}));
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > paused["jobs"].as_u64().map(|jobs| jobs + 20));
}

#[test]
fn a_terminated_daemon_drains_and_the_next_one_ends_the_run_as_if_nothing_had_been() {
    let bench = bench();
    let whole = Serving::start(&bench, "whole");
    whole.ok("POST", "/v1/searches", &submission(&bench, SEARCH));
    whole.wait_for("test/1", |run| run["state"] == "ended");
    assert_eq!(whole.terminate(), Some(0));
    assert!(!bench.path("whole/address").exists());

    let mut n_restarts = 0;
    loop {
        let daemon = Serving::start(&bench, "state");
        if n_restarts == 0 {
            daemon.ok("POST", "/v1/searches", &submission(&bench, SEARCH));
        }
        let told = |run: &Value| run["state"] == "ended" || run["jobs"].as_u64() > Some(60 * (n_restarts + 1));
        if daemon.wait_for("test/1", told)["state"] == "ended" {
            break;
        }
        if n_restarts == 1 {
            // By the API this time; it answers before it ends.
            assert_eq!(daemon.send("POST", "/v1/shutdown", &Value::Null).status, 202);
            assert_eq!(daemon.wait(), Some(0));
        } else {
            assert_eq!(daemon.terminate(), Some(0));
        }
        n_restarts += 1;
    }
    assert!(n_restarts >= 2, "{n_restarts}");
    assert_eq!(bench.journal("state", "digest"), bench.journal("whole", "digest"));
}

#[test]
fn events_are_resumed_by_their_number_without_gaps_or_doubles() {
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    daemon.ok("POST", "/v1/searches", &submission(&bench, SEARCH));
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(20));
    // Cut off again and again while the run goes on.
    let mut events: Vec<Value> = Vec::new();
    let mut is_over = false;
    while !is_over {
        let after = events.last().map(|event| event["sequence"].to_string());
        let (more, ended) = some_events(&daemon, after.as_deref(), 500);
        events.extend(more);
        is_over = ended;
    }
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let printed: Vec<Value> =
        bench.journal("state", "print").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events, printed);
    let told = daemon.get("/v1/runs/test/1/events?kinds=told,ended&after=100");
    assert_eq!(told.body.matches("event: ended").count(), 1, "{}", told.body);
    assert!(!told.body.contains("event: asked") && told.body.contains("event: end\n"));
    assert_eq!(
        daemon
            .request(
                "GET",
                "/v1/runs/test/1/events",
                &[("Authorization", &daemon.bearer()), ("Last-Event-ID", "x")],
                b""
            )
            .status,
        400
    );
    let past = daemon.get("/v1/runs/test/1/events?follow=false&after=999999999");
    assert_eq!(past.status, 200);
}

/// At most so many events, then the client goes away; and whether the run is over.
fn some_events(daemon: &Serving, after: Option<&str>, most: usize) -> (Vec<Value>, bool) {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::net::TcpStream::connect(&daemon.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let after = after.map(|after| format!("Last-Event-ID: {after}\r\n")).unwrap_or_default();
    let (address, bearer) = (&daemon.address, daemon.bearer());
    let head = format!(
        "GET /v1/runs/test/1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: {bearer}\r\nConnection: close\r\n{after}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let (mut events, mut id, mut name) = (Vec::new(), String::new(), String::new());
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(text) = line.strip_prefix("id: ") {
            text.clone_into(&mut id);
        } else if let Some(text) = line.strip_prefix("event: ") {
            text.clone_into(&mut name);
        } else if let Some(text) = line.strip_prefix("data: ") {
            if name == "end" {
                return (events, true);
            }
            let event: Value = serde_json::from_str(text).unwrap();
            assert_eq!((event["sequence"].to_string(), &event["event"]), (id.clone(), &json!(name)));
            events.push(event);
            if events.len() == most {
                break;
            }
        }
    }
    (events, false)
}

#[test]
fn a_component_that_fails_in_a_run_is_kept_out_until_it_is_released() {
    const TRAPS_LATER: &str = r#"
(global $since (mut i32) (i32.const 0))
(func (export "nas:strategy/strategy@0.1.0#tell") (param $job i32) (result i32)
  (global.set $since (i32.add (global.get $since) (i32.const 1)))
  (if (i32.gt_u (global.get $since) (i32.const 200)) (then (unreachable)))
  (global.set $told (i64.add (global.get $told) (i64.const 1)))
  (call $ok))
"#;
    let bench = bench();
    let daemon = Serving::start(&bench, "state");
    daemon.ok("POST", "/v1/searches", &submission(&bench, &endless("test")));
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(20));
    let bad = upload(&daemon, "bad", &assemble::component(TRAPS_LATER));
    let digest = bad["digest"].as_str().unwrap();
    daemon.ok("POST", "/v1/runs/test/1/swap", &json!({ "strategy": "bad" }));
    let is_in = || !daemon.ok("GET", "/v1/quarantine", &Value::Null).as_array().unwrap().is_empty();
    assert!(wait_until(LONG, is_in));
    let quarantine = daemon.ok("GET", "/v1/quarantine", &Value::Null);
    assert_eq!((&quarantine[0]["digest"], &quarantine[0]["run"]), (&json!(digest), &json!("test/1")));
    let listed = daemon.ok("GET", "/v1/strategies", &Value::Null);
    let bad = listed.as_array().unwrap().iter().find(|component| component["name"] == "bad").unwrap();
    assert!(bad["quarantined"].is_string(), "{bad}");
    let refused = daemon.send("POST", "/v1/runs/test/1/swap", &json!({ "strategy": "bad" }));
    assert_eq!(refused.status, 409, "{refused:?}");
    let run = daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(300));
    assert_eq!(run["strategy"]["name"], "well-behaved");
    assert_eq!(daemon.send("DELETE", &format!("/v1/quarantine/{digest}"), &Value::Null).status, 204);
    assert_eq!(daemon.send("DELETE", &format!("/v1/quarantine/{digest}"), &Value::Null).status, 404);
    assert!(!is_in());
}
