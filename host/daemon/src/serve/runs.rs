//! A run's life in a daemon: begun with a sheet and a journal, driven by a task of its own until it is over, taken up
//! again after whatever came between.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use nasd_engine::resume::is_over;
use nasd_protocol::{Event, Record};
use nasd_store::{Journal, RunId};
use tokio::sync::{Notify, mpsc, watch};
use tracing::Instrument;

use super::{
    daemon::{Book, Daemon, Phase, RunEntry, Start, Wires},
    live::{Live, Watching},
    refusal::Refusal,
    sheet::{Sheet, Wanted},
};
use crate::{
    configuration,
    failure::Failed,
    run::{
        Conduct, Superseding, conduct_run, open_run,
        reload::{Gate, Reload, Watcher},
        stop,
    },
    search::{Places, Search, resolve, resolve_with},
    strategies,
};

/// Longest wait of a run that could not go on.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

impl Daemon {
    /// Take up every run of this daemon that is not over.
    pub fn take_up(&self) -> Result<(), Failed> {
        let premises = &self.setting().premises;
        for run in premises.state.runs().map_err(Failed::other)? {
            let sheet = match Sheet::read(&premises.state, &run) {
                Ok(Some(sheet)) => sheet,
                Ok(None) => continue,
                Err(error) => {
                    tracing::error!(%run, %error, "a run is left alone");
                    continue;
                }
            };
            let ending = premises.results.run(&run).map_err(Failed::other)?.and_then(|row| row.ending);
            let has_report = premises.state.files().exists(&premises.state.run_folder(&run).join("report.md"));
            let phase = match ending {
                Some(ending) if has_report => Phase::Ended(ending.to_string()),
                _ => Phase::Starting,
            };
            let is_over = matches!(phase, Phase::Ended(_));
            self.book().runs.insert(run.clone(), RunEntry::new(sheet, phase));
            if !is_over {
                self.look_after(&run);
            }
        }
        Ok(())
    }

    /// Begin a run of a search: its sheet first, then its journal, both durable before this returns.
    pub(super) fn begin(&self, book: &mut Book, name: &str, start: Start) -> Result<RunId, Refusal> {
        self.expect_ready()?;
        let Some(search) = book.searches.get(name) else {
            return Err(Refusal::not_found(format!("there is no search `{name}`")));
        };
        let sheet = Sheet {
            text: search.text.clone(),
            file: search.file_path.clone(),
            settings: start.settings,
            due: start.due.map(|due| due.to_string()),
            by: start.by,
            wanted: Wanted::Running,
            share: search.file.share,
            applied: None,
            is_forked: false,
        };
        let state = &self.setting().premises.state;
        let begun = || -> Result<RunId, Failed> {
            let run = state.create_run(name).map_err(Failed::storage)?;
            sheet.write(state, &run)?;
            Journal::create(state.files().clone(), &state.journal_path(&run)).map_err(Failed::storage)?;
            Ok(run)
        };
        let run = begun().map_err(|error| {
            if let Failed::Storage(reason) = &error {
                self.storage_failed(reason);
            }
            Refusal::internal(error)
        })?;
        tracing::info!(%run, by = sheet.by, due = sheet.due, "a run begins");
        book.runs.insert(run.clone(), RunEntry::new(sheet, Phase::Starting));
        Ok(run)
    }

    /// See to it that a task looks after a run.
    pub(super) fn look_after(&self, run: &RunId) {
        let mut book = self.book();
        let Some(entry) = book.runs.get_mut(run) else { return };
        if entry.has_task {
            entry.wake.notify_waiters();
            return;
        }
        entry.has_task = true;
        drop(book);
        self.0.n_tasks.send_modify(|n| *n += 1);
        let (daemon, run) = (self.clone(), run.clone());
        let span = tracing::info_span!("run", %run);
        tokio::spawn(
            async move {
                daemon.attend(&run).await;
                daemon.0.n_tasks.send_modify(|n| *n = n.saturating_sub(1));
                daemon.0.starts.notify_one();
            }
            .instrument(span),
        );
    }

    /// The task of a run.
    async fn attend(&self, run: &RunId) {
        let mut retry = self.setting().retry;
        loop {
            let (sheet, wake) = {
                let mut book = self.book();
                let Some(entry) = book.runs.get_mut(run) else { return };
                let is_paused = entry.sheet.wanted == Wanted::Paused;
                if is_paused {
                    entry.phase = Phase::Paused;
                }
                if is_paused || self.readiness().is_err() {
                    entry.has_task = false;
                    return;
                }
                entry.phase = Phase::Starting;
                (entry.sheet.clone(), entry.wake.clone())
            };
            let woken = wake.notified();
            let outcome = self.drive(run, &sheet).await;
            let waits_for = {
                let mut book = self.book();
                let Some(entry) = book.runs.get_mut(run) else { return };
                entry.wires = None;
                match outcome {
                    Ok(ending) => {
                        tracing::info!(ending, "the run is over");
                        entry.phase = Phase::Ended(ending);
                        entry.has_task = false;
                        return;
                    }
                    Err(Failed::Interrupted(_)) => None,
                    Err(Failed::Storage(reason)) => {
                        entry.phase = Phase::Waiting(reason.clone());
                        drop(book);
                        self.storage_failed(&reason);
                        None
                    }
                    Err(error) => {
                        tracing::error!(%error, retry = retry.as_secs(), "the run could not go on; it is tried again");
                        entry.phase = Phase::Waiting(error.to_string());
                        Some(retry)
                    }
                }
            };
            if let Some(pause) = waits_for {
                retry = (retry * 2).min(LONGEST_RETRY);
                let _ = tokio::time::timeout(pause, woken).await;
            }
        }
    }

    /// Drive a run as far as it goes; how it ended.
    async fn drive(&self, run: &RunId, sheet: &Sheet) -> Result<String, Failed> {
        let premises = &self.setting().premises;
        let mut opened = open_run(&premises.state, run.clone())?;
        let mut stopped = None;
        if let Wanted::Stopped(by) = &sheet.wanted {
            if !is_over(&opened.records) {
                opened = stop(premises, opened, by)?;
            }
            stopped = Some(by);
        }
        let search = match (self.resolve(sheet, &opened.records).await, stopped) {
            (Ok(search), _) => search,
            // What it was about is gone, which may be why it was stopped.
            (Err(error), Some(by)) => return Ok(format!("stopped by {by}; there is no report: {error}")),
            (Err(error), None) => return Err(error),
        };
        let live = Live::new(search.plan.objectives.first().cloned());
        live.begin(&search.identity, &search.setup.parameters);
        live.catch_up(&opened.records);
        let (orders, mut ordered) = mpsc::unbounded_channel();
        let (interrupting, interrupt) = watch::channel(false);
        let (sharing, share) = watch::channel(sheet.share);
        let search = Arc::new(search);
        let wires = Wires {
            interrupt: Arc::new(interrupting),
            share: Arc::new(sharing),
            orders: orders.clone(),
            live: live.clone(),
            search: search.clone(),
        };
        let _reload = self.reload(sheet, &wires, &opened.records);
        {
            let mut book = self.book();
            let Some(entry) = book.runs.get_mut(run) else { return Err(Failed::Interrupted(String::new())) };
            // What was ordered while it was being resolved counts.
            let is_unwanted = entry.sheet.wanted != sheet.wanted || *self.0.ending.borrow();
            wires.interrupt.send_replace(is_unwanted);
            entry.wires = Some(wires);
            entry.phase = Phase::Running;
        }
        self.apply_changes(run);
        let is_forked = self.book().runs.get(run).map(|entry| entry.is_forked.clone()).unwrap_or_default();
        let mut watching = Watching::new(live, self.0.metrics.clone(), run.name());
        let conduct = Conduct {
            orders: &mut ordered,
            onlooker: &mut watching,
            interrupt,
            share,
            superseding: Some(Superseding::new(premises.state.weights(), is_forked)),
            draws: self.setting().draws,
        };
        conduct_run(&search, premises, opened, conduct).await.map(|summary| summary.ending_text())
    }

    /// The search of a run, with the component that it began with.
    async fn resolve(&self, sheet: &Sheet, records: &[Record]) -> Result<Search, Failed> {
        let premises = &self.setting().premises;
        let file = configuration::parse(&sheet.text, &sheet.file.display().to_string(), &sheet.settings)?;
        let places = Places { state: premises.state.root().to_owned(), data: self.setting().data.clone() };
        let runtime = &self.setting().runtime;
        let Some(Event::Begun { configuration_digest, strategy, .. }) = records.first().map(|record| &record.event)
        else {
            return resolve(file, &sheet.file, &places, runtime).await;
        };
        let path = premises.state.components_folder().join(format!("{}.wasm", strategy.digest));
        let bytes = premises.state.files().read(&path).map_err(|error| {
            Failed::Other(format!("the component that the run began with: {}: {error}; restore it", path.display()))
        });
        let search = resolve_with(file, &sheet.file, &places, runtime, bytes).await?;
        if search.configuration_digest != *configuration_digest {
            return Err(Failed::Other(
                "the space, the data or the table of this run are no longer what it began with; restore them, or stop the run"
                    .to_owned(),
            ));
        }
        Ok(search)
    }

    /// Watch for new builds of whoever has the run.
    fn reload(&self, sheet: &Sheet, wires: &Wires, records: &[Record]) -> Option<Reload> {
        if !self.setting().reload {
            return None;
        }
        let search = &wires.search;
        let state = &self.setting().premises.state;
        let folders = strategies::folders(state.root());
        let beside = sheet.file.parent().map(ToOwned::to_owned).unwrap_or_default();
        let (first, component) = (search.identity.name.clone(), search.file.strategy.component.clone());
        let live = wires.live.clone();
        let finds = move || {
            let current = live.standing().strategy.name;
            let component = if current == first { &component } else { &current };
            strategies::locate(component, &beside, &folders).ok()
        };
        let (live, current) = (wires.live.clone(), wires.live.clone());
        let known = records.iter().flat_map(|record| match &record.event {
            Event::Begun { strategy, .. } => vec![strategy.digest.clone()],
            Event::Swapped { from, to, .. } => vec![from.digest.clone(), to.digest.clone()],
            Event::SwapRefused { to, .. } => vec![to.digest.clone()],
            _ => Vec::new(),
        });
        Some(Reload::watch(Watcher {
            finds: Box::new(finds),
            current: Box::new(move || current.standing().strategy.digest),
            known: Some(known.collect()),
            digest: search.identity.digest.clone(),
            gate: Gate::new(search, state, self.setting().runtime.clone()),
            parameters: Box::new(move || live.standing().strategy.parameters),
            orders: wires.orders.clone(),
            changes: Some(self.0.changes.clone()),
        }))
    }

    /// Have a run do something else: pause, go on, stop.
    pub(super) fn want(&self, run: &RunId, wanted: Wanted) -> Result<(), Refusal> {
        self.expect_ready()?;
        let mut book = self.book();
        let entry = book.runs.get_mut(run).ok_or_else(|| self.no_run(run))?;
        if matches!(entry.phase, Phase::Ended(_)) {
            return Err(Refusal::conflict(format!("{run} is over")));
        }
        if matches!(entry.sheet.wanted, Wanted::Stopped(_)) {
            return Err(Refusal::conflict(format!("{run} is being stopped")));
        }
        let sheet = Sheet { wanted, ..entry.sheet.clone() };
        self.write(&sheet, run)?;
        entry.sheet = sheet;
        if let Some(wires) = &entry.wires {
            let is_unwanted = entry.sheet.wanted != Wanted::Running;
            wires.interrupt.send_replace(is_unwanted);
        }
        drop(book);
        self.look_after(run);
        Ok(())
    }

    pub(super) fn write(&self, sheet: &Sheet, run: &RunId) -> Result<(), Refusal> {
        sheet.write(&self.setting().premises.state, run).map_err(|error| {
            self.storage_failed(&error.to_string());
            Refusal::internal(error)
        })
    }

    /// What reaches a run; a refusal where it is not under way.
    pub(super) fn wires(&self, run: &RunId) -> Result<Wires, Refusal> {
        let book = self.book();
        let entry = book.runs.get(run).ok_or_else(|| self.no_run(run))?;
        entry
            .wires
            .clone()
            .ok_or_else(|| Refusal::conflict(format!("{run} is not running; it is {}", name_of(&entry.phase))))
    }

    pub(super) fn no_run(&self, run: &RunId) -> Refusal {
        match self.setting().premises.results.run(run) {
            Ok(Some(_)) => Refusal::conflict(format!("{run} is not this daemon's: `nasd run` began it")),
            _ => Refusal::not_found(format!("there is no run {run}; `nasd list` says which there are")),
        }
    }
}

impl RunEntry {
    /// Of this run, without a task.
    pub fn new(sheet: Sheet, phase: Phase) -> Self {
        let is_forked = Arc::new(AtomicBool::new(sheet.is_forked));
        Self { sheet, phase, wires: None, has_task: false, wake: Arc::new(Notify::new()), is_forked }
    }
}

/// A phase in one word.
pub(super) fn name_of(phase: &Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Paused => "paused",
        Phase::Waiting(_) => "waiting",
        Phase::Ended(_) => "over",
    }
}
