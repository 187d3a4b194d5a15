//! `nasd serve`: searches run unattended, while people change strategies under them.
//!
//! [`daemon`] holds what there is, [`searches`] says when a run begins, [`runs`] drives it to its end, [`changes`] is
//! what operators do to it, [`queries`] what they see, `api` how they say so over HTTP.

pub mod changes;
pub mod collection;
pub mod configuration;
pub mod daemon;
pub mod live;
pub mod log;
pub mod metrics;
pub mod queries;
pub mod refusal;
pub mod runs;
pub mod searches;
pub mod sheet;
pub mod views;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use nasd_store::{RealFiles, ResultStore};
use nasd_strategy::{Runtime, RuntimeOptions};
use notify::{RecursiveMode, Watcher};

use crate::{
    failure::Failed,
    run::{
        Premises, compiled_cache, open_state,
        pool::{Device, SharedPool},
        trainer_kind,
    },
    strategies,
};
use configuration::DaemonFile;
use daemon::{Daemon, Setting};

/// Changes in the folder of searches are looked at once they come no more for so long.
const SETTLED: Duration = Duration::from_millis(200);
/// Folders are looked at so often without a word from the system.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// A daemon on a state folder, with nothing running yet.
pub fn open(file: &DaemonFile, beside: &Path, state: &Path, data: &Path) -> Result<Daemon, Failed> {
    let state = Arc::new(open_state(RealFiles::shared(), state)?);
    let (results, opened) = ResultStore::open(&state).map_err(Failed::other)?;
    for (run, reason) in &opened.unreadable {
        tracing::error!(%run, reason, "a journal cannot be read");
    }
    match collection::collect(&state) {
        Ok(removed) => tracing::info!(?removed, "what no journal names is gone"),
        Err(error) => tracing::warn!(%error, "nothing is collected"),
    }
    let devices: Result<Vec<Device>, Failed> = file
        .device
        .iter()
        .map(|device| {
            Ok(Device {
                name: device.kind.clone(),
                kind: trainer_kind(&device.kind, device.threads(), data, &state)?,
                shared: trainer_kind(&device.kind, device.shared_threads(), data, &state)?,
                places: device.places(),
            })
        })
        .collect();
    let is_real = file.device.iter().all(|device| !device.kind.starts_with("null"));
    let premises = Premises { state, results: Arc::new(results), pool: SharedPool::start(devices?), is_real };
    let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
    let searches = beside.join(&file.searches);
    Ok(Daemon::new(Setting {
        premises,
        data: data.to_owned(),
        searches: std::path::absolute(&searches).unwrap_or(searches),
        runtime: Arc::new(runtime),
        clock: Arc::new(Timestamp::now),
        reload: file.reload,
        retry: Duration::from_secs(file.retry_seconds.max(1)),
        draws: true,
    }))
}

impl Daemon {
    /// Take up what is not over, then follow folders and schedules until the daemon ends.
    pub async fn follow(&self) -> Result<(), Failed> {
        self.begin_work()?;
        self.go_on().await;
        Ok(())
    }

    /// Take up what is not over, and read the searches. Before that nobody may order anything.
    pub fn begin_work(&self) -> Result<(), Failed> {
        self.take_up()?;
        self.load_searches()
    }

    /// Follow folders and schedules until the daemon ends.
    pub async fn go_on(&self) {
        let _watcher = self.watch_folders();
        let folders = tokio::spawn(self.clone().look_after_folders());
        let mut ending = self.ending();
        loop {
            let starts = self.0.starts.notified();
            let wake = self.tick();
            let now = self.now();
            let pause = wake.map_or(LOOK_EVERY, |at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            tokio::select! {
                () = starts => {}
                () = tokio::time::sleep(pause.min(LOOK_EVERY)) => {}
                _ = ending.wait_for(|is_ending| *is_ending) => break,
            }
        }
        folders.abort();
    }

    /// Hear of changes near searches and strategies; without it they are looked at every few seconds.
    fn watch_folders(&self) -> Option<notify::RecommendedWatcher> {
        let changes = self.0.changes.clone();
        let heard = move |event: notify::Result<notify::Event>| {
            let is_change = event.map_or(true, |event| !event.kind.is_access());
            if is_change {
                changes.notify_waiters();
            }
        };
        let mut watcher = notify::recommended_watcher(heard)
            .inspect_err(|error| tracing::warn!(%error, "the system tells nothing of changed files"))
            .ok()?;
        let mut folders: Vec<PathBuf> = strategies::folders(self.setting().premises.state.root());
        folders.push(self.setting().searches.clone());
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(folder = %folder.display(), %error, "a folder is not watched");
            }
        }
        Some(watcher)
    }

    async fn look_after_folders(self) {
        loop {
            let changed = self.0.changes.notified();
            if tokio::time::timeout(LOOK_EVERY, changed).await.is_ok() {
                // Twenty saves in a second are one change.
                while tokio::time::timeout(SETTLED, self.0.changes.notified()).await.is_ok() {}
            }
            self.scan();
        }
    }
}
