//! Hostile snapshots given to real components. Each is a sound specimen with a few bytes changed, cut, doubled or
//! spliced with another. Whatever comes: an answer or an error, never a panic of the host's.
//!
//! A thousand of each, the same every time. What guidance by coverage is worth having for (strategies' own reading of
//! snapshots, journals, search files, messages of trainers) is `host/fuzz`'s.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/mutants.rs"]
mod mutants;
mod support;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use mutants::mutant;
use nasd::search::{Places, Search, resolve};
use nasd_protocol::{Job, JobId, LogLevel, Prior, Request, Snapshot};
use nasd_space::StreamRandom;
use nasd_strategy::{
    Runtime, RuntimeOptions, Services,
    services::{HistoryService, LogSink},
};
use support::built;

/// Specimens changed, of each strategy.
const MUTANTS: u64 = 1_000;

/// The specimens as they are, then changed at random.
fn fuzz(target: &str, specimens: &[Vec<u8>], read: impl Fn(&[u8])) {
    let check = |bytes: &[u8], from: &str| {
        if catch_unwind(AssertUnwindSafe(|| read(bytes))).is_err() {
            let kept = std::env::temp_dir().join("nasd-fuzz-finding");
            std::fs::write(&kept, bytes).unwrap();
            panic!("{target}: a panic by {from}; kept as {}", kept.display());
        }
    };
    specimens.iter().for_each(|specimen| check(specimen, "a sound specimen"));
    for n in 0..MUTANTS {
        check(&mutant(specimens, &mut StreamRandom::new(n, target)), &format!("mutant {n}"));
    }
}

fn search(text: &str) -> Option<Search> {
    let name = text.split("component = \"").nth(1)?.split('"').next()?.to_owned();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.wasm"), built(&name)?).unwrap();
    let text = text.replace(&format!("component = \"{name}\""), "component = \"s.wasm\"");
    let file = nasd::configuration::parse(&text, "search.toml", &[]).unwrap();
    let places = Places { state: folder.path().join("state"), data: folder.path().join("data") };
    let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Some(tokio.block_on(resolve(file, &folder.path().join("search.toml"), &places, &runtime)).unwrap())
}

fn on_cells(strategy: &str) -> String {
    format!(
        "name = \"s\"\nspace = \"nas-bench-201\"\n[task]\ndata = \"digits\"\nfidelity = 2\n[strategy]\ncomponent = \"{strategy}\"\n"
    )
}

struct Nothing;

impl HistoryService for Nothing {
    fn get(&self, _: JobId) -> Option<Job> {
        None
    }
    fn page(&self, _: JobId, _: u32) -> Vec<Job> {
        Vec::new()
    }
    fn priors(&self, _: u64, _: u32) -> Vec<Prior> {
        Vec::new()
    }
}

impl LogSink for Nothing {
    fn write(&self, _: LogLevel, _: &str) {}
    fn chart(&self, _: &str, _: f64) {}
}

#[test]
fn snapshots() {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for name in ["random", "regularized-evolution", "reinforce", "local-search"] {
        let Some(search) = search(&on_cells(name)) else { return };
        let limits = &search.file.strategy.limits;
        let services = || Services {
            random: StreamRandom::new(1, "strategy"),
            space: search.task.clone(),
            history: Arc::new(Nothing),
            log: Arc::new(Nothing),
        };
        let request = |next_id| Request { slots: 4, next_id, in_flight: vec![], jobs_left: None, budget_used: 0.0 };
        let (format, specimens) = tokio.block_on(async {
            let mut instance = search.component.instantiate(services(), limits).await.unwrap();
            instance.start(&search.setup).await.unwrap();
            let first = instance.save().await.unwrap();
            instance.ask(&request(1)).await.unwrap();
            (first.format.clone(), vec![first.bytes, instance.save().await.unwrap().bytes])
        });
        fuzz(name, &specimens, |bytes| {
            tokio.block_on(async {
                let mut instance = search.component.instantiate(services(), limits).await.unwrap();
                let snapshot = Snapshot { format: format.clone(), bytes: bytes.to_vec(), needs_weights: vec![] };
                if instance.restore(&search.setup, &snapshot).await.is_ok() {
                    let _ = instance.ask(&request(5)).await;
                    let _ = instance.save().await;
                }
            });
        });
    }
}
