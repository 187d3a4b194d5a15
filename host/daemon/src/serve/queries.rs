//! What a daemon answers without changing anything: from the book, from runs under way, from the result store.

use std::collections::BTreeMap;

use nasd_protocol::{Goal, Record, event::RunEnding};
use nasd_store::{ChangeRow, JobRow, JobState, JournalReader, RunId, RunRow};
use tokio::sync::watch;

use super::{
    daemon::{Daemon, Phase},
    live::Standing,
    refusal::Refusal,
    views::{
        ChangeView, CurvePoint, InFlightView, JobPage, JobView, RunDetails, RunPage, RunState, RunView, SearchView,
        StrategyView,
    },
};
use crate::configuration::Share;

/// Jobs of a page at most.
pub const MAX_PAGE: usize = 1000;
/// Best jobs shown with a run.
const TOP: usize = 10;
/// Events handed over at a time.
const EVENTS: usize = 256;

/// Which runs are wanted.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// Of this search.
    pub search: Option<String>,
    /// In this state.
    pub state: Option<RunState>,
    /// After this one.
    pub after: Option<RunId>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl Daemon {
    /// All searches.
    pub fn searches(&self) -> Vec<SearchView> {
        let book = self.book();
        let mut views: Vec<SearchView> = Vec::new();
        for (name, entry) in &book.searches {
            let last = book.last_run(name);
            views.push(SearchView {
                name: name.clone(),
                summary: entry.file.summary.clone(),
                file: entry.source.as_ref().map(|path| path.display().to_string()),
                is_removed: entry.is_removed,
                error: entry.error.clone(),
                schedule: entry.file.schedule.as_ref().map(|schedule| schedule.start.clone()).unwrap_or_default(),
                next_start: entry.starter.as_ref().and_then(|starter| starter.wake_at()).map(|at| at.to_string()),
                last_run: last.map(|(run, _)| run.to_string()),
                pending: last.map(|(_, run)| super::searches::pending(&run.sheet, entry)).unwrap_or_default(),
            });
        }
        views.extend(book.errors.iter().map(|(path, error)| SearchView {
            name: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            summary: String::new(),
            file: Some(path.display().to_string()),
            is_removed: false,
            error: Some(error.clone()),
            schedule: Vec::new(),
            next_start: None,
            last_run: None,
            pending: Vec::new(),
        }));
        views
    }

    /// One search.
    pub fn search(&self, name: &str) -> Result<SearchView, Refusal> {
        let found = self.searches().into_iter().find(|view| view.name == name);
        found.ok_or_else(|| {
            Refusal::not_found(format!("there is no search `{name}`; `nasd list --searches` says which there are"))
        })
    }

    /// Runs by name and number, foreign ones too.
    pub fn runs(&self, filter: &RunFilter) -> Result<RunPage, Refusal> {
        let rows = self.setting().premises.results.runs().map_err(Refusal::internal)?;
        let mut runs: BTreeMap<RunId, Option<RunRow>> =
            rows.into_iter().map(|row| (row.run.clone(), Some(row))).collect();
        for run in self.book().runs.keys() {
            runs.entry(run.clone()).or_insert(None);
        }
        let limit = filter.limit.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
        let mut page = RunPage { runs: Vec::new(), next: None };
        let is_wanted = |run: &RunId| {
            filter.search.as_deref().is_none_or(|search| run.name() == search)
                && filter.after.as_ref().is_none_or(|after| run > after)
        };
        for (run, row) in runs.into_iter().filter(|(run, _)| is_wanted(run)) {
            let view = self.view(&run, row.as_ref());
            if filter.state.is_some_and(|state| view.state != state) {
                continue;
            }
            if page.runs.len() == limit {
                page.next = page.runs.last().map(|view| view.run.clone());
                break;
            }
            page.runs.push(view);
        }
        Ok(page)
    }

    fn view(&self, run: &RunId, row: Option<&RunRow>) -> RunView {
        let (state, reason, standing) = self.state_of(run, row);
        let results = &self.setting().premises.results;
        let objective = row.and_then(|row| row.objectives.first());
        let best = standing.as_ref().and_then(|standing| standing.best).or_else(|| {
            let objective = objective?;
            results.best(run, &objective.metric, objective.goal, 1).ok()?.first()?.measure(&objective.metric)
        });
        let strategy = match (&standing, row) {
            (Some(standing), _) => standing.strategy.clone(),
            (None, Some(row)) => StrategyView {
                name: row.strategy.name.clone(),
                version: row.strategy.version.clone(),
                digest: row.strategy.digest.clone(),
                parameters: String::new(),
            },
            (None, None) => StrategyView::default(),
        };
        RunView {
            run: run.to_string(),
            state,
            reason,
            strategy,
            space: row.map(|row| row.space.clone()).unwrap_or_default(),
            objective: objective.map(|objective| objective.metric.clone()).unwrap_or_default(),
            best,
            jobs: match &standing {
                Some(standing) => standing.jobs,
                None => results.n_jobs(run).unwrap_or_default(),
            },
            budget_used: standing.map(|standing| standing.budget_used),
            begun_at: row.and_then(|row| row.begun_at),
            ended_at: row.and_then(|row| row.ended_at),
        }
    }

    fn state_of(&self, run: &RunId, row: Option<&RunRow>) -> (RunState, Option<String>, Option<Standing>) {
        let book = self.book();
        let Some(entry) = book.runs.get(run) else {
            let ending = row.and_then(|row| row.ending.as_ref());
            let state = if ending.is_some() { RunState::Ended } else { RunState::Foreign };
            return (state, ending.map(RunEnding::to_string), None);
        };
        let standing = entry.wires.as_ref().map(|wires| wires.live.standing());
        let (state, reason) = match &entry.phase {
            Phase::Starting => (RunState::Starting, None),
            Phase::Running => (RunState::Running, None),
            Phase::Paused => (RunState::Paused, None),
            Phase::Waiting(reason) => (RunState::Waiting, Some(reason.clone())),
            Phase::Ended(how) => (RunState::Ended, Some(how.clone())),
        };
        (state, reason, standing)
    }

    /// A run with all that is known of it.
    pub fn run(&self, run: &RunId) -> Result<RunDetails, Refusal> {
        let premises = &self.setting().premises;
        let row = premises.results.run(run).map_err(Refusal::internal)?;
        let (sheet, wires) = match self.book().runs.get(run) {
            Some(entry) => (Some(entry.sheet.clone()), entry.wires.clone()),
            None if row.is_none() => return Err(self.no_run(run)),
            None => (None, None),
        };
        let standing = wires.as_ref().map(|wires| wires.live.standing()).unwrap_or_default();
        let objective = row.as_ref().and_then(|row| row.objectives.first());
        let top = match objective {
            Some(objective) => {
                premises.results.best(run, &objective.metric, objective.goal, TOP).map_err(Refusal::internal)?
            }
            None => Vec::new(),
        };
        let recommended = row.as_ref().map(|row| row.recommended.clone()).unwrap_or_default();
        let Share { weight, priority } = sheet.map(|sheet| sheet.share).unwrap_or_default();
        let report = premises.state.run_folder(run).join("report.md");
        Ok(RunDetails {
            run: self.view(run, row.as_ref()),
            in_flight: standing.in_flight.iter().map(|(&job, &progress)| InFlightView { job, progress }).collect(),
            top: top.iter().map(job_view).collect(),
            changes: row.as_ref().map(|row| row.changes.iter().map(change_view).collect()).unwrap_or_default(),
            recommended: recommended.into_iter().map(|digest| self.notation(run, &digest).unwrap_or(digest)).collect(),
            events: premises.results.applied(run).sequence,
            weight,
            priority,
            report: premises.state.files().exists(&report).then(|| report.display().to_string()),
        })
    }

    fn notation(&self, run: &RunId, digest: &str) -> Option<String> {
        let book = self.book();
        let wires = book.runs.get(run)?.wires.as_ref()?;
        let architecture = self.setting().premises.results.architecture(digest).ok()??;
        Some(wires.search.task.definition().notation(&architecture))
    }

    /// A page of a run's jobs.
    pub fn jobs(&self, run: &RunId, from: u64, limit: usize) -> Result<JobPage, Refusal> {
        self.expect_run(run)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let rows = self.setting().premises.results.jobs(run, from, limit + 1).map_err(Refusal::internal)?;
        let next = rows.get(limit).map(|row| row.job);
        Ok(JobPage { jobs: rows.iter().take(limit).map(job_view).collect(), next })
    }

    /// One job.
    pub fn job(&self, run: &RunId, job: u64) -> Result<JobView, Refusal> {
        self.expect_run(run)?;
        let row = self.setting().premises.results.job(run, job).map_err(Refusal::internal)?;
        row.as_ref().map(job_view).ok_or_else(|| Refusal::not_found(format!("{run} has no job {job}")))
    }

    /// The best so far, job by job, where it became better.
    pub fn curve(&self, run: &RunId) -> Result<Vec<CurvePoint>, Refusal> {
        let results = &self.setting().premises.results;
        let Some(row) = results.run(run).map_err(Refusal::internal)? else { return Err(self.no_run(run)) };
        let Some(objective) = row.objectives.first() else { return Ok(Vec::new()) };
        let mut points: Vec<CurvePoint> = Vec::new();
        let mut from = 1;
        loop {
            let rows = results.jobs(run, from, MAX_PAGE).map_err(Refusal::internal)?;
            let Some(last) = rows.last() else { return Ok(points) };
            from = last.job + 1;
            for row in &rows {
                let Some(value) = row.measure(&objective.metric).filter(|_| row.is_result()) else { continue };
                let is_better = points.last().is_none_or(|best| match objective.goal {
                    Goal::Maximize => value > best.best,
                    Goal::Minimize => value < best.best,
                });
                if is_better {
                    points.push(CurvePoint { job: row.job, best: value });
                }
            }
        }
    }

    fn expect_run(&self, run: &RunId) -> Result<(), Refusal> {
        let is_known = self.book().runs.contains_key(run)
            || self.setting().premises.results.run(run).map_err(Refusal::internal)?.is_some();
        if is_known { Ok(()) } else { Err(self.no_run(run)) }
    }

    /// A run's events after this one, as they become durable.
    pub fn events(&self, run: &RunId, after: Option<u64>) -> Result<Events, Refusal> {
        self.expect_run(run)?;
        Ok(Events {
            daemon: self.clone(),
            run: run.clone(),
            offset: 0,
            next: 0,
            wanted: after.map_or(0, |after| after.saturating_add(1)),
        })
    }
}

/// A run's events, from its journal.
pub struct Events {
    daemon: Daemon,
    run: RunId,
    /// Where the next record to read lies, and its number.
    offset: u64,
    next: u64,
    /// The first that is wanted.
    wanted: u64,
}

impl Events {
    /// What is durable and was not handed over; waits for more while the run goes on. None: there will be no more.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>, Refusal> {
        loop {
            let mut durable = self.durable();
            let (is_live, limit) = match &mut durable {
                Some(durable) => (true, *durable.borrow_and_update()),
                None => (false, u64::MAX),
            };
            let records = self.read(limit)?;
            if !records.is_empty() {
                return Ok(Some(records));
            }
            let Some(mut durable) = durable.filter(|_| is_live) else { return Ok(None) };
            let mut ending = self.daemon.ending();
            tokio::select! {
                changed = durable.changed() => drop(changed),
                _ = ending.wait_for(|is_ending| *is_ending) => return Ok(None),
                // A run that ended meanwhile has no wires any more.
                () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            }
        }
    }

    /// What is durable and was not handed over; none: there is no more now.
    pub fn past(&mut self) -> Result<Option<Vec<Record>>, Refusal> {
        let limit = self.durable().map_or(u64::MAX, |durable| *durable.borrow());
        let records = self.read(limit)?;
        Ok((!records.is_empty()).then_some(records))
    }

    fn durable(&self) -> Option<watch::Receiver<u64>> {
        Some(self.daemon.book().runs.get(&self.run)?.wires.as_ref()?.live.durable())
    }

    fn read(&mut self, limit: u64) -> Result<Vec<Record>, Refusal> {
        let state = &self.daemon.setting().premises.state;
        let path = state.journal_path(&self.run);
        let reader = match self.next {
            0 => JournalReader::open(state.files(), &path),
            next => JournalReader::open_at(state.files(), &path, self.offset, next),
        };
        let mut reader = reader.map_err(Refusal::internal)?;
        let mut records = Vec::new();
        while records.len() < EVENTS && self.next < limit {
            let Some(record) = reader.next() else { break };
            let record = record.map_err(Refusal::internal)?;
            self.offset = reader.offset();
            self.next = record.sequence + 1;
            if record.sequence >= self.wanted {
                records.push(record);
            }
        }
        Ok(records)
    }
}

fn job_view(row: &JobRow) -> JobView {
    let state = match row.state {
        JobState::InFlight => "in-flight",
        JobState::Arrived => "arrived",
        JobState::Told => "told",
        JobState::Refused => "refused",
    };
    let kind = match row.kind {
        nasd_store::JobKind::Train => "train",
        nasd_store::JobKind::TrainShared => "train-shared",
        nasd_store::JobKind::EvaluateShared => "evaluate-shared",
    };
    JobView {
        job: row.job,
        state: state.to_owned(),
        kind: kind.to_owned(),
        architecture: row.architecture.clone(),
        amount: row.amount,
        parents: row.parents.clone(),
        measures: row.measures.iter().map(|measure| (measure.name.clone(), measure.value)).collect(),
        failure: row.failure.as_ref().map(|failure| format!("{:?}: {}", failure.kind, failure.message)),
        cost: row.cost,
        note: row.note.clone(),
    }
}

fn change_view(row: &ChangeRow) -> ChangeView {
    ChangeView {
        event: row.event,
        time: row.time,
        by: row.by.clone(),
        cause: row.cause.clone(),
        from: row.from.clone(),
        to: row.to.clone(),
        via: row.via.clone(),
        message: row.message.clone(),
    }
}
