//! Taking a run up again from its journal.
//!
//! The state at the last savepoint is the fold of the deterministic events before it. What came after happens
//! again: the strategy is restored and asked anew, outcomes that are durable are told from the journal instead
//! of being trained again, and each deterministic event that comes out is compared with the one it supersedes.
//! In `arrival` order the superseded events also say in what order to deliver. A crash, an interruption, a
//! lost shared-weights session and a rewind are all this one path.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use nasd_protocol::{
    Answer, Event, JobId, Lane, Outcome, Point, Proposal, Record, Snapshot,
    event::{Observation, RunEnding, SharedCheckpoint, StrategyIdentity, Takeover},
};

use crate::{
    ledger::Ledger,
    plan::{Plan, TaskModel},
    search::{KnownOutcome, Search, read_ledger},
    swap::TakeoverOrder,
};

/// Why a journal cannot be taken up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResumeError {
    /// It is empty.
    #[error("the journal is empty")]
    Empty,
    /// It does not begin with `begun`.
    #[error("the journal does not begin with a `begun` event")]
    NoBeginning,
    /// Folding it contradicts itself.
    #[error("event {sequence} of the journal does not follow from those before it: {what}")]
    Inconsistent {
        /// Sequence number.
        sequence: u64,
        /// What is wrong.
        what: String,
    },
}

/// A search taken up again.
pub struct Resumption {
    /// Feed it `Begin` once the strategy is restored (or started by its first call).
    pub search: Search,
    /// Who has the search.
    pub strategy: StrategyIdentity,
    /// Its parameters, as JSON.
    pub parameters: String,
    /// How it takes over; none: it starts anew.
    pub takeover: Option<TakeoverOrder>,
    /// Shared weights to open the session with.
    pub shared: Option<SharedCheckpoint>,
    /// To be journalled first.
    pub event: Event,
}

/// Sequence numbers that later resumptions superseded.
pub(crate) fn superseded(records: &[Record]) -> Vec<(u64, u64)> {
    records
        .iter()
        .filter_map(|record| match record.event {
            Event::Resumed { supersedes, .. } => Some(supersedes),
            _ => None,
        })
        .collect()
}

/// Whether a run's journal says that it is over.
pub fn is_over(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.event, Event::Ended { .. }))
}

/// What a run handed over, best first; nothing before it has.
pub fn recommended(records: &[Record]) -> &[nasd_space::Architecture] {
    let handed_over = records.iter().rev().find_map(|record| match &record.event {
        Event::Recommended { architectures } => Some(architectures.as_slice()),
        _ => None,
    });
    handed_over.unwrap_or_default()
}

/// How a run that has made its recommendation ended: by what its strategy answered last.
pub fn ending_of(records: &[Record]) -> RunEnding {
    let ranges = superseded(records);
    let holds = |record: &&Record| !ranges.iter().any(|&(from, to)| (from..to).contains(&record.sequence));
    let reason = records.iter().filter(holds).rev().find_map(|record| match &record.event {
        Event::Asked { answer: Answer::Finished(reason), .. } => Some(reason.clone()),
        _ => None,
    });
    reason.map_or(RunEnding::Budget, RunEnding::Strategy)
}

impl Search {
    /// Take a run up from its journal, at its last savepoint.
    pub fn resume(plan: Plan, task: Arc<dyn TaskModel>, records: &[Record]) -> Result<Resumption, ResumeError> {
        resume(plan, task, records, true)
    }

    /// Take a run up from its journal, passing over its savepoints: the strategy starts anew and is told again.
    pub fn resume_afresh(plan: Plan, task: Arc<dyn TaskModel>, records: &[Record]) -> Result<Resumption, ResumeError> {
        resume(plan, task, records, false)
    }
}

fn resume(
    plan: Plan,
    task: Arc<dyn TaskModel>,
    records: &[Record],
    takes_savepoints: bool,
) -> Result<Resumption, ResumeError> {
    let first = records.first().ok_or(ResumeError::Empty)?;
    let Event::Begun { strategy, setup, .. } = &first.event else { return Err(ResumeError::NoBeginning) };
    let ranges = superseded(records);
    let holds = |record: &&Record| !ranges.iter().any(|&(from, to)| (from..to).contains(&record.sequence));
    let savepoint = records.iter().filter(holds).rev().find(|record| is_savepoint(&record.event, takes_savepoints));
    let from = savepoint.map_or(first.sequence, |record| record.sequence);
    let end = records.last().map_or(0, |record| record.sequence + 1);

    let mut search = Search::new(plan, task).with_strategy(strategy.clone(), setup.parameters.clone());
    let mut outcomes = known_outcomes(records);
    let mut saved = Saved::default();
    for record in records.iter().filter(holds).filter(|record| record.sequence < from) {
        fold(&mut search, record, &outcomes, saved.state)?;
        saved.see(&record.event);
    }
    let takeover = savepoint.and_then(|record| take_up(&mut search, &record.event, &mut saved));
    for id in read_ledger(search.ledger()).told() {
        outcomes.remove(id);
    }
    let expected: VecDeque<Event> = records
        .iter()
        .filter(holds)
        .filter(|record| record.sequence > from && record.event.lane() == Lane::Deterministic)
        .map(|record| record.event.clone())
        .collect();
    let shared = savepoint.and(saved.shared.cloned());
    // What was run again was spent as well.
    search.usage.device_seconds = records.iter().filter_map(device_seconds).sum();
    search.set_resumed(takeover.as_ref().map(|order| order.random), expected, outcomes);
    if let Some(Event::Swapped { random, .. } | Event::Adjusted { random, .. }) = savepoint.map(|record| &record.event)
    {
        search.random = *random;
    }
    let (strategy, parameters) = match search.strategy() {
        Some((strategy, parameters)) => (strategy.clone(), parameters.to_owned()),
        None => (strategy.clone(), setup.parameters.clone()),
    };
    let event = Event::Resumed { savepoint: savepoint.map(|record| record.sequence), supersedes: (from + 1, end) };
    Ok(Resumption { search, strategy, parameters, takeover, shared, event })
}

fn device_seconds(record: &Record) -> Option<f64> {
    match (&record.event, record.observed.get("device_seconds")) {
        (Event::Arrived { .. }, Some(Observation::Number(seconds))) => Some(seconds.max(0.0)),
        _ => None,
    }
}

/// Real seconds that a run was driven before, by the times of its records: between one process and the next nothing
/// counts.
pub fn seconds_driven(records: &[Record]) -> f64 {
    let mut driven = 0.0;
    let mut last: Option<f64> = None;
    for record in records {
        let Some(Observation::Number(time)) = record.observed.get("time") else { continue };
        let is_first = matches!(record.event, Event::Begun { .. } | Event::Resumed { .. });
        if let Some(last) = last.filter(|_| !is_first) {
            driven += (time - last).max(0.0);
        }
        last = Some(*time);
    }
    driven
}

/// Whether a run can be taken up from this event. Swaps that somebody ordered do not happen again by themselves, so
/// they are never passed over.
fn is_savepoint(event: &Event, takes_savepoints: bool) -> bool {
    match event {
        Event::Savepoint { .. } => takes_savepoints,
        Event::Swapped { is_savepoint, .. } => *is_savepoint,
        Event::Adjusted { .. } => true,
        _ => false,
    }
}

/// The last savepoint seen.
#[derive(Default)]
struct Saved<'a> {
    /// The strategy's state, as long as nothing was asked or told since.
    state: Option<&'a Snapshot>,
    shared: Option<&'a SharedCheckpoint>,
}

impl<'a> Saved<'a> {
    fn see(&mut self, event: &'a Event) {
        match event {
            Event::Savepoint { snapshot, shared, .. } => {
                self.state = Some(snapshot);
                self.shared = shared.as_ref();
            }
            // Nothing was asked or told.
            Event::Adjusted { .. } => {}
            event if event.lane() == Lane::Deterministic => self.state = None,
            _ => {}
        }
    }
}

/// Enter the event that the run is taken up from; how its strategy takes over.
fn take_up<'a>(search: &mut Search, event: &'a Event, saved: &mut Saved<'a>) -> Option<TakeoverOrder> {
    match event {
        Event::Savepoint { snapshot, random, .. } => {
            saved.see(event);
            search.random = *random;
            search.owes_savepoint = false;
            let (strategy, parameters) = search.strategy()?;
            Some(search.takeover_order(strategy, parameters, 0, Some(snapshot), Some(Takeover::Restore)))
        }
        Event::Swapped { to, parameters, back, via, random_before, .. } => {
            search.random = *random_before;
            let order = search.takeover_order(to, parameters, *back, saved.state, Some(*via));
            search.apply_swapped(event, saved.state.cloned());
            Some(order)
        }
        Event::Adjusted { .. } => {
            search.apply_adjusted(event);
            let (strategy, parameters) = search.strategy()?;
            Some(search.takeover_order(strategy, parameters, 0, saved.state, None))
        }
        _ => None,
    }
}

/// The last durable outcome of each job that trained by itself, with what was asked for then: a job asked for again
/// after a crash is known by that, however often what asked for it was superseded. Shared work is never known: its
/// effect on the shared weights is what counts, and that happens again.
pub(crate) fn known_outcomes(records: &[Record]) -> BTreeMap<JobId, KnownOutcome> {
    let mut reports: BTreeMap<JobId, Vec<Point>> = BTreeMap::new();
    let mut asked: BTreeMap<JobId, &Proposal> = BTreeMap::new();
    let mut known = BTreeMap::new();
    for record in records {
        match &record.event {
            Event::Asked { request, answer: Answer::Work(proposals), .. } => {
                asked.extend((request.next_id..).zip(proposals));
            }
            Event::Reported { job, point } => reports.entry(*job).or_default().push(point.clone()),
            Event::Arrived { job, outcome, weights, .. } => {
                let proposal = asked.get(job).filter(|proposal| !proposal.work.is_shared());
                let reports = reports.get(job).cloned().unwrap_or_default();
                let entry = KnownOutcome {
                    proposal: proposal.map(|&proposal| proposal.clone()),
                    reports,
                    outcome: outcome.clone(),
                    weights: weights.clone(),
                };
                known.insert(*job, entry);
            }
            _ => {}
        }
    }
    known
}

/// Enter one event. `saved` is the strategy's state if it was saved just before.
pub(crate) fn fold(
    search: &mut Search,
    record: &Record,
    outcomes: &BTreeMap<JobId, KnownOutcome>,
    saved: Option<&Snapshot>,
) -> Result<(), ResumeError> {
    let inconsistent = |what: String| ResumeError::Inconsistent { sequence: record.sequence, what };
    match &record.event {
        Event::Asked { request, answer, .. } => {
            let next = read_ledger(search.ledger()).next_id();
            if next != request.next_id {
                return Err(inconsistent(format!("the next job is {next}, not {}", request.next_id)));
            }
            search.apply_asked(answer.clone());
        }
        Event::Judged { job, point, by, verdict, .. } => {
            if let Some(known) = outcomes.get(job) {
                search.apply_reports(*job, &known.reports);
                if let Outcome::Trained(trained) = &known.outcome {
                    search.apply_reports(*job, &trained.curve);
                }
            }
            search.apply_reports(*job, std::slice::from_ref(point));
            if search.apply_judged(*job, point, *by, *verdict).is_some() {
                search.mark_durable();
            }
        }
        Event::Told { job, outcome_digest, .. } => {
            if let Some(known) = outcomes.get(job) {
                search.apply_outcome(*job, known.outcome.clone(), known.weights.clone());
            }
            let (digest, _) = search.apply_told(*job);
            if &digest != outcome_digest {
                return Err(inconsistent(format!("job {job} was told another outcome than the one journalled")));
            }
        }
        Event::Swapped { .. } => search.apply_swapped(&record.event, saved.cloned()),
        Event::Adjusted { .. } => search.apply_adjusted(&record.event),
        Event::Savepoint { .. } => search.owes_savepoint = false,
        _ => {}
    }
    Ok(())
}

/// The jobs of a run, its journal folded to the end: for reports.
pub fn ledger_of(plan: Plan, task: Arc<dyn TaskModel>, records: &[Record]) -> Result<Ledger, ResumeError> {
    let ranges = superseded(records);
    let outcomes = known_outcomes(records);
    let mut search = Search::new(plan, task);
    for record in records.iter().filter(|r| !ranges.iter().any(|&(from, to)| (from..to).contains(&r.sequence))) {
        fold(&mut search, record, &outcomes, None)?;
    }
    let ledger = read_ledger(search.ledger()).clone();
    Ok(ledger)
}
