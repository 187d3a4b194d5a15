//! What operators change in running searches: the strategy, its parameters, budget and slots, the share of the
//! trainers; and runs that are forked from others.

use std::{path::Path, sync::atomic::Ordering, time::Instant};

use nasd_engine::Adjustment;
use nasd_protocol::{
    Event, Snapshot,
    event::{StrategyIdentity, SwapCause, Takeover},
};
use nasd_store::{Journal, JournalReader, RunId};
use tokio::sync::oneshot;

use super::{
    daemon::{Daemon, Phase, RunEntry, Wires},
    refusal::Refusal,
    sheet::{Sheet, Wanted},
    views::{ComponentView, ForkOrder, QuarantineView, RunView, StrategyView, SwapOrderView, SwapView},
};
use crate::{
    configuration,
    failure::Failed,
    run::{
        Order,
        reload::{Gate, Passed, swap},
    },
    strategies,
};

/// Largest component that may be uploaded, in bytes.
pub const MAX_COMPONENT: usize = 64 << 20;

impl Daemon {
    /// Suspend a run until it is resumed.
    pub fn pause(&self, run: &RunId) -> Result<RunView, Refusal> {
        self.want(run, Wanted::Paused)?;
        self.run(run).map(|details| details.run)
    }

    /// Have a suspended run go on.
    pub fn resume(&self, run: &RunId) -> Result<RunView, Refusal> {
        self.want(run, Wanted::Running)?;
        self.run(run).map(|details| details.run)
    }

    /// End a run; what it found so far is reported.
    pub fn stop(&self, run: &RunId, by: &str) -> Result<RunView, Refusal> {
        self.want(run, Wanted::Stopped(by.to_owned()))?;
        self.run(run).map(|details| details.run)
    }

    /// Have another strategy, or the same with other parameters, take a run over; or say what that would do.
    pub async fn swap(&self, run: &RunId, order: &SwapOrderView) -> Result<SwapView, Refusal> {
        self.expect_ready()?;
        let begun = Instant::now();
        let wires = self.wires(run)?;
        let current = wires.live.standing().strategy;
        let parameters = match &order.parameters {
            Some(parameters) => parameters.to_string(),
            None => current.parameters.clone(),
        };
        let bytes = self.component_bytes(order.strategy.as_deref().unwrap_or(&current.digest))?;
        let gate = Gate::new(&wires.search, &self.setting().premises.state, self.setting().runtime.clone());
        let passed = gate.pass(bytes, &parameters).await.map_err(Refusal::conflict)?;
        let mut view = SwapView {
            to: strategy_view(&passed.to, &parameters),
            via: "replay".to_owned(),
            jobs: 0,
            seconds: 0.0,
            checks: passed.checks.clone(),
            dry_run: order.dry_run,
        };
        if order.dry_run {
            self.foresee(run, &passed, &wires, &mut view).await?;
        } else {
            let cause = if order.strategy.is_some() { SwapCause::Strategy } else { SwapCause::Parameters };
            let by = order.by.clone().unwrap_or_else(|| "api".to_owned());
            self.exchange(passed, parameters, cause, by, &wires, &mut view).await?;
        }
        view.seconds = begun.elapsed().as_secs_f64();
        Ok(view)
    }

    async fn exchange(
        &self,
        passed: Passed,
        parameters: String,
        cause: SwapCause,
        by: String,
        wires: &Wires,
        view: &mut SwapView,
    ) -> Result<(), Refusal> {
        let order = nasd_engine::SwapOrder { to: passed.to, parameters, cause, by };
        let event = swap(passed.component, order, &wires.orders).await.map_err(Refusal::conflict)?;
        if let Event::Swapped { via, .. } = *event {
            view.via = via_text(via).to_owned();
            view.jobs = if via == Takeover::Replay { wires.live.standing().told } else { 0 };
        }
        Ok(())
    }

    /// What a swap would do: what the strategy would begin with.
    async fn foresee(&self, run: &RunId, passed: &Passed, wires: &Wires, view: &mut SwapView) -> Result<(), Refusal> {
        let standing = wires.live.standing();
        let (state, run) = (self.setting().premises.state.clone(), run.clone());
        let last = tokio::task::spawn_blocking(move || last_snapshot(&state, &run)).await.map_err(Refusal::internal)?;
        let reads = last.map_err(Refusal::internal)?.is_some_and(|snapshot| passed.reads.contains(&snapshot.format));
        if reads {
            view.via = "restore".to_owned();
        } else {
            view.jobs = standing.told;
        }
        Ok(())
    }

    /// Return to the strategy before.
    pub async fn roll_back(&self, run: &RunId, by: &str) -> Result<SwapView, Refusal> {
        self.expect_ready()?;
        let begun = Instant::now();
        let wires = self.wires(run)?;
        let (answer, answered) = oneshot::channel();
        let is_over = || Refusal::conflict(format!("{run} is being suspended or ends"));
        wires.orders.send(Order::RollBack { by: by.to_owned(), answer }).map_err(|_| is_over())?;
        let event = answered.await.map_err(|_| is_over())?.map_err(Refusal::conflict)?;
        let Event::Swapped { to, parameters, via, .. } = *event else {
            return Err(Refusal::internal("the return left no event"));
        };
        Ok(SwapView {
            to: strategy_view(&to, &parameters),
            via: via_text(via).to_owned(),
            jobs: 0,
            seconds: begun.elapsed().as_secs_f64(),
            checks: Vec::new(),
            dry_run: false,
        })
    }

    /// What a changed file means for the run under way: budget, slots, share and parameters act on it.
    pub(super) fn apply_changes(&self, run: &RunId) {
        let (sheet, text, wires) = {
            let book = self.book();
            let Some((entry, search)) = book.runs.get(run).zip(book.searches.get(run.name())) else { return };
            let Some(wires) = entry.wires.clone() else { return };
            (entry.sheet.clone(), search.text.clone(), wires)
        };
        if sheet.current() == text {
            return;
        }
        let parse = |text: &str| configuration::parse(text, "the search", &sheet.settings);
        let (Ok(before), Ok(now)) = (parse(sheet.current()), parse(&text)) else { return };
        let (daemon, run) = (self.clone(), run.clone());
        tokio::spawn(async move {
            let applied = daemon.apply(&before, &now, &wires).await;
            match applied {
                Ok(()) => {
                    let mut book = daemon.book();
                    let Some(entry) = book.runs.get_mut(&run) else { return };
                    entry.sheet.applied = Some(text);
                    entry.sheet.share = now.share;
                    let sheet = entry.sheet.clone();
                    drop(book);
                    let _ = daemon.write(&sheet, &run);
                }
                Err(error) => tracing::warn!(%run, %error, "a changed search file does not act on the run under way"),
            }
        });
    }

    async fn apply(
        &self,
        before: &configuration::SearchFile,
        now: &configuration::SearchFile,
        wires: &Wires,
    ) -> Result<(), Refusal> {
        wires.share.send_replace(now.share);
        if before.budget != now.budget || before.scheduling.slots != now.scheduling.slots {
            let (answer, answered) = oneshot::channel();
            let adjustment =
                Adjustment { budget: now.budget.clone(), slots: now.scheduling.slots, by: "search file".to_owned() };
            let is_over = || Refusal::conflict("the run is being suspended or ends");
            wires.orders.send(Order::Adjust { adjustment, answer }).map_err(|_| is_over())?;
            answered.await.map_err(|_| is_over())?.map_err(Refusal::conflict)?;
        }
        if before.strategy.parameters != now.strategy.parameters {
            let parameters = serde_json::to_string(&now.strategy.parameters).map_err(Refusal::internal)?;
            let bytes = self.component_bytes(&wires.live.standing().strategy.digest)?;
            let gate = Gate::new(&wires.search, &self.setting().premises.state, self.setting().runtime.clone());
            let passed = gate.pass(bytes, &parameters).await.map_err(Refusal::conflict)?;
            let order = nasd_engine::SwapOrder {
                to: passed.to,
                parameters,
                cause: SwapCause::Parameters,
                by: "search file".to_owned(),
            };
            swap(passed.component, order, &wires.orders).await.map_err(Refusal::conflict)?;
        }
        Ok(())
    }

    /// Begin a run that shares another's history up to an event.
    pub async fn fork(&self, run: &RunId, order: &ForkOrder) -> Result<RunView, Refusal> {
        self.expect_ready()?;
        let sheet = {
            let mut book = self.book();
            let entry = book.runs.get_mut(run).ok_or_else(|| self.no_run(run))?;
            let shared = Sheet { is_forked: true, ..entry.sheet.clone() };
            self.write(&shared, run)?;
            entry.is_forked.store(true, Ordering::Relaxed);
            entry.sheet = shared.clone();
            shared
        };
        let by = order.by.clone().unwrap_or_else(|| "api".to_owned());
        let sheet = Sheet { due: None, by: by.clone(), wanted: Wanted::Running, ..sheet };
        let forked = self.copy_history(run, order.at, &sheet)?;
        self.book().runs.insert(forked.clone(), RunEntry::new(sheet, Phase::Starting));
        self.look_after(&forked);
        if order.strategy.is_some() || order.parameters.is_some() {
            let change = SwapOrderView {
                strategy: order.strategy.clone(),
                parameters: order.parameters.clone(),
                dry_run: false,
                by: Some(by),
            };
            self.until_driven(&forked).await?;
            self.swap(&forked, &change).await?;
        }
        self.run(&forked).map(|details| details.run)
    }

    /// The new run's sheet, then its journal.
    fn copy_history(&self, run: &RunId, at: u64, sheet: &Sheet) -> Result<RunId, Refusal> {
        let state = &self.setting().premises.state;
        let records = crate::commands::fork::history(state, run, at).map_err(Refusal::bad)?;
        let is_gone = |digest: &String| !state.weights().contains(digest);
        let checkpoint = records.iter().rev().find_map(|record| match &record.event {
            Event::Savepoint { shared, .. } => shared.as_ref().map(|shared| shared.digest.clone()),
            _ => None,
        });
        if checkpoint.as_ref().is_some_and(is_gone) {
            return Err(Refusal::conflict(format!(
                "the shared weights at event {at} of {run} are no longer kept; fork it at its last savepoint or later"
            )));
        }
        // Two forks at a time would take the same number.
        let _book = self.book();
        let forked = state.create_run(run.name()).map_err(Refusal::internal)?;
        self.write(sheet, &forked)?;
        let copied = || -> Result<(), nasd_store::JournalError> {
            let mut journal = Journal::create(state.files().clone(), &state.journal_path(&forked))?;
            for record in &records {
                journal.append_record(record)?;
            }
            journal.append(Event::Forked { run: run.to_string(), at }, Default::default())?;
            journal.sync().map(drop)
        };
        copied().map_err(|error| {
            self.storage_failed(&error.to_string());
            Refusal::internal(error)
        })?;
        if let Err(error) = self.setting().premises.results.catch_up_run(state, &forked) {
            tracing::warn!(%error, "the result store does not take a fork; the journal has it");
        }
        Ok(forked)
    }

    async fn until_driven(&self, run: &RunId) -> Result<(), Refusal> {
        for _ in 0..1200 {
            match self.wires(run) {
                Ok(_) => return Ok(()),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
        Err(Refusal::conflict(format!("{run} does not start; `nasd show {run}` says why")))
    }

    /// A component by name, by a digest that is kept, or by an absolute path.
    fn component_bytes(&self, component: &str) -> Result<Vec<u8>, Refusal> {
        let state = &self.setting().premises.state;
        let is_digest = component.len() == 64 && component.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest {
            let path = state.components_folder().join(format!("{component}.wasm"));
            return state
                .files()
                .read(&path)
                .map_err(|_| Refusal::not_found(format!("no component {component} is kept")));
        }
        if component.ends_with(".wasm") && !Path::new(component).is_absolute() {
            return Err(Refusal::bad(format!("{component}: give a strategy's name, a digest, or an absolute path")));
        }
        strategies::find(component, Path::new("/"), &strategies::folders(state.root())).map_err(Refusal::not_found)
    }

    /// Components that can be run.
    pub fn components(&self) -> Vec<ComponentView> {
        let state = &self.setting().premises.state;
        let quarantine = state.quarantine();
        let view = |(name, path): (String, std::path::PathBuf)| {
            let digest = blake3::hash(&std::fs::read(&path).ok()?).to_hex().to_string();
            let quarantined = quarantine.get(&digest).map(|entry| entry.message);
            Some(ComponentView { name, file: path.display().to_string(), digest, quarantined })
        };
        strategies::list(&strategies::folders(state.root())).into_iter().filter_map(view).collect()
    }

    /// Keep an uploaded component under a name, for searches to use.
    pub async fn upload(&self, name: &str, bytes: Vec<u8>) -> Result<ComponentView, Refusal> {
        self.expect_ready()?;
        if bytes.len() > MAX_COMPONENT {
            return Err(Refusal::bad(format!(
                "the component has {} bytes; at most {MAX_COMPONENT} are taken",
                bytes.len()
            )));
        }
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_') {
            return Err(Refusal::bad(format!("name {name:?}: use letters, digits, - and _")));
        }
        let runtime = self.setting().runtime.clone();
        let checked = bytes.clone();
        let loaded = tokio::task::spawn_blocking(move || runtime.load(&checked)).await.map_err(Refusal::internal)?;
        let component = loaded.map_err(|error| Refusal::bad(Failed::configuration(error)))?;
        component
            .describe(&nasd_strategy::Limits::default())
            .await
            .map_err(|error| Refusal::bad(Failed::configuration(error)))?;
        let state = &self.setting().premises.state;
        let folder = state.root().join("strategies");
        let path = folder.join(format!("{name}.wasm"));
        let files = state.files();
        let kept = files.create_dir_all(&folder).and_then(|()| nasd_store::write_whole(&**files, &path, &bytes));
        kept.and_then(|()| files.sync_dir(&folder)).map_err(|error| {
            let reason = format!("{}: {error}", path.display());
            self.storage_failed(&reason);
            Refusal::internal(reason)
        })?;
        self.0.changes.notify_waiters();
        Ok(ComponentView {
            name: name.to_owned(),
            file: path.display().to_string(),
            digest: component.digest().to_owned(),
            quarantined: state.quarantine().get(component.digest()).map(|entry| entry.message),
        })
    }

    /// Components that failed.
    pub fn quarantined(&self) -> Vec<QuarantineView> {
        let entries = self.setting().premises.state.quarantine().list();
        let view = |entry: nasd_store::Quarantined| QuarantineView {
            digest: entry.digest,
            name: entry.name,
            run: entry.run,
            message: entry.message,
        };
        entries.into_iter().map(view).collect()
    }

    /// Let a component out of quarantine.
    pub fn release(&self, digest: &str) -> Result<(), Refusal> {
        match self.setting().premises.state.quarantine().release(digest) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal::not_found(format!("{digest} is not in quarantine"))),
            Err(error) => Err(Refusal::internal(error)),
        }
    }
}

fn last_snapshot(state: &nasd_store::StateFolder, run: &RunId) -> Result<Option<Snapshot>, nasd_store::JournalError> {
    let mut last = None;
    for record in JournalReader::open(state.files(), &state.journal_path(run))? {
        if let Event::Savepoint { snapshot, .. } = record?.event {
            last = Some(snapshot);
        }
    }
    Ok(last)
}

fn strategy_view(identity: &StrategyIdentity, parameters: &str) -> StrategyView {
    StrategyView {
        name: identity.name.clone(),
        version: identity.version.clone(),
        digest: identity.digest.clone(),
        parameters: parameters.to_owned(),
    }
}

fn via_text(via: Takeover) -> &'static str {
    match via {
        Takeover::Restore => "restore",
        Takeover::Replay => "replay",
    }
}
