//! The real binary with `--reload`: new builds take over while jobs are in flight, bad ones do not, and the journal
//! says so in a way that can be driven anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "../../../tests/hostile/assemble.rs"]
mod assemble;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const SEARCH: &str = r#"
name = "test"
space = "nas-bench-201"
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
fidelity = 2
[strategy]
component = "strategy.wasm"
[budget]
jobs = 10000000
[scheduling]
slots = 4
savepoint-every = 20
[final]
fidelity = 0
"#;

/// Fails in its 201st `tell`: long after what a short check sees.
const TRAPS_LATER: &str = r#"
(global $since (mut i32) (i32.const 0))
(func (export "nas:strategy/strategy@0.1.0#tell") (param $job i32) (result i32)
  (global.set $since (i32.add (global.get $since) (i32.const 1)))
  (if (i32.gt_u (global.get $since) (i32.const 200)) (then (unreachable)))
  (global.set $told (i64.add (global.get $told) (i64.const 1)))
  (call $ok))
"#;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("search.toml"), SEARCH).unwrap();
        let bench = Self { folder };
        bench.install(&assemble::hostile("well-behaved"));
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As an editor or a build tool does it: another file, renamed over.
    fn install(&self, component: &[u8]) {
        std::fs::write(self.path("strategy.part"), component).unwrap();
        std::fs::rename(self.path("strategy.part"), self.path("strategy.wasm")).unwrap();
    }

    fn nasd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nasd"));
        command.args(arguments).arg("--state").arg(self.path("state"));
        command.env("XDG_CACHE_HOME", self.path("cache")).stdin(Stdio::null());
        command
    }

    fn start(&self) -> Child {
        let mut command = self.nasd(&["run", "--device", "null", "--json", "--reload"]);
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        command.arg(self.path("search.toml")).stdout(Stdio::null()).stderr(log).spawn().unwrap()
    }

    fn output(&self, arguments: &[&str]) -> String {
        let output = self.nasd(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Events of a kind so far; none while there is no journal.
    fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let output = self.nasd(&["journal", "print", "test/1"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events.filter(|event| event["event"] == kind && event["superseded"] == false).collect()
    }

    #[track_caller]
    fn wait_for(&self, kind: &str, n: usize) -> Vec<serde_json::Value> {
        let begun = Instant::now();
        loop {
            let events = self.events(kind);
            if events.len() >= n {
                return events;
            }
            let log = || std::fs::read_to_string(self.path("log")).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(120), "{} of {n} {kind}; {}", events.len(), log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    fn assert_whole(&self, n_swaps: u64) {
        let mut told: Vec<u64> = self.events("told").iter().map(|event| event["job"].as_u64().unwrap()).collect();
        told.sort_unstable();
        let n_told = told.len();
        told.dedup();
        assert_eq!(told.len(), n_told, "a job was told twice");
        // Interrupted with at most so many jobs in flight.
        let last = told.last().copied().unwrap_or_default();
        assert!(last > 100 && last <= n_told as u64 + 4, "{last} jobs, {n_told} told");
        let replay: serde_json::Value = serde_json::from_str(&self.output(&["replay", "test/1", "--json"])).unwrap();
        assert_eq!(replay["difference"], serde_json::Value::Null);
        assert_eq!(replay["swaps"], n_swaps);
    }
}

/// The run has more jobs than any machine does meanwhile: it ends when the test has seen what it waits for.
fn interrupt(child: &mut std::process::Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn new_builds_take_over_and_one_that_fails_gives_way_while_the_run_goes_on() {
    let bench = Bench::new();
    let good = assemble::hostile("well-behaved");
    let mut child = bench.start();
    bench.wait_for("told", 50);
    bench.install(&assemble::another_build(&good, 1));
    let swaps = bench.wait_for("swapped", 1);
    assert_eq!((&swaps[0]["via"], &swaps[0]["cause"]), (&"restore".into(), &"build".into()));

    // Half a file, no component, one that breaks the contract: the run does not notice.
    let half = &good[..good.len() / 2];
    for bad in [half, b"", b"not a component", &assemble::hostile("trap"), &assemble::hostile("garbage-snapshot")] {
        bench.install(bad);
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(bench.events("swapped").len(), 1);

    bench.install(&assemble::component(TRAPS_LATER));
    let swaps = bench.wait_for("swapped", 3);
    assert_eq!(swaps[2]["cause"]["trap"], "tell");
    assert_eq!(swaps[2]["to"], swaps[0]["to"], "the build before has the search again");
    let quarantine = bench.output(&["strategy", "quarantine", "--json"]);
    assert!(quarantine.contains(swaps[1]["to"]["digest"].as_str().unwrap()), "{quarantine}");

    // It stays out until an operator lets it in.
    bench.install(&good);
    bench.wait_for("swapped", 4);
    bench.install(&assemble::component(TRAPS_LATER));
    std::thread::sleep(Duration::from_millis(500));
    interrupt(&mut child);
    assert_eq!(bench.events("swapped").len(), 4);
    bench.assert_whole(4);
    bench.output(&["strategy", "release", swaps[1]["to"]["digest"].as_str().unwrap()]);
    assert_eq!(bench.output(&["strategy", "quarantine", "--json"]).trim(), "[]");
}

#[test]
fn a_run_killed_after_a_swap_goes_on_with_the_build_that_took_over() {
    let bench = Bench::new();
    let good = assemble::hostile("well-behaved");
    let mut child = bench.start();
    for number in 1..=3u32 {
        bench.wait_for("told", 100 * number as usize);
        bench.install(&assemble::another_build(&good, number));
        bench.wait_for("swapped", number as usize);
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        child = bench.start();
    }
    let n_told = bench.events("told").len();
    bench.wait_for("told", n_told + 50);
    interrupt(&mut child);
    assert!(!bench.path("state/runs/test/2").exists(), "the same run went on");
    bench.assert_whole(3);
}
