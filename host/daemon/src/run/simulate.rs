//! Searches whose results are known at once, run in memory by the hundred: the same engine, strategy and run loop
//! as any run, but its journal is not written. For repetitions; a run worth keeping is [`super::run`]'s.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use nasd_engine::{JobStatus, Ledger, search::read_ledger};
use nasd_protocol::{Goal, JobId, Measure, Outcome, Work, event::RunEnding};
use nasd_report::repeated::Repetition;
use nasd_space::{Architecture, RandomSource, StreamRandom};
use tokio::sync::{mpsc, watch};

use super::{
    Share, bring_up,
    drive::{Drive, Ended, UnderWay},
    onlooker::Nobody,
    placement::Placement,
    pool::SharedPool,
    recorder::Recorder,
    services::LogQueue,
    strategist::Strategist,
};
use crate::{
    failure::Failed,
    search::Search,
    task::{Method, TableMethod},
};

/// The seed of a repetition: 32 bits, so that it can be written anywhere.
pub fn seed_of(seed: u64, repetition: u64) -> u64 {
    StreamRandom::new(seed, &format!("repetition {repetition}")).next_u64() >> 32
}

/// Run a search `repetitions` times on `threads` threads; results in order of the repetition.
pub fn repeat(
    search: &Search,
    repetitions: usize,
    threads: usize,
    interrupt: &watch::Receiver<bool>,
) -> Result<Vec<Repetition>, Failed> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Repetition)>> = Mutex::new(Vec::new());
    let work = || -> Result<(), Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Failed::other)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= repetitions {
                return Ok(());
            }
            if *interrupt.borrow() {
                return Err(Failed::Interrupted("the repetitions were interrupted".into()));
            }
            let search = search.reseeded(seed_of(search.file.seed, number as u64))?;
            let named = |failed: Failed| match failed {
                Failed::Other(reason) => {
                    Failed::Other(format!("{} with seed {}: {reason}", search.file.name, search.file.seed))
                }
                failed => failed,
            };
            let repetition =
                runtime.block_on(simulate(&search, interrupt.clone())).map_err(named).inspect_err(|_| {
                    // Nobody begins another.
                    next.fetch_max(repetitions, Ordering::Relaxed);
                })?;
            done.lock().unwrap_or_else(PoisonError::into_inner).push((number, repetition));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| Failed::Other("a repetition's thread panicked".into()))??;
        }
        Ok::<(), Failed>(())
    })?;
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, repetition)| repetition).collect())
}

/// One search in memory.
pub async fn simulate(search: &Search, interrupt: watch::Receiver<bool>) -> Result<Repetition, Failed> {
    let mut recorder = Recorder::in_memory();
    let mut strategist = Strategist::new(search, LogQueue::default());
    let (engine, instance, checkpoint) = bring_up(search, &[], &mut strategist, &mut recorder, &mut Nobody).await?;
    let (_ordering, mut orders) = mpsc::unbounded_channel();
    let ledger = engine.ledger().clone();
    // Every result is known at once: there is nowhere to train.
    let (placement, mut events) = Placement::join(&SharedPool::start(Vec::new()), 1.0, 0);
    let drive = Drive {
        search,
        engine,
        instance,
        strategist,
        orders: &mut orders,
        under_way: UnderWay::default(),
        recorder: &mut recorder,
        placement: &placement,
        events: &mut events,
        interrupt,
        share: watch::channel(Share::default()).1,
        onlooker: &mut Nobody,
        checkpoint,
        is_real: false,
        n_stillborn: 0,
        driven_before: 0.0,
        answers: None,
        superseding: None,
    };
    match drive.run().await? {
        Ended::Finished(RunEnding::Failed(reason)) => return Err(Failed::Other(reason)),
        Ended::Finished(_) => {}
        Ended::Suspended => return Err(Failed::Interrupted("the repetitions were interrupted".into())),
        Ended::Rewound { .. } => {
            return Err(Failed::Other("a search in memory cannot be taken up again".into()));
        }
    }
    let records = recorder.into_records();
    let recommended = nasd_engine::resume::recommended(&records).first();
    Ok(result(search, &read_ledger(&ledger), recommended))
}

/// What a finished search comes to.
pub fn result(search: &Search, ledger: &Ledger, recommended: Option<&Architecture>) -> Repetition {
    let definition = search.task.definition();
    let told = ledger.told();
    let is_failed = |id: &&JobId| ledger.get(**id).is_some_and(|entry| entry.trained().is_none());
    let named = |measures: Vec<Measure>| measures.into_iter().map(|m| (m.name, m.value)).collect::<Vec<_>>();
    let (validation, test) = match (search.known_table(), recommended) {
        (Some(table), Some(architecture)) => match table.final_results(architecture) {
            Ok(answer) => (measures_of(&answer.outcome), with_percentile(search, table, architecture, answer.test)),
            Err(_) => Default::default(),
        },
        _ => Default::default(),
    };
    Repetition {
        seed: search.file.seed,
        jobs: told.len() as u64,
        failed: told.iter().filter(is_failed).count() as u64,
        cost: told.iter().filter_map(|id| ledger.get(*id)).fold(0.0, |sum, entry| sum + entry.cost),
        found: recommended.map(|architecture| definition.notation(architecture)).unwrap_or_default(),
        objective: recommended.and_then(|architecture| objective_of(search, ledger, architecture)),
        validation: named(validation),
        test: named(test),
        trace: trace(search, ledger),
    }
}

/// Of a search that does not know the table: where what it found stands among all.
fn with_percentile(
    search: &Search,
    table: &TableMethod,
    architecture: &Architecture,
    mut test: Vec<Measure>,
) -> Vec<Measure> {
    if search.known.is_some()
        && let Some(objective) = search.plan.objectives.first()
        && let Some(share) = super::known::percentile(table, architecture, &objective.metric, objective.goal)
    {
        test.push(Measure::new(format!("{} percentile", table.data_set), 100.0 * share));
    }
    test
}

fn measures_of(outcome: &Outcome) -> Vec<Measure> {
    match outcome {
        Outcome::Trained(trained) => trained.measures.clone(),
        _ => Vec::new(),
    }
}

/// Jobs that trained an architecture by itself, in the order they were told: when they ended, what, how good.
fn trainings<'a>(search: &'a Search, ledger: &'a Ledger) -> impl Iterator<Item = (f64, Architecture, f64)> + 'a {
    let metric = search.plan.objectives.first().map(|objective| objective.metric.as_str()).unwrap_or_default();
    ledger.told().iter().filter_map(move |id| {
        let entry = ledger.get(*id)?;
        let Work::Train(training) = &entry.proposal.work else { return None };
        let value = Measure::find(&entry.trained()?.measures, metric)?;
        Some((entry.end(), training.architecture.clone(), value))
    })
}

fn is_better(search: &Search, value: f64, best: Option<f64>) -> bool {
    let goal = search.plan.objectives.first().map_or(Goal::Maximize, |objective| objective.goal);
    best.is_none_or(|best| match goal {
        Goal::Maximize => value > best,
        Goal::Minimize => value < best,
    })
}

/// The last value that an architecture was told with by the shared weights.
fn shared_objective_of(search: &Search, ledger: &Ledger, architecture: &Architecture) -> Option<f64> {
    let metric = &search.plan.objectives.first()?.metric;
    ledger.told().iter().rev().find_map(|id| {
        let entry = ledger.get(*id)?;
        let (Work::EvaluateShared(work), JobStatus::Told(Outcome::SharedEvaluations(results))) =
            (&entry.proposal.work, &entry.status)
        else {
            return None;
        };
        let position = work.architectures.iter().position(|other| other == architecture)?;
        Measure::find(results.get(position)?, metric)
    })
}

/// The best value that an architecture was told with.
fn objective_of(search: &Search, ledger: &Ledger, architecture: &Architecture) -> Option<f64> {
    if search.task.shared().is_some() {
        return shared_objective_of(search, ledger, architecture);
    }
    let mut best = None;
    for (_, _, value) in trainings(search, ledger).filter(|(_, other, _)| other == architecture) {
        if is_better(search, value, best) {
            best = Some(value);
        }
    }
    best
}

/// The best so far over the search's clock: a table's test result of it, else the objective itself.
fn trace(search: &Search, ledger: &Ledger) -> Vec<(f64, f64)> {
    let metric = search.plan.objectives.first().map(|objective| objective.metric.as_str()).unwrap_or_default();
    let shown = |architecture: &Architecture, value: f64| match search.task.method() {
        Method::Table(table) => table.test_value(architecture, metric).unwrap_or(value),
        _ => value,
    };
    let mut trace: Vec<(f64, f64)> = Vec::new();
    let (mut best, mut end) = (None, 0.0f64);
    for (time, architecture, value) in trainings(search, ledger) {
        end = end.max(time);
        if is_better(search, value, best) {
            best = Some(value);
            trace.push((time, shown(&architecture, value)));
        }
    }
    if let Some((_, last)) = trace.last().copied() {
        trace.push((end, last));
    }
    trace
}
