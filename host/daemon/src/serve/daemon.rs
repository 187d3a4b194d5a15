//! The daemon as its parts and its clients see it: searches, runs, and what may be asked of them.
//!
//! One lock guards the book of searches and runs and is held for moments; each run is a task of its own that reports
//! to the book when it ends. What has to survive a restart is on disk before it is said: runs' sheets and journals,
//! submitted searches, the memory of schedules.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool},
};

use jiff::Timestamp;
use nasd_schedule::Starter;
use nasd_store::RunId;
use nasd_strategy::Runtime;
use tokio::sync::{Notify, mpsc, watch};

use super::{live::Live, metrics::Metrics, refusal::Refusal, sheet::Sheet};
use crate::{
    configuration::{SearchFile, Share},
    run::{Order, Premises},
};

/// Tells the time. Tests have a clock of their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What a daemon is made with.
pub struct Setting {
    /// State folder, result store, trainers.
    pub premises: Premises,
    /// The folder of data sets.
    pub data: PathBuf,
    /// The watched folder of search files.
    pub searches: PathBuf,
    /// Loads components.
    pub runtime: Arc<Runtime>,
    /// The time.
    pub clock: Clock,
    /// Let new builds take over.
    pub reload: bool,
    /// Until a run that could not go on is tried again, at first.
    pub retry: std::time::Duration,
    /// Put pictures into reports.
    pub draws: bool,
}

/// A search that the daemon knows.
pub(super) struct SearchEntry {
    /// Its file; none: it was submitted.
    pub source: Option<PathBuf>,
    /// Where relative paths in it start from.
    pub file_path: PathBuf,
    /// The last good text.
    pub text: String,
    /// The same, parsed.
    pub file: SearchFile,
    /// Why the text there now is not used.
    pub error: Option<String>,
    /// Its file is gone.
    pub is_removed: bool,
    /// When it starts.
    pub starter: Option<Starter>,
    /// Another run is wanted as soon as none is under way.
    pub wants_run: Option<Start>,
}

/// A run to begin.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The start that was due.
    pub due: Option<Timestamp>,
    /// Who wants it.
    pub by: String,
    /// Settings over the file's.
    pub settings: Vec<String>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Being resolved or taken up.
    Starting,
    /// Being driven.
    Running,
    /// Suspended by an operator.
    Paused,
    /// It could not go on; why.
    Waiting(String),
    /// Over; how.
    Ended(String),
}

/// What reaches a run under way.
#[derive(Clone)]
pub(super) struct Wires {
    /// Becomes true when it is to be suspended.
    pub interrupt: Arc<watch::Sender<bool>>,
    /// Its share of the trainers.
    pub share: Arc<watch::Sender<Share>>,
    /// What operators want of it.
    pub orders: mpsc::UnboundedSender<Order>,
    /// What is known of it.
    pub live: Arc<Live>,
    /// What it was resolved to, for checks of what may take over.
    pub search: Arc<crate::search::Search>,
}

/// A run of this daemon.
pub(super) struct RunEntry {
    pub sheet: Sheet,
    pub phase: Phase,
    /// While it is under way.
    pub wires: Option<Wires>,
    /// A task looks after it.
    pub has_task: bool,
    /// Wakes that task from waiting.
    pub wake: Arc<Notify>,
    /// It shares history with another run.
    pub is_forked: Arc<AtomicBool>,
}

/// Everything that changes.
#[derive(Default)]
pub(super) struct Book {
    pub searches: BTreeMap<String, SearchEntry>,
    pub runs: BTreeMap<RunId, RunEntry>,
    /// What is wrong with search files that never were good, by file.
    pub errors: BTreeMap<PathBuf, String>,
}

pub(super) struct Inner {
    pub setting: Setting,
    pub metrics: Arc<Metrics>,
    book: Mutex<Book>,
    /// Why nothing can be made durable any more.
    storage: Mutex<Option<String>>,
    /// Becomes true when the daemon ends.
    pub ending: watch::Sender<bool>,
    /// Somebody should look at the starts again.
    pub starts: Notify,
    /// Somebody saw a change near strategies or searches.
    pub changes: Arc<Notify>,
    /// Tasks of runs.
    pub n_tasks: watch::Sender<usize>,
}

/// A daemon.
#[derive(Clone)]
pub struct Daemon(pub(super) Arc<Inner>);

impl Daemon {
    /// Nothing runs yet; see [`Daemon::take_up`].
    pub fn new(setting: Setting) -> Self {
        Self(Arc::new(Inner {
            setting,
            metrics: Arc::new(Metrics::default()),
            book: Mutex::default(),
            storage: Mutex::default(),
            ending: watch::channel(false).0,
            starts: Notify::new(),
            changes: Arc::new(Notify::new()),
            n_tasks: watch::channel(0).0,
        }))
    }

    /// Alone with the book; never across an await.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn setting(&self) -> &Setting {
        &self.0.setting
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.0.setting.clock)()
    }

    /// Whether it takes anything on; why not.
    pub fn readiness(&self) -> Result<(), String> {
        if let Some(reason) = &*self.0.storage.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(format!("nothing can be made durable: {reason}; free the disk and start the daemon again"));
        }
        if *self.0.ending.borrow() {
            return Err("it is ending".to_owned());
        }
        Ok(())
    }

    /// Refuse what cannot be kept.
    pub(super) fn expect_ready(&self) -> Result<(), Refusal> {
        self.readiness().map_err(|reason| Refusal::unavailable(format!("the daemon takes nothing on: {reason}")))
    }

    /// The disk failed: from now on nothing is taken on, and no run goes on.
    pub(super) fn storage_failed(&self, reason: &str) {
        let mut storage = self.0.storage.lock().unwrap_or_else(PoisonError::into_inner);
        if storage.is_none() {
            tracing::error!(reason, "nothing can be made durable any more; what was acknowledged is kept");
            *storage = Some(reason.to_owned());
        }
    }

    /// As text for Prometheus.
    pub fn metrics(&self) -> String {
        let devices = self.setting().premises.pool.lock().devices();
        let names = ["starting", "running", "paused", "waiting", "ended"];
        let mut counts = names.map(|name| (name, 0));
        for entry in self.book().runs.values() {
            let at = match entry.phase {
                Phase::Starting => 0,
                Phase::Running => 1,
                Phase::Paused => 2,
                Phase::Waiting(_) => 3,
                Phase::Ended(_) => 4,
            };
            if let Some((_, n)) = counts.get_mut(at) {
                *n += 1;
            }
        }
        self.0.metrics.text(&devices, &counts)
    }

    /// End: no new runs, those under way come to a savepoint. See [`Daemon::drained`].
    pub fn end(&self) {
        self.0.ending.send_replace(true);
        self.0.starts.notify_waiters();
        for entry in self.book().runs.values() {
            if let Some(wires) = &entry.wires {
                wires.interrupt.send_replace(true);
            }
            entry.wake.notify_waiters();
        }
    }

    /// Becomes true when it ends.
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.0.ending.subscribe()
    }

    /// The state folder.
    pub fn state(&self) -> &nasd_store::StateFolder {
        &self.setting().premises.state
    }

    /// Jobs told in a run under way.
    pub fn live_told(&self, run: &RunId) -> Option<u64> {
        Some(self.book().runs.get(run)?.wires.as_ref()?.live.standing().told)
    }

    /// Close the result store in good order; after [`Daemon::drained`].
    pub fn close(&self) {
        if let Err(error) = self.setting().premises.results.flush() {
            tracing::warn!(%error, "the result store could not be flushed");
        }
    }

    /// Runs that a task looks after.
    pub fn under_way(&self) -> Vec<RunId> {
        self.book().runs.iter().filter(|(_, entry)| entry.has_task).map(|(run, _)| run.clone()).collect()
    }

    /// Wait until no run is under way.
    pub async fn drained(&self) {
        let mut tasks = self.0.n_tasks.subscribe();
        let _ = tasks.wait_for(|n| *n == 0).await;
    }
}
