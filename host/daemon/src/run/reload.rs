//! Who takes over in a running search: new builds, as they appear in the file of its strategy, or another strategy,
//! at once. What comes is checked against the task and the contract and kept in the state folder before the run
//! hears of it.
//!
//! The file is looked at when the system says that something changed near it, and now and then without: a look is a
//! stat call, and works the same for editors that write in place, rename over, or put a link in place, and on file
//! systems that tell nobody of changes. A change counts once two looks in a row found the same, so half of a file is
//! taken for a build only if the writer pauses; then it does not load, and the rest is another change.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use nasd_engine::SwapOrder;
use nasd_protocol::{
    Event, Setup, SnapshotFormat,
    event::{StrategyIdentity, SwapCause},
};
use nasd_store::{Files, Quarantine, StateFolder};
use nasd_strategy::{
    Component, Limits, Runtime, RuntimeOptions,
    conformance::{CheckOptions, check},
};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{Changes, Options, compiled_cache, drive::Order, folder};
use crate::{
    failure::{Failed, chain},
    search::Search,
    strategies,
};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The same where somebody says when to look.
const LOOK_AT_LEAST: Duration = Duration::from_secs(2);
/// Jobs of each simulated search of the conformance smoke: enough for every call to be made.
const SMOKE_JOBS: u64 = 8;

/// A watcher at work, if there is anything to watch; it stops when dropped.
pub struct Reload(Option<tokio::task::JoinHandle<()>>);

impl Drop for Reload {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What is known of a file without reading it.
type Look = Option<(PathBuf, u64, SystemTime)>;

/// Finds the file of the strategy that has the run now; none: there is none to be found.
pub type Finds = Box<dyn Fn() -> Option<PathBuf> + Send>;

/// Looks for new builds.
pub struct Watcher {
    /// The file.
    pub finds: Finds,
    /// Digest of the strategy that has the run now.
    pub current: Box<dyn Fn() -> String + Send>,
    /// Digests that had the run before, or were turned down: the file that lies there at first is no news if it is one
    /// of them. None once it was looked at.
    pub known: Option<BTreeSet<String>>,
    /// Of the build that was ordered or turned down last.
    pub digest: String,
    /// What a build has to pass.
    pub gate: Gate,
    /// The parameters of the day, as JSON.
    pub parameters: Box<dyn Fn() -> String + Send>,
    /// Where orders go.
    pub orders: mpsc::UnboundedSender<Order>,
    /// Somebody saw a change; without it the file is looked at all the time.
    pub changes: Option<Arc<Notify>>,
}

/// What a component has to pass before a run may use it.
#[derive(Clone)]
pub struct Gate {
    runtime: Arc<Runtime>,
    files: Files,
    state: PathBuf,
    quarantine: Quarantine,
    limits: Limits,
    setup: Setup,
}

/// A component that may be used.
pub struct Passed {
    /// Loaded.
    pub component: Component,
    /// Who it is.
    pub to: StrategyIdentity,
    /// Snapshot formats it reads.
    pub reads: Vec<SnapshotFormat>,
    /// Promises it kept.
    pub checks: Vec<String>,
}

impl Reload {
    /// Do what the options say.
    pub fn start(
        search: &Search,
        options: &Options,
        state: &StateFolder,
        orders: mpsc::UnboundedSender<Order>,
    ) -> Result<Self, Failed> {
        let beside = options.file.parent().unwrap_or(Path::new("."));
        let folders = strategies::folders(&options.places.state);
        let runtime = || Ok(Arc::new(Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?));
        match &options.changes {
            Changes::None => Ok(Self(None)),
            Changes::Builds => {
                let path = strategies::locate(&search.file.strategy.component, beside, &folders)?;
                let parameters = search.setup.parameters.clone();
                Ok(Self::watch(Watcher {
                    finds: Box::new(move || Some(path.clone())),
                    current: Box::new(String::new),
                    known: None,
                    digest: search.identity.digest.clone(),
                    gate: Gate::new(search, state, runtime()?),
                    parameters: Box::new(move || parameters.clone()),
                    orders,
                    changes: None,
                }))
            }
            Changes::Strategy { component, parameters } => {
                let path = strategies::locate(component, Path::new("."), &folders)?;
                let parameters = parameters.clone().unwrap_or_else(|| search.setup.parameters.clone());
                let gate = Gate::new(search, state, runtime()?);
                let by = format!("file {}", path.display());
                let passes = async move {
                    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
                    order_swap(&gate, bytes, parameters, SwapCause::Strategy, by, &orders).await
                };
                Ok(Self(Some(tokio::spawn(async move {
                    if let Err(reason) = passes.await {
                        tracing::warn!(reason, "a strategy does not take over; the one before goes on");
                    }
                }))))
            }
        }
    }

    /// Let new builds take over.
    pub fn watch(mut watcher: Watcher) -> Self {
        Self(Some(tokio::spawn(async move { watcher.watch().await })))
    }
}

impl Watcher {
    async fn watch(&mut self) {
        let (mut taken, mut last): (Look, Look) = (None, None);
        loop {
            let changed = self.changes.clone();
            let changed = changed.as_deref().map(Notify::notified);
            let path = (self.finds)();
            let look = path.as_deref().and_then(look);
            if look.is_some() && look == last && look != taken {
                taken.clone_from(&look);
                if let Some(path) = path {
                    self.changed(&path).await;
                }
            }
            let is_settled = look == last;
            last = look;
            match changed {
                Some(changed) if is_settled => {
                    let _ = tokio::time::timeout(LOOK_AT_LEAST, changed).await;
                }
                _ => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    async fn changed(&mut self, path: &Path) {
        let Ok(bytes) = std::fs::read(path) else { return }; // gone again
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let known = self.known.take().is_some_and(|known| known.contains(&digest));
        let is_news = !known && digest != self.digest && digest != (self.current)();
        self.digest.clone_from(&digest);
        if !is_news {
            return;
        }
        let path = path.display();
        let (parameters, by) = ((self.parameters)(), format!("file {path}"));
        if let Err(reason) = order_swap(&self.gate, bytes, parameters, SwapCause::Build, by, &self.orders).await {
            tracing::warn!(%path, digest, reason, "a new build does not take over; the strategy before goes on");
        }
    }
}

/// Follows links; none while there is no file. The path is part of it: another strategy's file is another look.
fn look(path: &Path) -> Look {
    let metadata = std::fs::metadata(path).ok()?;
    Some((path.to_owned(), metadata.len(), metadata.modified().ok()?))
}

/// Put bytes through the gate and have them take over; what became of it.
async fn order_swap(
    gate: &Gate,
    bytes: Vec<u8>,
    parameters: String,
    cause: SwapCause,
    by: String,
    orders: &mpsc::UnboundedSender<Order>,
) -> Result<Box<Event>, String> {
    let Passed { component, to, .. } = gate.pass(bytes, &parameters).await?;
    swap(component, SwapOrder { to, parameters, cause, by }, orders).await
}

/// Have a component that passed take over; the swap's event, or why there is none.
pub async fn swap(
    component: Component,
    order: SwapOrder,
    orders: &mpsc::UnboundedSender<Order>,
) -> Result<Box<Event>, String> {
    let (answer, answered) = oneshot::channel();
    let is_over = || "the run is being suspended or ends".to_owned();
    orders.send(Order::Swap { component, order, answer }).map_err(|_| is_over())?;
    answered.await.map_err(|_| is_over())?
}

impl Gate {
    /// Of a run.
    pub fn new(search: &Search, state: &StateFolder, runtime: Arc<Runtime>) -> Self {
        Self {
            runtime,
            files: state.files().clone(),
            state: state.components_folder(),
            quarantine: state.quarantine(),
            limits: search.file.strategy.limits.clone(),
            setup: search.setup.clone(),
        }
    }

    /// Load, check against the task and the contract, keep: in this order, so that only what may run is kept.
    pub async fn pass(&self, bytes: Vec<u8>, parameters: &str) -> Result<Passed, String> {
        let digest = blake3::hash(&bytes).to_hex().to_string();
        if let Some(entry) = self.quarantine.get(&digest) {
            return Err(format!(
                "it failed in run {} ({}); clear it by `nasd strategy release {digest}`",
                entry.run, entry.message
            ));
        }
        let runtime = self.runtime.clone();
        let load = move || runtime.load(&bytes).map(|component| (component, bytes));
        let loaded = tokio::task::spawn_blocking(load).await.map_err(|error| error.to_string())?;
        let (component, bytes) = loaded.map_err(|error| chain(&error))?;
        let descriptor = component.describe(&self.limits).await.map_err(|error| chain(&error))?;
        let mut missing = descriptor.needs.missing_from(&self.setup.offers);
        if descriptor.needs.shared_weights && self.setup.shared_weights.is_none() {
            missing.push("shared-weights");
        }
        if !missing.is_empty() {
            return Err(format!("it needs {}, which this run does not offer", missing.join(", ")));
        }
        let options = CheckOptions {
            limits: self.limits.clone(),
            jobs: SMOKE_JOBS,
            parameters: parameters.to_owned(),
            ..CheckOptions::default()
        };
        let report = check(&self.runtime, &component, options).await;
        if let Some(broken) = report.checks.iter().find(|check| !check.passed) {
            return Err(format!("it breaks the contract: {}: {}", broken.name, broken.detail));
        }
        folder::keep_bytes(&self.files, &self.state, &digest, &bytes).map_err(|error| error.to_string())?;
        let to = StrategyIdentity { name: descriptor.name, version: descriptor.version, digest };
        let checks = report.checks.into_iter().map(|check| check.name.to_string()).collect();
        Ok(Passed { component, to, reads: descriptor.reads, checks })
    }
}
