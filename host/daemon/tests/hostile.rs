//! Strategies that break the contract, through the whole of `nasd run`: each ends its own search with a named error
//! in one line and the right exit code; the process lives, and the search after it in the same command is done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "../../../tests/hostile/assemble.rs"]
mod assemble;

use std::process::{Command, Stdio};

/// A search with limits that are reached quickly.
fn search(name: &str) -> String {
    format!(
        r#"
name = "{name}"
space = "nas-bench-201"
space-settings = {{ "stack.channels" = 2, "stack.cells-per-stage" = 1 }}
[task]
data = "digits"
fidelity = 2
[strategy]
component = "{name}.wasm"
[strategy.limits]
fuel-per-call = 50_000_000
memory-bytes = 67_108_864
result-bytes = 1_048_576
host-calls-per-call = 10_000
[budget]
jobs = 6
[scheduling]
slots = 2
savepoint-every = 2
"#
    )
}

struct Run {
    code: i32,
    errors: String,
    documents: Vec<serde_json::Value>,
    has_runs: bool,
}

/// A hostile strategy's search, then a well-behaved one's, in one command.
fn run(name: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in [name, "well-behaved"] {
        std::fs::write(path(&format!("{name}.toml")), search(name)).unwrap();
        std::fs::write(path(&format!("{name}.wasm")), assemble::hostile(name)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_nasd"));
    command.args(["run", "--device", "null", "--json", "--log", "error", "--state"]).arg(path("state"));
    command.arg(path(&format!("{name}.toml"))).arg(path("well-behaved.toml"));
    let output = command.env("XDG_CACHE_HOME", path("cache")).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    Run {
        code: output.status.code().unwrap_or_else(|| panic!("{name} ended the host: {errors}")),
        documents: serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{name}: {errors}")),
        errors,
        has_runs: path("state/runs").join(name).exists(),
    }
}

/// Code 64: it is refused before anything is written of its run; 1: its run ends as failed; 0: the run ends well.
const CASES: &[(&str, i32, &str)] = &[
    (
        "wrong-world",
        64,
        "wrong-world.toml:9: strategy `wrong-world.wasm`: the component does not export nas:strategy/strategy@0.1.0",
    ),
    ("later-contract", 64, "strategy@0.2.0"),
    ("missing-export", 64, "`start`"),
    ("undeclared-import", 64, "wasi:filesystem/types@0.2.0"),
    ("impure-describe", 64, "space.sample"),
    ("panic-in-every-call", 64, "no plan survives"),
    ("endless-loop", 1, "fuel"),
    ("endless-allocation", 1, "memory"),
    ("endless-host-calls", 1, "10000"),
    ("trap", 1, "out of bounds memory access"),
    ("deep-recursion", 1, "call stack exhausted"),
    ("list-out-of-bounds", 1, "list pointer/length out of bounds"),
    ("huge-list", 1, "1048576"),
    ("too-many-items", 1, "3 items where 2 slots are free"),
    ("nan-weights", 1, "NaN"),
    ("wait-forever", 1, "waits although nothing is in flight"),
    ("draws-in-save", 1, "random.next-u64"),
    // Refused architectures are failed jobs, which the strategy is told; it has no better ones.
    ("invalid-architecture", 1, "every one of its 6 jobs failed"),
    // Only a resumption restores: see `crashes.rs`.
    ("garbage-snapshot", 0, ""),
];

#[test]
fn a_hostile_strategy_fails_by_name_and_the_next_search_is_done() {
    for (name, code, words) in CASES {
        let run = run(name);
        let errors: Vec<&str> = run.errors.lines().filter(|line| line.starts_with("nasd: error: ")).collect();
        println!("{name}: exit {}: {}", run.code, run.errors.trim_end());
        assert_eq!(run.code, *code, "{name}: {}", run.errors);
        match code {
            0 => assert!(errors.is_empty(), "{name}: {errors:?}"),
            _ => assert!(errors.len() == 1 && errors[0].contains(words), "{name}: {:?}", run.errors),
        }
        assert_eq!(run.has_runs, *code != 64, "{name}: what is refused leaves no run");
        assert_eq!(run.documents.len(), 2, "{name}");
        let [first, second] = &run.documents[..] else { panic!("{name}: {:?}", run.documents) };
        assert_eq!(first["failure"].is_null(), *code == 0, "{name}: {first}");
        assert_eq!((&second["run"], &second["jobs"]), (&"well-behaved/1".into(), &6.into()), "{name}: {second}");
        assert!(second["failure"].is_null());
    }
}
