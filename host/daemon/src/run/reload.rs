//! Who takes over in a running search: new builds, as they appear in the file of its strategy, or another strategy,
//! at once. What comes is checked against the task and the contract and kept in the state folder before the run
//! hears of it.
//!
//! The file is looked at many times a second rather than subscribed to: that is a stat call each time, and it
//! works the same for editors that write in place, rename over, or put a link in place, and on file systems that
//! tell nobody of changes. A change counts once two looks in a row found the same, so half of a file is taken for
//! a build only if the writer pauses; then it does not load, and the rest is another change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use nasd_engine::SwapOrder;
use nasd_protocol::{
    Setup,
    event::{StrategyIdentity, SwapCause},
};
use nasd_store::{Files, Quarantine, StateFolder};
use nasd_strategy::{
    Component, Limits, Runtime, RuntimeOptions,
    conformance::{CheckOptions, check},
};
use tokio::sync::{mpsc, oneshot};

use super::{Changes, Options, compiled_cache, drive::Order, folder};
use crate::{
    failure::{Failed, chain},
    search::Search,
    strategies,
};

/// Between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_millis(50);
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
type Look = Option<(u64, SystemTime)>;

struct Watcher {
    path: PathBuf,
    /// Of the build that was ordered or turned down last.
    digest: String,
    /// Of the strategy that takes over, as JSON.
    parameters: String,
    gate: Gate,
    orders: mpsc::UnboundedSender<Order>,
}

/// What a component has to pass before a run may use it.
struct Gate {
    runtime: Arc<Runtime>,
    files: Files,
    state: PathBuf,
    quarantine: Quarantine,
    limits: Limits,
    setup: Setup,
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
        let (path, parameters) = match &options.changes {
            Changes::None => return Ok(Self(None)),
            Changes::Builds => (strategies::locate(&search.file.strategy.component, beside, &folders)?, None),
            Changes::Strategy { component, parameters } => {
                (strategies::locate(component, Path::new("."), &folders)?, parameters.clone())
            }
        };
        let gate = Gate {
            runtime: Arc::new(Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?),
            files: state.files().clone(),
            state: state.components_folder(),
            quarantine: state.quarantine(),
            limits: search.file.strategy.limits.clone(),
            setup: search.setup.clone(),
        };
        let parameters = parameters.unwrap_or_else(|| search.setup.parameters.clone());
        let mut watcher = Watcher { path, digest: search.identity.digest.clone(), parameters, gate, orders };
        let is_once = options.changes != Changes::Builds;
        Ok(Self(Some(tokio::spawn(async move {
            if is_once {
                watcher.digest.clear();
                watcher.changed(SwapCause::Strategy).await;
            } else {
                watcher.watch().await;
            }
        }))))
    }
}

impl Watcher {
    async fn watch(&mut self) {
        let (mut taken, mut last): (Look, Look) = (None, None);
        loop {
            let look = self.look();
            if look.is_some() && look == last && look != taken {
                taken = look;
                self.changed(SwapCause::Build).await;
            }
            last = look;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Follows links; none while there is no file.
    fn look(&self) -> Look {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.len(), metadata.modified().ok()?))
    }

    async fn changed(&mut self, cause: SwapCause) {
        let Ok(bytes) = std::fs::read(&self.path) else { return }; // gone again
        let digest = blake3::hash(&bytes).to_hex().to_string();
        if digest == self.digest {
            return;
        }
        self.digest.clone_from(&digest);
        let path = self.path.display();
        match self.gate.pass(bytes, &self.parameters).await {
            Err(reason) => tracing::warn!(%path, digest, reason, "a strategy is turned down; the one before goes on"),
            Ok((component, to)) => {
                let order = SwapOrder { to, parameters: self.parameters.clone(), cause, by: format!("file {path}") };
                let (answer, answered) = oneshot::channel();
                if self.orders.send(Order::Swap { component, order, answer }).is_ok()
                    && let Ok(Err(reason)) = answered.await
                {
                    tracing::warn!(%path, digest, reason, "a strategy did not take over; the one before goes on");
                }
            }
        }
    }
}

impl Gate {
    /// Load, check against the task and the contract, keep: in this order, so that only what may run is kept.
    async fn pass(&self, bytes: Vec<u8>, parameters: &str) -> Result<(Component, StrategyIdentity), String> {
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
        Ok((component, to))
    }
}
