//! A search in the foreground: find or begin its run, drive it, train what it found, say what came of it.

mod drive;
mod finals;
mod folder;
mod known;
pub mod onlooker;
mod orders;
mod past;
mod placement;
pub mod pool;
mod progress;
mod recorder;
pub mod reload;
pub mod replay;
pub(crate) mod report;
mod services;
mod simulate;
mod strategist;
mod summary;
mod superseding;
mod throttle;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use nasd_engine::{
    ledger::Ledger,
    resume::{ending_of, is_over},
};
use nasd_protocol::{
    Event, JobId, Record,
    event::{RunEnding, SharedCheckpoint},
};
use nasd_report::repeated::Repetition;
use nasd_store::{Files, Journal, RealFiles, ResultStore, RunId, StateFolder};
use nasd_strategy::{Instance, Runtime, RuntimeOptions};
use tokio::sync::{mpsc, watch};

use self::past::Past;
use crate::{
    configuration::{KnownTable, Share},
    failure::Failed,
    search::{self, Places, Search},
    task::Method,
    trainers::TrainerKind,
};
pub use drive::Order;
use drive::{Drive, Ended, UnderWay};
pub use folder::{open as open_run, open_state, read_records};
use onlooker::Onlooker;
use placement::Placement;
use pool::{Device, SharedPool};
use progress::Progress;
use recorder::Recorder;
use reload::Reload;
use services::LogQueue;
pub use simulate::{repeat, result, seed_of};
use strategist::Strategist;
pub use summary::Summary;
pub use superseding::Superseding;

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
    /// What may take over while the run goes on.
    pub changes: Changes,
}

/// What may take over from a run's strategy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    #[default]
    None,
    /// New builds of its component's file.
    Builds,
    /// Another strategy, at once.
    Strategy {
        /// A strategy's name, or a component's path.
        component: String,
        /// As JSON; none: as they are.
        parameters: Option<String>,
    },
}

/// Run a search to its end, or go on with the unfinished run of the same configuration.
pub async fn run(options: Options, interrupt: watch::Receiver<bool>) -> Result<(Search, Summary), Failed> {
    let file = crate::configuration::read(&options.file, &options.settings)?;
    let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
    let search = search::resolve(file, &options.file, &options.places, &runtime).await?;
    let summary = run_search(&search, &options, RealFiles::shared(), interrupt).await?;
    Ok((search, summary))
}

/// What the runs of a process share.
#[derive(Clone)]
pub struct Premises {
    /// The state folder, open for writing.
    pub state: Arc<StateFolder>,
    /// The result store.
    pub results: Arc<ResultStore>,
    /// The trainers.
    pub pool: SharedPool,
    /// Trainers are real: what they say of a session is checked.
    pub is_real: bool,
}

/// A run that is begun or taken up again.
pub struct Opened {
    /// Which.
    pub run: RunId,
    /// Its journal.
    pub journal: Journal,
    /// What the journal holds; empty: it is new.
    pub records: Vec<Record>,
}

/// What a run is driven with beside its search and its premises.
pub struct Conduct<'a> {
    /// What operators want of it.
    pub orders: &'a mut mpsc::UnboundedReceiver<Order>,
    /// Who watches.
    pub onlooker: &'a mut dyn Onlooker,
    /// Becomes true when it is to be suspended.
    pub interrupt: watch::Receiver<bool>,
    /// Its share of the trainers, and before whom it goes; may change.
    pub share: watch::Receiver<Share>,
    /// Removes superseded checkpoints of shared weights; none: all are kept.
    pub superseding: Option<Superseding>,
    /// Put pictures into the report.
    pub draws: bool,
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
        expect_trainer(&options.device)?;
    }
    let state = Arc::new(folder::open_state(files, &options.places.state)?);
    let (results, _) = ResultStore::open(&state).map_err(Failed::other)?;
    let device = match search.task.method() {
        Method::Networks | Method::Fixed(_) => device_of(options, search, &state)?,
        // Nothing is trained here: any kind does.
        Method::Command { .. } | Method::Table(_) | Method::Function(_) => {
            null_device(&state, n_trainers(options, search))
        }
    };
    let premises = Premises {
        state: state.clone(),
        results: Arc::new(results),
        pool: SharedPool::start(vec![device]),
        is_real: !options.device.starts_with("null"),
    };
    let opened = folder::find_or_begin(&state, search, options.reuses)?;
    let (ordering, mut orders) = mpsc::unbounded_channel();
    let _reload = Reload::start(search, options, &state, ordering)?;
    let objective = search.plan.objectives.first().cloned();
    let scheduled = search.task.shared().map(|shared| shared.scheduled_steps);
    let mut progress = Progress::new(opened.run.to_string(), objective, scheduled, options.is_silent);
    let (_sharing, share) = watch::channel(Share::default());
    let conduct = Conduct {
        orders: &mut orders,
        onlooker: &mut progress,
        interrupt,
        share,
        superseding: None,
        draws: options.draws,
    };
    conduct_run(search, &premises, opened, conduct).await
}

/// Drive a run to its end and write its report.
pub async fn conduct_run(
    search: &Search,
    premises: &Premises,
    opened: Opened,
    conduct: Conduct<'_>,
) -> Result<Summary, Failed> {
    let state = &premises.state;
    let Opened { run, journal, records } = opened;
    if records.is_empty()
        && let Some(entry) = state.quarantine().get(&search.identity.digest)
    {
        return Err(Failed::Configuration(format!(
            "strategy `{}` is in quarantine since it failed in {} ({}); clear it by `nasd strategy release {}`",
            search.identity.name, entry.run, entry.message, entry.digest
        )));
    }
    folder::keep_component(state, search)?;
    let is_instant = search.task.method().is_instant();
    let mut recorder = Recorder::new(journal, premises.results.clone(), run.clone(), is_instant);
    let draws = conduct.draws;
    if !is_over(&records) {
        to_end(search, premises, &run, &mut recorder, records, conduct).await?;
    }
    recorder.close()?;
    let records = folder::read_records(state, &run)?;
    write_report(&run, search, &records, draws, state, &state.run_folder(&run))
}

/// Write the report of a run, as far as its journal goes, to a folder.
fn write_report(
    run: &RunId,
    search: &Search,
    records: &[Record],
    draws: bool,
    state: &StateFolder,
    folder: &Path,
) -> Result<Summary, Failed> {
    let ledger = fold(search, records)?;
    let summary = Summary::of(run, search, &ledger, records)?;
    let (mut others, text) = report::render(search, &ledger, records, &summary, draws)?;
    others.push(("report.json".into(), summary.json()?.into_bytes()));
    folder::write_report(&**state.files(), folder, &others, &text)?;
    Ok(summary)
}

/// Write a run's report anew, from its journal: to its own folder, or, also while it goes on, to `output`. Gives where
/// it lies.
pub async fn report_again(
    run: &RunId,
    places: &Places,
    beside: &Path,
    known: Option<KnownTable>,
    output: Option<&Path>,
) -> Result<PathBuf, Failed> {
    let Past { state, records, search } = Past::of(run, places, beside, known).await?;
    if output.is_none() && !is_over(&records) {
        let remedy = "give `--output DIR` for a report of what there is so far";
        return Err(Failed::Configuration(format!("{run} is not over; {remedy}")));
    }
    if output.is_none() && search.known.is_none() && folder::has_known_results(&state, run) {
        let remedy = "give the search file that has them by `--search FILE`, or another place by `--output DIR`";
        return Err(Failed::Configuration(format!("the report of {run} looks known results up; {remedy}")));
    }
    let own = state.run_folder(run);
    let to = output.unwrap_or(&own);
    state.files().create_dir_all(to).map_err(|error| Failed::Storage(format!("{}: {error}", to.display())))?;
    write_report(run, &search, &records, true, &state, to)?;
    Ok(to.join(folder::REPORT))
}

/// End a run that is suspended, because somebody wants it.
pub fn stop(premises: &Premises, opened: Opened, by: &str) -> Result<Opened, Failed> {
    let Opened { run, journal, records } = opened;
    let mut recorder = Recorder::new(journal, premises.results.clone(), run.clone(), false);
    drive::note(&mut recorder, nasd_engine::Search::stopped(by))?;
    recorder.close()?;
    folder::open(&premises.state, run).inspect(|opened| debug_assert!(opened.records.len() > records.len()))
}

/// What the run of a search came to, as one of many.
pub fn repetition(search: &Search, state: &Path, run: &str) -> Result<Repetition, Failed> {
    let state = folder::open_state(RealFiles::shared(), state)?;
    let run: RunId = run.parse().map_err(Failed::other)?;
    let records = folder::read_records(&state, &run)?;
    let ledger = fold(search, &records)?;
    let recommended = nasd_engine::resume::recommended(&records).first();
    let mut repetition = result(search, &ledger, recommended);
    if repetition.test.is_empty() {
        repetition.test = first_final(&records).unwrap_or_default();
    }
    Ok(repetition)
}

/// Test measures of the first recommended architecture's first final training, whichever ended first.
fn first_final(records: &[Record]) -> Option<Vec<(String, f64)>> {
    let of_first = records.iter().filter_map(|record| match &record.event {
        Event::FinallyTrained { rank: 0, repetition, test, .. } if !test.is_empty() => Some((*repetition, test)),
        _ => None,
    });
    let (_, test) = of_first.min_by_key(|(repetition, _)| *repetition)?;
    Some(test.iter().map(|measure| (measure.name.clone(), measure.value)).collect())
}

/// Drive a run to its `ended` event.
async fn to_end(
    search: &Search,
    premises: &Premises,
    run: &RunId,
    recorder: &mut Recorder,
    mut records: Vec<Record>,
    conduct: Conduct<'_>,
) -> Result<(), Failed> {
    let Conduct { orders, onlooker, interrupt, share, superseding, .. } = conduct;
    let state = &*premises.state;
    let join = || {
        let Share { weight, priority } = *share.borrow();
        Placement::join(&premises.pool, weight, priority)
    };
    let (mut placement, mut events) = join();
    let mut failed = None;
    // How often the shared weights were lost at which job.
    let mut losses: BTreeMap<JobId, u32> = BTreeMap::new();
    while failed.is_none() && !has_recommendation(&records) {
        if !records.is_empty() {
            onlooker.say(&format!("goes on from {} journalled events", records.len()));
        }
        let mut strategist = Strategist::new(search, LogQueue::default()).kept(state, run);
        strategist.begun_with(&records);
        let (engine, instance, checkpoint) = bring_up(search, &records, &mut strategist, recorder, onlooker).await?;
        let drive = Drive {
            search,
            engine,
            instance,
            strategist,
            orders: &mut *orders,
            under_way: UnderWay::default(),
            recorder: &mut *recorder,
            placement: &placement,
            events: &mut events,
            interrupt: interrupt.clone(),
            share: share.clone(),
            onlooker: &mut *onlooker,
            checkpoint,
            is_real: premises.is_real,
            n_stillborn: 0,
            driven_before: nasd_engine::resume::seconds_driven(&records),
            answers: None,
            superseding: superseding.clone(),
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
                onlooker.say(&format!("goes back to the last savepoint: {reason}"));
                // What the trainers from before still say is of a past that is superseded: nobody hears it.
                (placement, events) = join();
            }
        }
        recorder.sync()?;
        onlooker.durable(recorder.durable());
        records = folder::read_records(state, run)?;
    }
    placement.close_session();
    let ending = match failed {
        Some(reason) => RunEnding::Failed(reason),
        None => {
            let weights = state.weights();
            let workshop = finals::Workshop { placement: &placement, events: &mut events, weights: &weights };
            finals::train(search, &records, recorder, workshop, onlooker, interrupt).await?;
            // By the journal: the search may have ended in a process before this one.
            ending_of(&records)
        }
    };
    drive::note(recorder, Event::Ended { ending })?;
    recorder.sync()?;
    onlooker.durable(recorder.durable());
    Ok(())
}

fn has_recommendation(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.event, Event::Recommended { .. } | Event::Ended { .. }))
}

/// Engine and strategy, begun or as the journal left them.
async fn bring_up(
    search: &Search,
    records: &[Record],
    strategist: &mut Strategist,
    recorder: &mut Recorder,
    onlooker: &mut dyn Onlooker,
) -> Result<(nasd_engine::Search, Instance, Option<SharedCheckpoint>), Failed> {
    if records.is_empty() {
        let begun = Event::Begun {
            configuration: search.configuration.clone(),
            configuration_digest: search.configuration_digest.clone(),
            seed: search.file.seed,
            strategy: search.identity.clone(),
            setup: Box::new(search.setup.clone()),
        };
        onlooker.heard(&begun, &BTreeMap::new());
        drive::note(recorder, begun)?;
        let engine = nasd_engine::Search::new(search.plan.clone(), search.task.clone())
            .with_strategy(search.identity.clone(), search.setup.parameters.clone());
        let instance = strategist.instance(&search.component, engine.ledger()).await.map_err(Failed::other)?;
        return Ok((engine, instance, None));
    }
    let (plan, task) = (search.plan.clone(), search.task.clone());
    let mut resumption = nasd_engine::Search::resume(plan, task, records).map_err(Failed::other)?;
    let mut restored = strategist.take_up(&resumption).await;
    if let Err(message) = &restored {
        // The journal has all that the snapshot would have said.
        tracing::warn!(message, "the strategy cannot restore its savepoint; it starts afresh");
        let (plan, task) = (search.plan.clone(), search.task.clone());
        resumption = nasd_engine::Search::resume_afresh(plan, task, records).map_err(Failed::other)?;
        restored = strategist.take_up(&resumption).await;
    }
    let instance = restored.map_err(Failed::Other)?;
    drive::note(recorder, resumption.event)?;
    Ok((resumption.search, instance, resumption.shared))
}

/// Compiled components are kept for the user, not with a run: they belong to this build of nasd.
pub fn compiled_cache() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))?;
    Some(base.join("nasd").join("compiled"))
}

/// Cores of this machine.
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

fn n_trainers(options: &Options, search: &Search) -> u32 {
    options.trainers.unwrap_or_else(cores).min(search.plan.slots).max(1)
}

/// The program of real trainers: `NASD_TRAINER`, or what lies beside this one.
pub fn trainer_program() -> PathBuf {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("nasd-trainer"));
    std::env::var_os("NASD_TRAINER").map(PathBuf::from).or_else(beside).unwrap_or_default()
}

/// How trainers of a device are started: `cpu`, `cuda:0`, `null`, `null-process`, or `null:20`, which takes 20
/// milliseconds a training.
pub fn trainer_kind(device: &str, threads: u32, data: &Path, state: &StateFolder) -> Result<TrainerKind, Failed> {
    let weights = state.weights();
    if device == "null-process" {
        let program = std::env::current_exe().map_err(Failed::other)?;
        return Ok(TrainerKind::NullProcess { program, weights: weights.folder().to_owned() });
    }
    if let Some(pause) = device.strip_prefix("null") {
        let pause = pause.strip_prefix(':').and_then(|pause| pause.parse().ok()).unwrap_or_default();
        return Ok(TrainerKind::Null { weights, pause: Duration::from_millis(pause) });
    }
    Ok(TrainerKind::Process {
        program: trainer_program(),
        device: device.to_owned(),
        threads,
        data: data.to_owned(),
        weights: weights.folder().to_owned(),
    })
}

/// Whether the trainer's program is there.
fn expect_trainer(device: &str) -> Result<(), Failed> {
    let program = trainer_program();
    if device.starts_with("null") || program.is_file() {
        return Ok(());
    }
    Err(Failed::Configuration(format!(
        "there is no trainer {}; build it by `cargo xtask build`, or set NASD_TRAINER to its path",
        program.display()
    )))
}

/// Where this search's networks are trained.
fn device_of(options: &Options, search: &Search, state: &StateFolder) -> Result<Device, Failed> {
    let places = n_trainers(options, search);
    // One thread a trainer is fastest for many; a run on shared weights has one trainer with all threads.
    let kind = |threads| trainer_kind(&options.device, threads, &options.places.data, state);
    let (kind, shared) = (kind((cores() / places).max(1))?, kind(cores())?);
    Ok(Device { name: options.device.clone(), kind, shared, places })
}

/// Where nothing is trained.
fn null_device(state: &StateFolder, places: u32) -> Device {
    let kind = TrainerKind::Null { weights: state.weights(), pause: Duration::ZERO };
    Device { name: "none".into(), kind: kind.clone(), shared: kind, places }
}

/// A ledger as the summary needs it: the run's journal folded to its end.
pub(crate) fn fold(search: &Search, records: &[Record]) -> Result<Ledger, Failed> {
    let ledger = nasd_engine::resume::ledger_of(search.plan.clone(), search.task.clone(), records);
    ledger.map_err(Failed::other)
}
