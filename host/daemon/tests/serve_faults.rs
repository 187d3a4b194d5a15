//! The real binary as a daemon, when strategies trap, when it has to end before its jobs do, and when those who read
//! its events outlive it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/killing.rs"]
mod killing;
#[path = "support/serving.rs"]
mod serving;
mod support;

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use killing::{SHARED, children, is_there};
use nasd_protocol::{Event, Record, event::SwapCause};
use nasd_store::StateFolder;
use serde_json::{Value, json};
use serving::{LONG, Serving, bench, configure, log, submit};
use support::{Bench, SEARCH, assemble, built, signal, wait_until};

/// A search by a strategy of the state folder that goes on until it is stopped.
fn endless() -> String {
    SEARCH.replace("strategy.wasm", "mine").replace("jobs = 300", "jobs = 10000000")
}

/// Well-behaved's `restore`, and something done once the count is known.
fn restoring(then: &str) -> String {
    let restore = r#"
(func (export "nas:strategy/strategy@0.1.0#restore") (param $arguments i32) (result i32)
  (local $snapshot i32)
  (local.set $snapshot (i32.add (local.get $arguments) (i32.const 112)))
  (if (i32.ne (i32.load offset=8 (local.get $snapshot)) (i32.const 1))
    (then (return (call $refuse (i32.const 0)))))
  (if (i32.ne (i32.load offset=16 (local.get $snapshot)) (i32.const 8))
    (then (return (call $refuse (i32.const 1)))))
  (global.set $told (i64.load (i32.load offset=12 (local.get $snapshot))))
  {then}
  (call $ok))
"#;
    restore.replace("{then}", then)
}

/// As well-behaved, but once it took over from a strategy that had been told more than 60 jobs, which no check of a
/// component does, its call of that number traps.
fn traps_at(call: u32) -> Vec<u8> {
    assemble::component(&format!(
        r#"
(global $armed (mut i32) (i32.const 0))
(global $calls (mut i32) (i32.const 0))
(func $count
  (global.set $calls (i32.add (global.get $calls) (global.get $armed)))
  (if (i32.eq (global.get $calls) (i32.const {call})) (then (unreachable))))

{}

(func (export "nas:strategy/strategy@0.1.0#ask")
  (param $slots i32) (param $next-id i64) (param $in-flight i32) (param $n-in-flight i32)
  (param $counts-jobs i32) (param $jobs-left i64) (param $budget-used f64) (result i32)
  (call $count)
  (call $sample (i32.const 0) (i32.const 0) (i32.const 512))
  (call $propose (i32.load offset=4 (i32.const 512)) (i32.load offset=8 (i32.const 512)))
  (call $work (i32.const 1)))

(func (export "nas:strategy/strategy@0.1.0#tell") (param $job i32) (result i32)
  (call $count)
  (global.set $told (i64.add (global.get $told) (i64.const 1)))
  (call $ok))

(func (export "nas:strategy/strategy@0.1.0#save") (result i32)
  (call $count)
  (i64.store (i32.const 256) (global.get $told))
  (drop (call $ok))
  (i32.store offset=4 (i32.const 1024) (i32.const 80)) (i32.store offset=8 (i32.const 1024) (i32.const 4))
  (i32.store offset=12 (i32.const 1024) (i32.const 1))
  (i32.store offset=16 (i32.const 1024) (i32.const 256)) (i32.store offset=20 (i32.const 1024) (i32.const 8))
  (i32.const 1024))
"#,
        restoring("(global.set $armed (i64.gt_u (global.get $told) (i64.const 60)))")
    ))
}

/// As well-behaved, but restoring the state of a strategy that had been told more than 60 jobs traps.
fn traps_in_restore() -> Vec<u8> {
    assemble::component(&restoring("(if (i64.gt_u (global.get $told) (i64.const 60)) (then (unreachable)))"))
}

/// The run's events that count.
fn records(bench: &Bench, state: &str) -> Vec<Record> {
    let state = StateFolder::read_only(&bench.path(state)).unwrap();
    let records = nasd::run::read_records(&state, &"test/1".parse().unwrap()).unwrap();
    let superseded: Vec<(u64, u64)> = records
        .iter()
        .filter_map(|record| match record.event {
            Event::Resumed { supersedes, .. } => Some(supersedes),
            _ => None,
        })
        .collect();
    let counts = |record: &Record| !superseded.iter().any(|&(from, to)| (from..to).contains(&record.sequence));
    records.into_iter().filter(counts).collect()
}

/// Every job was told once; gives how many.
#[track_caller]
fn assert_whole(records: &[Record]) -> usize {
    let told = records.iter().filter_map(|record| match record.event {
        Event::Told { job, .. } => Some(job),
        _ => None,
    });
    let mut told: Vec<u64> = told.collect();
    told.sort_unstable();
    assert_eq!(told, (1..=told.len() as u64).collect::<Vec<_>>(), "a job is missing or was told twice");
    told.len()
}

/// The strategy knows what it was told, whoever had the search: `well-behaved` counts it, and its state is the count.
#[track_caller]
fn assert_known(records: &[Record]) {
    let mut n_told = 0;
    for record in records {
        match &record.event {
            Event::Told { .. } => n_told += 1,
            Event::Savepoint { snapshot, .. } => {
                let counted = u64::from_le_bytes(snapshot.bytes[..8].try_into().unwrap());
                assert_eq!(counted, n_told, "the savepoint in event {}", record.sequence);
            }
            _ => {}
        }
    }
}

fn digest_of(component: &[u8]) -> String {
    blake3::hash(component).to_hex().to_string()
}

#[test]
fn builds_that_trap_early_and_late_give_way_to_the_state_before_and_the_run_never_stops() {
    let bench = bench();
    let folder = bench.path("state/strategies");
    std::fs::create_dir_all(&folder).unwrap();
    let good = assemble::hostile("well-behaved");
    std::fs::write(folder.join("mine.wasm"), &good).unwrap();
    let daemon = Serving::start(&bench, "state");
    submit(&daemon, &bench, &endless());
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(200));
    let quarantined = || {
        let listed = daemon.ok("GET", "/v1/quarantine", &Value::Null);
        listed.as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let calls = [1, 2, 50];
    for (number, call) in calls.into_iter().enumerate() {
        let bad = traps_at(call);
        let before = daemon.run("test/1")["jobs"].as_u64();
        if number % 2 == 0 {
            // As `cp` does it, over the file that is there.
            std::fs::write(folder.join("mine.wasm"), &bad).unwrap();
        } else {
            std::fs::write(folder.join("mine.part"), &bad).unwrap();
            std::fs::rename(folder.join("mine.part"), folder.join("mine.wasm")).unwrap();
        }
        let is_in = || {
            assert_eq!(daemon.run("test/1")["state"], "running");
            quarantined().contains(&digest_of(&bad))
        };
        assert!(wait_until(LONG, is_in), "call {call}: {}", log(&bench));
        let run = daemon.wait_for("test/1", |run| run["jobs"].as_u64() > before.map(|jobs| jobs + 100));
        assert_eq!((&run["state"], &run["strategy"]["digest"]), (&json!("running"), &json!(digest_of(&good))));
        let trapped = run["changes"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&trapped["cause"], &trapped["from"]), (&json!("trap"), &json!(digest_of(&bad))), "{trapped}");
        assert!(trapped["message"].as_str().is_some_and(|message| message.contains("unreachable")), "{trapped}");
    }
    // Out of quarantine none comes back by itself, not even with another daemon.
    std::fs::write(folder.join("mine.wasm"), traps_at(2)).unwrap();
    assert_eq!(daemon.terminate(), Some(0));
    let daemon = Serving::start(&bench, "state");
    let jobs = daemon.wait_for("test/1", |run| run["state"] == "running")["jobs"].as_u64();
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > jobs.map(|jobs| jobs + 100));
    daemon.ok("POST", "/v1/runs/test/1/stop", &json!({ "by": "a test" }));
    daemon.wait_for("test/1", |run| run["state"] == "ended");
    assert_eq!(daemon.terminate(), Some(0));

    let records = records(&bench, "state");
    assert!(assert_whole(&records) > 500);
    assert_known(&records);
    let swaps: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Swapped { from, to, cause, back, .. } => Some((&from.digest, &to.digest, cause, *back)),
            _ => None,
        })
        .collect();
    assert_eq!(swaps.len(), 2 * calls.len(), "{swaps:?}");
    let good = digest_of(&good);
    for (pair, call) in swaps.chunks(2).zip(calls) {
        let bad = digest_of(&traps_at(call));
        assert_eq!((pair[0].0, pair[0].1, pair[0].2, pair[0].3), (&good, &bad, &SwapCause::Build, 0));
        assert_eq!((pair[1].0, pair[1].1, pair[1].3), (&bad, &good, 1));
        assert!(matches!(pair[1].2, SwapCause::Trap(_)), "{pair:?}");
    }
    let replayed = bench.nasd(&["replay", "test/1", "--json", "--state"]).arg(bench.path("state")).output().unwrap();
    let replayed: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert_eq!((&replayed["difference"], &replayed["swaps"]), (&Value::Null, &json!(swaps.len())));
}

#[test]
fn a_build_that_traps_when_it_is_to_take_over_is_kept_out_and_the_run_goes_on_with_the_one_before() {
    let bench = bench();
    let folder = bench.path("state/strategies");
    std::fs::create_dir_all(&folder).unwrap();
    let (good, bad) = (assemble::hostile("well-behaved"), traps_in_restore());
    std::fs::write(folder.join("mine.wasm"), &good).unwrap();
    let daemon = Serving::start(&bench, "state");
    submit(&daemon, &bench, &endless());
    daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(200));
    std::fs::write(folder.join("mine.wasm"), &bad).unwrap();
    let quarantined = || {
        let listed = daemon.ok("GET", "/v1/quarantine", &Value::Null);
        listed.as_array().unwrap().iter().find(|entry| entry["digest"] == digest_of(&bad)).cloned()
    };
    assert!(wait_until(LONG, || quarantined().is_some()), "{}", log(&bench));
    let message = quarantined().unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("trapped in restore") && message.contains("unreachable"), "{message}");
    let before = daemon.run("test/1")["jobs"].as_u64();
    let run = daemon.wait_for("test/1", |run| run["jobs"].as_u64() > before.map(|jobs| jobs + 100));
    assert_eq!((&run["state"], &run["strategy"]["digest"]), (&json!("running"), &json!(digest_of(&good))));
    daemon.ok("POST", "/v1/runs/test/1/stop", &json!({ "by": "a test" }));
    daemon.wait_for("test/1", |run| run["state"] == "ended");
    assert_eq!(daemon.terminate(), Some(0));
    let records = records(&bench, "state");
    assert_whole(&records);
    assert_known(&records);
    let refused =
        |record: &&Record| matches!(&record.event, Event::SwapRefused { to, .. } if to.digest == digest_of(&bad));
    assert_eq!(records.iter().filter(refused).count(), 1);
    assert!(!records.iter().any(|record| matches!(record.event, Event::Swapped { .. })));
}

/// A search on shared weights, by a trainer that can be stopped.
struct Shared {
    bench: Bench,
    search: String,
    /// Digest of the run that nobody disturbed.
    digest: String,
}

impl Shared {
    fn new() -> Option<Self> {
        let darts = built("darts")?;
        let bench = bench();
        std::fs::write(bench.path("strategy.wasm"), darts).unwrap();
        let search = SHARED.replace("shared-epochs = 4", "shared-epochs = 120");
        let search = search.replace("savepoint-every = 4", "savepoint-every = 50");
        configure(&bench, TRAINER, 60);
        let daemon = Serving::start(&bench, "whole");
        submit(&daemon, &bench, &search);
        daemon.wait_for("test/1", |run| run["state"] == "ended");
        assert_eq!(daemon.terminate(), Some(0));
        let digest = bench.journal("whole", "digest");
        Some(Self { bench, search, digest })
    }

    /// A daemon with a job under way that never ends, as its trainer has stopped; and that trainer.
    fn stuck(&self, state: &str, drain_seconds: u32) -> (Serving, Vec<u32>) {
        configure(&self.bench, TRAINER, drain_seconds);
        let daemon = Serving::start(&self.bench, state);
        submit(&daemon, &self.bench, &self.search);
        // It may have stopped between two jobs: then it goes on a little.
        for n_jobs in 8.. {
            daemon.wait_for("test/1", |run| run["jobs"].as_u64() > Some(n_jobs));
            let trainers = children(daemon.pid());
            trainers.iter().for_each(|trainer| signal("STOP", *trainer));
            let mut looks = (0..20).map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                daemon.run("test/1")["in_flight"].clone()
            });
            let first = looks.next().unwrap();
            if first != json!([]) && looks.all(|look| look == first) {
                return (daemon, trainers);
            }
            trainers.iter().for_each(|trainer| signal("CONT", *trainer));
        }
        unreachable!()
    }

    /// Another daemon ends the run as if nothing had been.
    fn ends_the_same(&self, state: &str) {
        configure(&self.bench, TRAINER, 60);
        let daemon = Serving::start(&self.bench, state);
        daemon.wait_for("test/1", |run| run["state"] == "ended");
        assert_eq!(daemon.terminate(), Some(0));
        assert_eq!(self.bench.journal(state, "digest"), self.digest);
        assert_eq!(assert_whole(&records(&self.bench, state)), assert_whole(&records(&self.bench, "whole")));
        assert!(!self.bench.path(state).join("runs/test/2").exists());
    }
}

/// Does no work, in a process of its own.
const TRAINER: &str = "kind = \"null-process\"\ntrainers = 1";

#[test]
fn a_job_that_outlasts_the_drain_is_given_up_and_done_by_the_next_daemon() {
    let Some(shared) = Shared::new() else { return };
    let (daemon, trainers) = shared.stuck("state", 1);
    assert_eq!(daemon.terminate(), Some(1));
    let said = log(&shared.bench);
    let last = said.lines().find(|line| line.contains("drain-seconds")).unwrap_or_else(|| panic!("{said}"));
    assert!(last.starts_with("nasd: error: test/1 did not come to a savepoint within 1 s"), "{last}");
    assert!(!shared.bench.path("state/address").exists());
    for trainer in trainers {
        assert!(wait_until(LONG, || !is_there(trainer)), "a trainer that has stopped is killed");
    }
    shared.ends_the_same("state");
}

#[test]
fn a_second_signal_ends_a_daemon_that_drains_at_once_and_the_next_goes_on() {
    let Some(shared) = Shared::new() else { return };
    for (state, signals) in [("state1", ["TERM", "TERM"]), ("state2", ["INT", "TERM"])] {
        let (daemon, trainers) = shared.stuck(state, 3600);
        signal(signals[0], daemon.pid());
        // It answers while it drains, and takes nothing on.
        assert!(wait_until(LONG, || daemon.get("/ready").status == 503), "{}", log(&shared.bench));
        assert_eq!(daemon.send("POST", "/v1/searches/test/runs", &json!({})).status, 503);
        assert_ne!(daemon.run("test/1")["in_flight"], json!([]));
        signal(signals[1], daemon.pid());
        assert_eq!(daemon.wait(), Some(130), "{signals:?}");
        trainers.into_iter().for_each(|trainer| signal("KILL", trainer));
        shared.ends_the_same(state);
    }
}

/// Reads a run's events after one until the connection ends or `seen` wants no more; gives whether the run is over.
fn read_events(daemon: &Serving, after: Option<u64>, mut seen: impl FnMut(Value) -> bool) -> bool {
    let mut stream = TcpStream::connect(&daemon.address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let after = after.map(|after| format!("Last-Event-ID: {after}\r\n")).unwrap_or_default();
    let (address, bearer) = (&daemon.address, daemon.bearer());
    let head = format!(
        "GET /v1/runs/test/1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: {bearer}\r\nConnection: close\r\n{after}\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut name = String::new();
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if let Some(text) = line.strip_prefix("event: ") {
            text.clone_into(&mut name);
        } else if let Some(text) = line.strip_prefix("data: ") {
            if name == "end" {
                return true;
            }
            // A daemon that is killed may leave half a line, and then no more.
            let Ok(event) = serde_json::from_str::<Value>(text) else { break };
            if !seen(event) {
                break;
            }
        }
    }
    false
}

#[test]
fn a_reader_of_events_outlives_its_daemons_without_a_gap_or_a_repetition() {
    let bench = bench();
    configure(&bench, "kind = \"null:5\"\ntrainers = 4", 60);
    let mut daemon = Serving::start(&bench, "state");
    submit(&daemon, &bench, &SEARCH.replace("jobs = 300", "jobs = 1500"));
    daemon.wait_for("test/1", |run| run["state"] != "starting");
    let (mut events, mut n_restarts) = (Vec::<Value>::new(), 0);
    loop {
        let after = events.last().map(|event| event["sequence"].as_u64().unwrap());
        let (n_before, pid) = (events.len(), daemon.pid());
        let is_over = read_events(&daemon, after, |event| {
            events.push(event);
            if n_restarts < 4 && events.len() == n_before + 300 {
                // In the middle of reading: by kill -9, then in good order, which ends the stream too.
                signal(if n_restarts % 2 == 0 { "KILL" } else { "TERM" }, pid);
            }
            true
        });
        if is_over {
            break;
        }
        assert_eq!(daemon.wait(), if n_restarts % 2 == 0 { None } else { Some(0) }, "{}", log(&bench));
        n_restarts += 1;
        daemon = Serving::start(&bench, "state");
    }
    assert!(n_restarts >= 3, "{n_restarts}");
    let numbers: Vec<u64> = events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    let printed = bench.journal("state", "print");
    let mut printed: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // What happened again was not known to when it was sent.
    for event in printed.iter_mut().chain(&mut events) {
        event.as_object_mut().unwrap().remove("superseded");
    }
    assert_eq!(events, printed);
    assert_eq!(bench.n_of("state", "ended"), 1);
    let records = records(&bench, "state");
    assert_eq!(assert_whole(&records), 1500);
    assert_known(&records);
}
