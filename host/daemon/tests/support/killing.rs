//! Killing processes at moments that are the same in every run of a test.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{path::Path, time::Duration};

/// Shared weights by gradients of mixtures: some seconds on the digits.
pub const SHARED: &str = r#"
name = "test"
space = "nas-bench-201"
seed = 3
space-settings = { "stack.channels" = 4, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
validation = 0.5
shared-epochs = 4
[task.shared-recipe]
batch-size = 128
[strategy]
component = "strategy.wasm"
[scheduling]
savepoint-every = 4
max-attempts = 1000
[final]
fidelity = 2
"#;

/// How many kills of each process.
pub fn n_kills() -> u32 {
    std::env::var("NASD_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(3)
}

pub fn has_trainer() -> bool {
    let trainer = Path::new(env!("CARGO_BIN_EXE_nasd")).with_file_name("nasd-trainer");
    if !trainer.is_file() {
        eprintln!("skipped: there is no {}; `cargo xtask build` builds it", trainer.display());
    }
    trainer.is_file()
}

/// Processes that this one started, by its id.
pub fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // pid (name) state parent ...; the name may hold anything.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        if after.split_whitespace().nth(1).and_then(|id| id.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

pub fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, after)| !after.trim_start().starts_with('Z'))
}

/// Moments between kills.
pub struct Moments {
    state: u64,
    longest: u64,
}

impl Moments {
    /// Of a fifteenth of so many milliseconds to all of them.
    pub fn up_to(longest: u64) -> Self {
        Self { state: 7, longest }
    }

    pub fn next(&mut self) -> Duration {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(self.longest / 15 + (self.state >> 33) % (self.longest - self.longest / 15))
    }
}
