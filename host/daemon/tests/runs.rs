//! The real binary with the null trainer: runs end, resume after `kill -9`, and bad input writes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "../../../tests/hostile/assemble.rs"]
mod assemble;

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

const SEARCH: &str = r#"
name = "test"
space = "nas-bench-201"
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
fidelity = 3
[strategy]
component = "strategy.wasm"
[budget]
jobs = 300
[scheduling]
slots = 4
savepoint-every = 20
"#;

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(search: &str, component: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("search.toml"), search).unwrap();
        std::fs::write(folder.path().join("strategy.wasm"), assemble::hostile(component)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nasd"));
        command.args(["run", "--device", "null", "--json"]).args(arguments);
        command.arg(self.path("search.toml")).arg("--state").arg(self.path(state));
        command.env("XDG_CACHE_HOME", self.path("cache")).stdin(Stdio::null());
        command
    }

    fn run(&self, state: &str, arguments: &[&str]) -> Output {
        self.command(state, arguments).output().unwrap()
    }

    fn summary(&self, state: &str, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(state, arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

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
        let mut child = bench.command("killed", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + 17 * attempt));
        if child.try_wait().unwrap().is_some() {
            break;
        }
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        n_killed += 1;
    }
    assert!(n_killed > 0, "the run was over before it could be killed");
    // Whatever is left is done; a run killed after its last event is over, and the next one is `test/2`.
    bench.summary("killed", &[]);
    let journal = |what: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nasd"));
        command.args(["journal", what, "test/1", "--state"]).arg(bench.path("killed"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(journal("digest").trim(), whole["digest"]);
    let n_of = |event: &str| journal("print").matches(&format!("\"event\":\"{event}\"")).count();
    assert_eq!(n_of("ended"), 1);
    assert_eq!(n_of("begun"), 1);
}

#[test]
fn a_finished_run_is_followed_by_a_new_one() {
    let bench = Bench::new(&SEARCH.replace("jobs = 300", "jobs = 5"), "well-behaved");
    assert_eq!(bench.summary("state", &[])["run"], "test/1");
    assert_eq!(bench.summary("state", &[])["run"], "test/2");
}

#[test]
fn bad_input_is_one_line_exit_code_64_and_nothing_written() {
    let cases: &[(&str, &str, &str)] = &[
        ("jobs = 300", "job = 300", "search.toml:11: unknown field `job`"),
        ("fidelity = 3", "fidelity = \"3\"", "search.toml:7: invalid type"),
        ("data = \"digits\"", "data = \"absent\"", "there is no data set `absent`"),
        ("\"nas-bench-201\"", "\"nas-bench-2001\"", "nas-bench-2001"),
        ("\"strategy.wasm\"", "\"absent\"", "there is no strategy `absent`"),
        ("\"stack.channels\" = 4", "\"stack.chanels\" = 4", "chanels"),
    ];
    for (from, to, expected) in cases {
        let bench = Bench::new(&SEARCH.replace(from, to), "well-behaved");
        let output = bench.run("state", &[]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(error.contains(expected) && error.trim_end().lines().count() == 1, "{error}");
        assert!(!bench.path("state").exists(), "{to}: something was written");
    }
}
