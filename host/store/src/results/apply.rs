//! What each event of a journal changes in the rows.

use std::collections::{BTreeMap, btree_map::Entry};

use nasd_protocol::{
    Answer, Event, JobId, Outcome, Proposal, Record, Work,
    event::{Observation, SwapCause, Takeover},
};
use nasd_space::architecture_digest;

use super::{Changed, ChangedJob, Progress, ResultStore, ResultsError, decode, encode, index_keys};
use crate::{
    record::is_superseded,
    rows::{self, ChangeRow, CurveSummary, FinalRow, JobKind, JobProvenance, JobRow, JobState, RunRow},
    scan::Span,
    state::RunId,
};

impl ResultStore {
    /// Change rows by one record, in memory.
    pub(super) fn take_in(
        &self,
        progress: &mut Progress,
        run: &RunId,
        record: &Record,
        span: Span,
    ) -> Result<(), ResultsError> {
        let observed = &record.observed;
        match &record.event {
            Event::Begun { configuration_digest, seed, strategy, setup, .. } => {
                let row = RunRow {
                    run: run.clone(),
                    strategy: strategy.clone(),
                    configuration_digest: configuration_digest.clone(),
                    space: setup.space.name.clone(),
                    space_digest: setup.space_digest.clone(),
                    objectives: setup.objectives.clone(),
                    seed: *seed,
                    begun_at: number(observed, "time"),
                    resumptions: 0,
                    ending: None,
                    ended_at: None,
                    recommended: Vec::new(),
                    finals: Vec::new(),
                    changes: Vec::new(),
                };
                progress.runs.entry(run.clone()).or_default().run = Some(row);
            }
            Event::Asked { request, answer: Answer::Work(proposals), .. } => {
                for (job, proposal) in (request.next_id..).zip(proposals) {
                    self.ask(progress, run, job, proposal, record.sequence, span)?;
                }
            }
            Event::Dispatched { job, attempt } => self.change(progress, run, *job, |row| row.attempts = *attempt)?,
            Event::Reported { job, point } => self.change(progress, run, *job, |row| {
                if row.state == JobState::InFlight {
                    row.curve.points = row.curve.points.saturating_add(1);
                    row.curve.reached = point.fidelity;
                    row.measures = point.measures.iter().take(rows::MEASURES).cloned().collect();
                }
            })?,
            Event::Arrived { job, outcome, cost, weights, test } => self.change(progress, run, *job, |row| {
                enter(row, outcome);
                row.cost = *cost;
                row.weights.clone_from(weights);
                row.test = test.iter().take(rows::MEASURES).cloned().collect();
                row.span = span;
                row.provenance = JobProvenance {
                    time: number(observed, "time"),
                    device_seconds: number(observed, "device_seconds"),
                    device: text(observed, "device"),
                    host: text(observed, "host"),
                };
            })?,
            Event::Told { job, cost, .. } => self.change(progress, run, *job, |row| {
                row.state = match row.state {
                    JobState::InFlight | JobState::Refused => JobState::Refused,
                    JobState::Arrived | JobState::Told => JobState::Told,
                };
                row.cost = *cost;
                row.told = Some(record.sequence);
            })?,
            Event::Resumed { supersedes, .. } => {
                self.supersede(progress, run, *supersedes)?;
                let (from, to) = *supersedes;
                self.change_run(progress, run, |row| {
                    row.changes.retain(|change| change.cause == "refused" || !(from..to).contains(&change.event));
                })?;
            }
            Event::Swapped { from, to, cause, via, .. } => {
                let mut change = change(record.sequence, observed, cause_name(cause));
                (change.from, change.to) = (Some(from.digest.clone()), Some(to.digest.clone()));
                change.via = Some(
                    match via {
                        Takeover::Restore => "restore",
                        Takeover::Replay => "replay",
                    }
                    .to_owned(),
                );
                self.push_change(progress, run, change)?;
            }
            Event::Adjusted { budget, slots, .. } => {
                let mut change = change(record.sequence, observed, "adjusted");
                change.message = Some(format!("budget {budget}, slots {slots}"));
                self.push_change(progress, run, change)?;
            }
            Event::SwapRefused { to, message } => {
                let mut change = change(record.sequence, observed, "refused");
                (change.to, change.message) = (Some(to.digest.clone()), Some(message.clone()));
                self.push_change(progress, run, change)?;
            }
            Event::Recommended { architectures } => {
                let digests: Vec<String> = architectures.iter().map(architecture_digest).collect();
                for (digest, genes) in digests.iter().zip(architectures) {
                    progress.genes.insert(digest.clone(), encode(genes)?);
                }
                self.change_run(progress, run, |row| row.recommended = digests)?;
            }
            Event::FinallyTrained { rank, repetition, outcome, test, weights } => {
                let (measures, failure) = match outcome {
                    Outcome::Trained(trained) => (trained.measures.clone(), None),
                    Outcome::Failed(failure) => (Vec::new(), Some(rows::short_failure(failure))),
                    Outcome::SharedSteps(_) | Outcome::SharedEvaluations(_) => (Vec::new(), None),
                };
                let (rank, repetition, test, weights) = (*rank, *repetition, test.clone(), weights.clone());
                let entry = FinalRow { rank, repetition, measures, test, failure, weights };
                self.change_run(progress, run, |row| {
                    row.finals.retain(|it| (it.rank, it.repetition) != (rank, repetition));
                    row.finals.push(entry);
                    row.finals.sort_by_key(|it| (it.rank, it.repetition));
                })?;
            }
            Event::Ended { ending } => self.change_run(progress, run, |row| {
                row.ending = Some(ending.clone());
                row.ended_at = number(observed, "time");
            })?,
            Event::Started { .. }
            | Event::Asked { .. }
            | Event::Judged { .. }
            | Event::Savepoint { .. }
            | Event::FinallySaved { .. }
            | Event::Logged { .. }
            | Event::Charted { .. }
            | Event::Forked { .. } => {}
        }
        Ok(())
    }

    fn push_change(&self, progress: &mut Progress, run: &RunId, change: ChangeRow) -> Result<(), ResultsError> {
        self.change_run(progress, run, |row| {
            row.changes.push(change);
            let excess = row.changes.len().saturating_sub(rows::CHANGES);
            row.changes.drain(..excess);
        })
    }

    fn ask(
        &self,
        progress: &mut Progress,
        run: &RunId,
        job: JobId,
        proposal: &Proposal,
        sequence: u64,
        span: Span,
    ) -> Result<(), ResultsError> {
        let (kind, architecture, amount) = match &proposal.work {
            Work::Train(training) => (JobKind::Train, Some(&training.architecture), training.fidelity),
            Work::TrainShared(steps) => (JobKind::TrainShared, None, steps.len() as u32),
            Work::EvaluateShared(evaluation) => (JobKind::EvaluateShared, None, evaluation.architectures.len() as u32),
        };
        let digest = architecture.map(architecture_digest);
        let mut row = JobRow {
            job,
            kind,
            architecture: digest.clone(),
            amount,
            parents: proposal.parents.clone(),
            note: rows::short(&proposal.note),
            state: JobState::InFlight,
            attempts: 0,
            measures: Vec::new(),
            test: Vec::new(),
            failure: None,
            curve: CurveSummary::default(),
            cost: 0.0,
            weights: None,
            provenance: JobProvenance::default(),
            asked: sequence,
            told: None,
            span,
            superseded: false,
        };
        if let (Some(digest), Some(genes)) = (digest, architecture)
            && !progress.genes.contains_key(&digest)
            && !self.table.contains(&rows::genes_key(&digest))?
        {
            progress.genes.insert(digest, encode(genes)?);
        }
        if let Some(old) = self.changed_job(progress, run, job)? {
            // Asked again after a resumption: an outcome that is there is told from the journal.
            let same = (&old.kind, &old.architecture, old.amount, &old.parents, &old.note)
                == (&row.kind, &row.architecture, row.amount, &row.parents, &row.note);
            if same {
                row = JobRow { asked: sequence, superseded: false, ..old.clone() };
            }
            *old = row;
            return Ok(());
        }
        let changed = ChangedJob { row, keys: Vec::new() };
        progress.runs.entry(run.clone()).or_default().jobs.insert(job, changed);
        progress.n_jobs += 1;
        Ok(())
    }

    /// A job's row, to be changed.
    fn changed_job<'a>(
        &self,
        progress: &'a mut Progress,
        run: &RunId,
        job: JobId,
    ) -> Result<Option<&'a mut JobRow>, ResultsError> {
        if !progress.runs.contains_key(run) {
            progress.runs.insert(run.clone(), Changed::default());
        }
        let Some(changed) = progress.runs.get_mut(run) else { return Ok(None) };
        if let Entry::Vacant(entry) = changed.jobs.entry(job)
            && let Some(row) = self.table.get(&rows::job_key(run, job))?
        {
            let row: JobRow = decode(&row)?;
            entry.insert(ChangedJob { keys: index_keys(run, &row), row });
            progress.n_jobs += 1;
        }
        Ok(changed.jobs.get_mut(&job).map(|changed| &mut changed.row))
    }

    fn change(
        &self,
        progress: &mut Progress,
        run: &RunId,
        job: JobId,
        change: impl FnOnce(&mut JobRow),
    ) -> Result<(), ResultsError> {
        // A job that was never handed out is the engine's to complain of.
        if let Some(row) = self.changed_job(progress, run, job)? {
            change(row);
        }
        Ok(())
    }

    fn change_run(
        &self,
        progress: &mut Progress,
        run: &RunId,
        change: impl FnOnce(&mut RunRow),
    ) -> Result<(), ResultsError> {
        let changed = progress.runs.entry(run.clone()).or_default();
        if changed.run.is_none() {
            changed.run = self.table.get(&rows::run_key(b'r', run))?.map(|row| decode(&row)).transpose()?;
        }
        if let Some(row) = &mut changed.run {
            change(row);
        }
        Ok(())
    }

    /// Take back what happened in a range of records.
    fn supersede(&self, progress: &mut Progress, run: &RunId, range: (u64, u64)) -> Result<(), ResultsError> {
        self.write_out(progress)?;
        let mut taken_back = Vec::new();
        self.each_job(&self.table, run, 0, &mut |row| {
            let asked = is_superseded(&[range], row.asked) && !row.superseded;
            let told = row.told.is_some_and(|told| is_superseded(&[range], told));
            if asked || told {
                taken_back.push((row.job, asked, told));
            }
            Ok(true)
        })?;
        for (job, asked, told) in taken_back {
            self.change(progress, run, job, |row| {
                row.superseded |= asked;
                if told {
                    row.told = None;
                    row.state = if row.state == JobState::Told { JobState::Arrived } else { JobState::InFlight };
                }
            })?;
        }
        self.change_run(progress, run, |row| {
            row.resumptions = row.resumptions.saturating_add(1);
            row.ending = None;
            row.ended_at = None;
            row.recommended.clear();
        })
    }
}

fn enter(row: &mut JobRow, outcome: &Outcome) {
    row.state = match row.state {
        JobState::InFlight | JobState::Arrived => JobState::Arrived,
        JobState::Refused | JobState::Told => JobState::Told,
    };
    row.failure = None;
    let measures = match outcome {
        Outcome::Trained(trained) => {
            row.curve = CurveSummary {
                points: trained.curve.len() as u32,
                reached: trained.curve.last().map_or(0, |point| point.fidelity),
                ending: Some(trained.ending),
                predicted: trained.predicted,
            };
            trained.measures.as_slice()
        }
        Outcome::SharedSteps(steps) => steps.last().map_or(&[][..], |step| step.measures.as_slice()),
        Outcome::SharedEvaluations(_) => &[],
        Outcome::Failed(failure) => {
            row.failure = Some(rows::short_failure(failure));
            &[]
        }
    };
    row.measures = measures.iter().take(rows::MEASURES).cloned().collect();
}

fn number(observed: &BTreeMap<String, Observation>, name: &str) -> Option<f64> {
    match observed.get(name) {
        Some(Observation::Number(value)) => Some(*value),
        _ => None,
    }
}

fn text(observed: &BTreeMap<String, Observation>, name: &str) -> Option<String> {
    match observed.get(name) {
        Some(Observation::Text(value)) => Some(value.clone()),
        _ => None,
    }
}

fn change(event: u64, observed: &BTreeMap<String, Observation>, cause: &str) -> ChangeRow {
    ChangeRow {
        event,
        time: number(observed, "time"),
        by: text(observed, "by").unwrap_or_default(),
        cause: cause.to_owned(),
        from: None,
        to: None,
        via: None,
        message: text(observed, "message"),
    }
}

fn cause_name(cause: &SwapCause) -> &'static str {
    match cause {
        SwapCause::Build => "build",
        SwapCause::Strategy => "strategy",
        SwapCause::Parameters => "parameters",
        SwapCause::RollBack => "roll-back",
        SwapCause::Trap(_) => "trap",
    }
}
