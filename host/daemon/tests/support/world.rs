//! A daemon's core in this process, in a world of its own.

#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use nasd::{
    run::{
        Premises, open_state,
        pool::{Device, SharedPool},
        read_records, trainer_kind,
    },
    serve::{
        daemon::{Daemon, Setting},
        views::{RunState, RunView},
    },
};
use nasd_protocol::{Event, Record};
use nasd_store::{Files, ResultStore, RunId, fault::FaultyFiles};
use nasd_strategy::{Runtime, RuntimeOptions};

use crate::support::assemble;

/// Unix seconds on which an hour begins.
const BEGIN: i64 = 1_800_000_000;

/// One for all tests of a process, so that each component is compiled once.
fn runtime() -> Arc<Runtime> {
    static RUNTIME: OnceLock<Arc<Runtime>> = OnceLock::new();
    let new = || {
        let cache = tempfile::tempdir().unwrap().keep();
        Arc::new(Runtime::new(RuntimeOptions { cache: Some(cache) }).unwrap())
    };
    RUNTIME.get_or_init(new).clone()
}

/// Half a minute is forever here.
pub const PATIENCE: u32 = 3000;

pub const SEARCH: &str = r#"
name = "NAME"
space = "nas-bench-201"
space-settings = { "stack.channels" = 2, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
fidelity = 2
[strategy]
component = "well-behaved.wasm"
[budget]
jobs = 40
[scheduling]
slots = 4
savepoint-every = 10
"#;

/// A world: a folder of searches on disk, a state folder in memory or on disk, a clock.
pub struct World {
    pub folder: tempfile::TempDir,
    pub files: Files,
    pub state: PathBuf,
    pub seconds: Arc<AtomicI64>,
    /// Of the clock.
    pub begin: i64,
    runtime: Arc<Runtime>,
    pub pause: u64,
    pub places: u32,
}

impl World {
    pub fn new() -> Self {
        Self::on(&FaultyFiles::new())
    }

    /// With its state folder on these files.
    pub fn on(files: &FaultyFiles) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = runtime();
        std::fs::create_dir(folder.path().join("searches")).unwrap();
        let world = Self {
            folder,
            files: files.shared(),
            state: "/state".into(),
            seconds: Arc::new(AtomicI64::new(BEGIN)),
            begin: BEGIN,
            runtime,
            pause: 0,
            places: 4,
        };
        let component = assemble::hostile("well-behaved");
        std::fs::write(world.searches().join("well-behaved.wasm"), &component).unwrap();
        std::fs::write(world.searches().join("other.wasm"), assemble::another_build(&component, 1)).unwrap();
        world
    }

    pub fn searches(&self) -> PathBuf {
        self.folder.path().join("searches")
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.searches().join(format!("{name}.toml")), text).unwrap();
    }

    pub fn daemon(&self) -> Option<Daemon> {
        let state = Arc::new(open_state(self.files.clone(), &self.state).ok()?);
        let (results, _) = ResultStore::open(&state).ok()?;
        let device = format!("null:{}", self.pause);
        let kind = trainer_kind(&device, 1, Path::new("."), &state).unwrap();
        let device = Device { name: device, kind: kind.clone(), shared: kind, places: self.places };
        let seconds = self.seconds.clone();
        Some(Daemon::new(Setting {
            premises: Premises {
                state,
                results: Arc::new(results),
                pool: SharedPool::start(vec![device]),
                is_real: false,
            },
            data: self.folder.path().join("data"),
            searches: self.searches(),
            runtime: self.runtime.clone(),
            clock: Arc::new(move || Timestamp::from_second(seconds.load(Ordering::Relaxed)).unwrap()),
            reload: true,
            retry: Duration::from_millis(20),
            draws: false,
        }))
    }

    /// A daemon that follows its folders.
    pub fn start(&self) -> Daemon {
        let daemon = self.daemon().unwrap();
        let follower = daemon.clone();
        tokio::spawn(async move { follower.follow().await.unwrap() });
        daemon
    }

    /// A daemon that has taken up what there is and read its folders; none: its files do not let it.
    pub fn try_start(&self) -> Option<Daemon> {
        let daemon = self.daemon()?;
        let begun = daemon.take_up().and_then(|()| daemon.load_searches());
        match begun {
            Ok(()) => Some(daemon),
            Err(_) => {
                daemon.end();
                None
            }
        }
    }

    pub async fn end(daemon: Daemon) {
        daemon.end();
        daemon.drained().await;
        daemon.close();
        // Everything that holds the state folder is gone once its tasks have seen the end.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn run_id(run: &str) -> RunId {
    run.parse().unwrap()
}

pub async fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    for _ in 0..PATIENCE {
        if let Some(found) = found() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there never was {what}");
}

pub async fn state_of(daemon: &Daemon, run: &str, state: RunState) -> RunView {
    let run = run_id(run);
    wait_for(&format!("{run} {state:?}"), || {
        let view = daemon.run(&run).ok()?.run;
        (view.state == state).then_some(view)
    })
    .await
}

/// Jobs told, in order of their numbers; what a resumption superseded is left out.
pub fn told(records: &[Record]) -> Vec<u64> {
    let superseded: Vec<(u64, u64)> = records
        .iter()
        .filter_map(|record| match record.event {
            Event::Resumed { supersedes, .. } => Some(supersedes),
            _ => None,
        })
        .collect();
    let holds = |record: &&Record| !superseded.iter().any(|&(from, to)| (from..to).contains(&record.sequence));
    let mut told: Vec<u64> = records
        .iter()
        .filter(holds)
        .filter_map(|record| match record.event {
            Event::Told { job, .. } => Some(job),
            _ => None,
        })
        .collect();
    told.sort_unstable();
    told
}

pub fn records(daemon: &Daemon, run: &str) -> Vec<Record> {
    read_records(daemon.state(), &run_id(run)).unwrap()
}

pub fn digest(daemon: &Daemon, run: &str) -> String {
    nasd_store::digest(&records(daemon, run)).unwrap()
}

pub fn block_on(test: impl Future<Output = ()>) {
    // Shown with a test that fails.
    let _ = tracing_subscriber::fmt().with_env_filter("nasd=info").with_test_writer().try_init();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}
