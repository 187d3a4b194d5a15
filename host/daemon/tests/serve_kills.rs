//! Real `kill -9` of `nasd serve` and of its trainer while a search on shared weights trains on the digits: the next
//! daemon goes on by itself, and the end is that of the run that nobody killed.
//!
//! A few kills by default; as many as `tests/RESULTS.md` reports by
//! `NASD_KILLS=20 cargo test --workspace --test serve_kills -- --nocapture`. Without `nasd-trainer` beside nasd (`cargo
//! xtask build`) nothing is tested, and it is said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/killing.rs"]
mod killing;
#[path = "support/serving.rs"]
mod serving;
mod support;

use killing::{Moments, SHARED, children, has_trainer, is_there, n_kills};
use serde_json::Value;
use serving::{LONG, Serving, configure, log, submit};
use support::{Bench, built, signal, wait_until};

/// What must not depend on kills.
#[derive(Debug, PartialEq)]
struct End {
    digest: String,
    recommended: Vec<Value>,
    /// Test measures of the final trainings.
    finals: Vec<Value>,
    reason: Value,
}

/// Longest time between two kills, in milliseconds: a daemon is back in a second.
const LONGEST: u64 = 4_000;

fn end(bench: &Bench, daemon: &Serving, state: &str) -> End {
    let reason = daemon.run("test/1")["reason"].clone();
    let printed = bench.journal(state, "print");
    let events: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str, key: &str| -> Vec<Value> {
        let counted = events.iter().filter(|event| event["event"] == kind && event["superseded"] == false);
        counted.map(|event| event[key].clone()).collect()
    };
    End {
        digest: bench.journal(state, "digest").trim().to_owned(),
        recommended: of("recommended", "architectures"),
        finals: of("finally-trained", "test"),
        reason,
    }
}

/// Until the run is over, at most.
fn is_over(daemon: &Serving) -> bool {
    let answer = daemon.get("/v1/runs/test/1");
    answer.status == 200 && answer.json()["state"] == "ended"
}

/// A daemon's run of the search in a folder of its own, killing until `limit` kills are done: how many were, and how it
/// ended.
fn killed(bench: &Bench, state: &str, kills_daemon: bool, limit: u32, moments: &mut Moments) -> (u32, End) {
    let mut daemon = Serving::start(bench, state);
    submit(&daemon, bench, SHARED);
    let mut n_killed = 0;
    while n_killed < limit && !wait_until(moments.next(), || is_over(&daemon)) {
        let trainers = children(daemon.pid());
        if kills_daemon {
            daemon.kill();
            n_killed += 1;
            for trainer in trainers {
                assert!(wait_until(LONG, || !is_there(trainer)), "trainer {trainer} lives on");
            }
            daemon = Serving::start(bench, state);
        } else {
            n_killed += u32::from(!trainers.is_empty());
            trainers.into_iter().for_each(|trainer| signal("KILL", trainer));
        }
    }
    daemon.wait_for("test/1", |run| run["state"] == "ended");
    let end = end(bench, &daemon, state);
    assert_eq!(daemon.terminate(), Some(0), "{}", log(bench));
    (n_killed, end)
}

#[test]
fn a_daemon_and_its_trainer_are_killed_again_and_again_and_the_run_ends_as_if_nobody_had() {
    let Some(darts) = built("darts").filter(|_| has_trainer()) else { return };
    let bench = Bench::new(SHARED, "well-behaved");
    std::fs::write(bench.path("strategy.wasm"), darts).unwrap();
    configure(&bench, "kind = \"cpu\"\ntrainers = 1\nthreads = 1\nshared-threads = 1", 60);
    let mut moments = Moments::up_to(LONGEST);
    let (_, whole) = killed(&bench, "whole", true, 0, &mut moments);
    assert!(!whole.recommended.is_empty() && !whole.finals.is_empty(), "{whole:?}");
    for kills_daemon in [true, false] {
        let (mut n_killed, mut n_runs, mut n_resumed) = (0, 0, 0);
        while n_killed < n_kills() {
            let state = format!("{kills_daemon}{n_runs}");
            let (n, end) = killed(&bench, &state, kills_daemon, n_kills() - n_killed, &mut moments);
            (n_killed, n_runs) = (n_killed + n, n_runs + 1);
            n_resumed += bench.n_of(&state, "resumed");
            assert_eq!(end, whole, "killed {n} times; {}", log(&bench));
            assert!(!bench.path(&state).join("runs/test/2").exists(), "one run alone");
            assert!(n_runs < 100, "{n_killed} kills in {n_runs} runs");
        }
        println!(
            "{} killed {n_killed} times in {n_runs} runs, {n_resumed} resumptions: digest {} and finals {:?} as in the \
             run that nobody killed",
            if kills_daemon { "daemon" } else { "trainer" },
            whole.digest,
            whole.finals
        );
    }
}
