//! A search in the foreground: find or begin its run, drive it, train what it found, say what came of it.

mod drive;
mod finals;
mod folder;
mod orders;
mod placement;
mod progress;
mod recorder;
mod report;
mod services;
mod simulate;
mod summary;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use nasd_engine::{
    ledger::Ledger,
    resume::{ending_of, is_over},
    search::SharedLedger,
};
use nasd_protocol::{
    Event, JobId, Record,
    event::{RunEnding, SharedCheckpoint},
};
use nasd_report::repeated::Repetition;
use nasd_space::StreamRandom;
use nasd_store::{Files, RealFiles, ResultStore, RunId, StateFolder};
use nasd_strategy::{Instance, Runtime, RuntimeOptions, Services};
use tokio::sync::watch;

use crate::{
    failure::{Failed, chain},
    search::{self, Places, Search},
    task::Method,
    trainers::{TrainerKind, Trainers},
};
use drive::{Drive, Ended};
use placement::Placement;
use progress::Progress;
use recorder::Recorder;
use services::{LedgerHistory, LogQueue};
pub use simulate::{repeat, result, seed_of, simulate_with_journal};
pub use summary::Summary;

/// Purpose of the strategy's random stream.
const STRATEGY_STREAM: &str = "strategy";

/// How to run.
pub struct Options {
    /// The search file.
    pub file: PathBuf,
    /// Settings over it.
    pub settings: Vec<String>,
    /// Where things are.
    pub places: Places,
    /// `cpu`, `cuda:0`, `null`.
    pub device: String,
    /// Trainers; none: one a core, at most one a slot.
    pub trainers: Option<u32>,
    /// Say nothing but errors.
    pub is_silent: bool,
    /// Put pictures into the report.
    pub draws: bool,
    /// Take any earlier run of the same configuration, done with or not, before a new one is begun.
    pub reuses: bool,
}

/// Run a search to its end, or go on with the unfinished run of the same configuration.
pub async fn run(options: Options, interrupt: watch::Receiver<bool>) -> Result<(Search, Summary), Failed> {
    let file = crate::configuration::read(&options.file, &options.settings)?;
    let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
    let search = search::resolve(file, &options.file, &options.places, &runtime).await?;
    let summary = run_search(&search, &options, RealFiles::shared(), interrupt).await?;
    Ok((search, summary))
}

/// As [`run`], of a resolved search, on files of one's own: everything the run writes goes through `files`, but a
/// trainer's process writes its weights itself, and the result store is on disk or, where `files` are not, in memory.
pub async fn run_search(
    search: &Search,
    options: &Options,
    files: Files,
    interrupt: watch::Receiver<bool>,
) -> Result<Summary, Failed> {
    if search.file.task.network().is_some() {
        trainer_program(options)?;
    }
    let state = folder::open_state(files, &options.places.state)?;
    let (results, _) = ResultStore::open(&state).map_err(Failed::other)?;
    folder::keep_component(&state, search)?;
    let (run, journal, records) = folder::find_or_begin(&state, search, options.reuses)?;
    let mut recorder = Recorder::new(journal, results, run.clone());
    if !is_over(&records) {
        to_end(search, options, &state, &run, &mut recorder, records, interrupt).await?;
    }
    recorder.close()?;
    let records = folder::read_records(&state, &run)?;
    let ledger = fold(search, &records)?;
    let summary = Summary::of(&run, search, &ledger, &records)?;
    let (mut others, text) = report::render(search, &ledger, &records, &summary, options.draws)?;
    others.push(("report.json".into(), summary.json()?.into_bytes()));
    folder::write_report(&state, &run, &others, &text)?;
    Ok(summary)
}

/// What the run of a search came to, as one of many.
pub fn repetition(search: &Search, state: &Path, run: &str) -> Result<Repetition, Failed> {
    let state = folder::open_state(RealFiles::shared(), state)?;
    let run: RunId = run.parse().map_err(Failed::other)?;
    let records = folder::read_records(&state, &run)?;
    let ledger = fold(search, &records)?;
    let recommended = records.iter().rev().find_map(|record| match &record.event {
        Event::Recommended { architectures } => architectures.first(),
        _ => None,
    });
    let mut repetition = result(search, &ledger, recommended);
    if repetition.test.is_empty() {
        repetition.test = records.iter().find_map(first_final).unwrap_or_default();
    }
    Ok(repetition)
}

/// Test measures of the first recommended architecture's first final training.
fn first_final(record: &Record) -> Option<Vec<(String, f64)>> {
    match &record.event {
        Event::FinallyTrained { rank: 0, test, .. } if !test.is_empty() => {
            Some(test.iter().map(|measure| (measure.name.clone(), measure.value)).collect())
        }
        _ => None,
    }
}

/// Drive a run to its `ended` event.
async fn to_end(
    search: &Search,
    options: &Options,
    state: &StateFolder,
    run: &RunId,
    recorder: &mut Recorder,
    mut records: Vec<Record>,
    interrupt: watch::Receiver<bool>,
) -> Result<(), Failed> {
    let mut progress = Progress::new(run.to_string(), search.plan.objectives.first().cloned(), options.is_silent);
    let kind = trainer_kind(options, search, state)?;
    let start_trainers = || {
        let (trainers, events) = Trainers::new(kind.clone());
        (Placement::new(trainers, n_trainers(options, search) as usize), events)
    };
    let (mut placement, mut events) = start_trainers();
    let mut failed = None;
    // How often the shared weights were lost at which job.
    let mut losses: BTreeMap<JobId, u32> = BTreeMap::new();
    while failed.is_none() && !has_recommendation(&records) {
        if !records.is_empty() {
            progress.say(&format!("goes on from {} journalled events", records.len()));
        }
        let (engine, instance, log, checkpoint) = bring_up(search, &records, recorder).await?;
        let drive = Drive {
            search,
            engine,
            instance,
            log,
            recorder: &mut *recorder,
            placement: &mut placement,
            events: &mut events,
            interrupt: interrupt.clone(),
            progress: &mut progress,
            checkpoint,
            is_real: !options.device.starts_with("null"),
            n_stillborn: 0,
        };
        match drive.run().await? {
            Ended::Finished(RunEnding::Failed(reason)) => failed = Some(reason),
            Ended::Finished(_) => {}
            Ended::Suspended => {
                recorder.sync()?;
                return Err(Failed::Interrupted(format!("{run} is saved; the same command goes on with it")));
            }
            Ended::Rewound { reason, job } => {
                let n_losses = losses.entry(job).or_default();
                *n_losses += 1;
                if *n_losses >= search.plan.max_attempts.max(1) {
                    recorder.sync()?;
                    return Err(Failed::Other(format!(
                        "the one-shot graph's trainer was lost {n_losses} times at job {job}: {reason}; {run} is saved, \
                         the same command goes on with it"
                    )));
                }
                progress.say(&format!("goes back to the last savepoint: {reason}"));
                // What the trainers from before still say is of a past that is superseded.
                (placement, events) = start_trainers();
            }
        }
        recorder.sync()?;
        records = folder::read_records(state, run)?;
    }
    placement.close_session();
    let ending = match failed {
        Some(reason) => RunEnding::Failed(reason),
        None => {
            finals::train(search, &records, recorder, &mut placement, &mut events, &progress, interrupt).await?;
            // By the journal: the search may have ended in a process before this one.
            ending_of(&records)
        }
    };
    drive::note(recorder, Event::Ended { ending })
}

fn has_recommendation(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.event, Event::Recommended { .. } | Event::Ended { .. }))
}

/// Engine and strategy, begun or as the journal left them.
async fn bring_up(
    search: &Search,
    records: &[Record],
    recorder: &mut Recorder,
) -> Result<(nasd_engine::Search, Instance, LogQueue, Option<SharedCheckpoint>), Failed> {
    let log = LogQueue::default();
    let instantiate = async |ledger: SharedLedger| {
        let services = Services {
            random: StreamRandom::new(search.file.seed, STRATEGY_STREAM),
            space: search.task.clone(),
            history: Arc::new(LedgerHistory(ledger)),
            log: Arc::new(log.clone()),
        };
        search.component.instantiate(services, &search.file.strategy.limits).await.map_err(Failed::other)
    };
    if records.is_empty() {
        let begun = Event::Begun {
            configuration: search.configuration.clone(),
            configuration_digest: search.configuration_digest.clone(),
            seed: search.file.seed,
            strategy: search.identity.clone(),
            setup: Box::new(search.setup.clone()),
        };
        drive::note(recorder, begun)?;
        let engine = nasd_engine::Search::new(search.plan.clone(), search.task.clone());
        let instance = instantiate(engine.ledger().clone()).await?;
        return Ok((engine, instance, log, None));
    }
    let (plan, task) = (search.plan.clone(), search.task.clone());
    let mut resumption = nasd_engine::Search::resume(plan, task, records).map_err(Failed::other)?;
    let mut instance = instantiate(resumption.search.ledger().clone()).await?;
    if let Some(snapshot) = &resumption.snapshot {
        let mut setup = search.setup.clone();
        if let (Some(shared), Some(checkpoint)) = (setup.shared_weights.as_mut(), &resumption.shared) {
            shared.steps_done = checkpoint.steps_done;
        }
        match instance.restore(&setup, snapshot).await {
            Ok(()) => instance.seek_random(resumption.random),
            Err(error) => {
                // The journal has all that the snapshot would have said.
                tracing::warn!(error = %chain(&error), "the strategy cannot restore its savepoint; it starts afresh");
                let (plan, task) = (search.plan.clone(), search.task.clone());
                resumption = nasd_engine::Search::resume_afresh(plan, task, records).map_err(Failed::other)?;
                log.take();
                instance = instantiate(resumption.search.ledger().clone()).await?;
            }
        }
    }
    drive::note(recorder, resumption.event)?;
    Ok((resumption.search, instance, log, resumption.shared))
}

/// Compiled components are kept for the user, not with a run: they belong to this build of nasd.
pub fn compiled_cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("nasd").join("compiled"))
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

fn n_trainers(options: &Options, search: &Search) -> u32 {
    options.trainers.unwrap_or_else(cores).min(search.plan.slots).max(1)
}

/// The trainers' program; none for the null trainer.
fn trainer_program(options: &Options) -> Result<Option<PathBuf>, Failed> {
    if options.device == "null" {
        return Ok(None);
    }
    if options.device == "null-process" {
        return std::env::current_exe().map(Some).map_err(Failed::other);
    }
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("nasd-trainer"));
    let program = std::env::var_os("NASD_TRAINER").map(PathBuf::from).or_else(beside).unwrap_or_default();
    if program.is_file() {
        return Ok(Some(program));
    }
    Err(Failed::Configuration(format!(
        "there is no trainer {}; build it by `cargo xtask build`, or set NASD_TRAINER to its path",
        program.display()
    )))
}

fn trainer_kind(options: &Options, search: &Search, state: &StateFolder) -> Result<TrainerKind, Failed> {
    match search.task.method() {
        Method::Command { .. } => return Ok(TrainerKind::Command),
        Method::Table(_) | Method::Function(_) => return Ok(TrainerKind::None),
        Method::Networks | Method::Fixed(_) => {}
    }
    let Some(program) = trainer_program(options)? else {
        return Ok(TrainerKind::Null { weights: state.weights() });
    };
    if options.device == "null-process" {
        return Ok(TrainerKind::NullProcess { program, weights: state.weights().folder().to_owned() });
    }
    // One thread a trainer is fastest for many; a run on shared weights has one trainer with all threads.
    let threads = if search.task.shared().is_some() { cores() } else { (cores() / n_trainers(options, search)).max(1) };
    Ok(TrainerKind::Process {
        program,
        device: options.device.clone(),
        threads,
        data: options.places.data.clone(),
        weights: state.weights().folder().to_owned(),
    })
}

/// A ledger as the summary needs it: the run's journal folded to its end.
pub(crate) fn fold(search: &Search, records: &[Record]) -> Result<Ledger, Failed> {
    let ledger = nasd_engine::resume::ledger_of(search.plan.clone(), search.task.clone(), records);
    ledger.map_err(Failed::other)
}
