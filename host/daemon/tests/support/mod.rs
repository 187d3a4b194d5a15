//! The real binary in a folder of its own.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../../tests/hostile/assemble.rs"]
pub mod assemble;

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Trainings of networks that are small, with the null trainer soon done.
pub const SEARCH: &str = r#"
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

/// A folder with a search file, a strategy, a cache and any number of state folders.
pub struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// `component`: a file's name in tests/hostile.
    pub fn new(search: &str, component: &str) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(bench.path("search.toml"), search).unwrap();
        std::fs::write(bench.path("strategy.wasm"), assemble::hostile(component)).unwrap();
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Any command of nasd, in this folder's world.
    pub fn nasd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nasd"));
        command
            .args(arguments)
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env_remove("NASD_STRATEGIES")
            .stdin(Stdio::null());
        command
    }

    /// `nasd run search.toml`.
    pub fn command(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = self.nasd(&["run", "--json"]);
        command.args(arguments).arg(self.path("search.toml")).arg("--state").arg(self.path(state));
        command
    }

    /// The same with the null trainer.
    pub fn null(&self, state: &str, arguments: &[&str]) -> Command {
        let mut command = self.command(state, arguments);
        command.args(["--device", "null"]);
        command
    }

    pub fn run(&self, state: &str, arguments: &[&str]) -> Output {
        self.null(state, arguments).output().unwrap()
    }

    pub fn summary(&self, state: &str, arguments: &[&str]) -> serde_json::Value {
        summary(&self.run(state, arguments))
    }

    pub fn journal(&self, state: &str, what: &str) -> String {
        let mut command = self.nasd(&["journal", what, "test/1", "--state"]);
        String::from_utf8(command.arg(self.path(state)).output().unwrap().stdout).unwrap()
    }

    /// Events of this name in the journal.
    pub fn n_of(&self, state: &str, event: &str) -> usize {
        self.journal(state, "print").matches(&format!("\"event\":\"{event}\"")).count()
    }
}

/// The document of a run that went well.
pub fn summary(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Send a signal to a process.
pub fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).stderr(Stdio::null()).status();
    sent.unwrap();
}

/// Wait until something holds; gives whether it did within `limit`.
pub fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// Length of a file; 0 if it is not there.
pub fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// A component that `cargo xtask strategies` built.
pub fn built(name: &str) -> Option<Vec<u8>> {
    let folder = std::env::var_os("NASD_STRATEGIES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/strategies"));
    let read = std::fs::read(folder.join(format!("{name}.wasm"))).ok();
    if read.is_none() {
        eprintln!("skipped: there is no {name}.wasm in {}; `cargo xtask strategies` builds it", folder.display());
    }
    read
}
