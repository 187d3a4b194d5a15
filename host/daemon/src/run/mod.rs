//! A search in the foreground: find or begin its run, drive it, train what it found, say what came of it.

mod drive;
mod finals;
mod placement;
mod progress;
mod recorder;
mod report;
mod services;
mod summary;

use std::{path::PathBuf, sync::Arc};

use nasd_engine::{ledger::Ledger, resume::is_over, search::SharedLedger};
use nasd_protocol::{Event, Record};
use nasd_space::StreamRandom;
use nasd_store::{Journal, ResultStore, RunId, StateFolder};
use nasd_strategy::{Instance, Runtime, RuntimeOptions, Services};
use tokio::sync::watch;

use crate::{
    failure::Failed,
    search::{self, Places, Search},
    trainers::{TrainerKind, Trainers},
};
use drive::{Drive, Ended};
use placement::Placement;
use progress::Progress;
use recorder::Recorder;
use services::{LedgerHistory, LogQueue};
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
}

/// Run a search to its end, or go on with the unfinished run of the same configuration.
pub async fn run(options: Options, interrupt: watch::Receiver<bool>) -> Result<Summary, Failed> {
    let file = crate::configuration::read(&options.file, &options.settings)?;
    let runtime = Runtime::new(RuntimeOptions { cache: compiled_cache() }).map_err(Failed::other)?;
    let search = search::resolve(file, &options.file, &options.places, &runtime).await?;

    let state = StateFolder::open(&options.places.state).map_err(Failed::other)?;
    let (results, _) = ResultStore::open(&state).map_err(Failed::other)?;
    let (run, journal, records) = find_or_begin(&state, &search)?;
    keep_component(&state, &search)?;
    let mut progress = Progress::new(run.to_string(), search.plan.objectives.first().cloned(), options.is_silent);
    let mut recorder = Recorder::new(journal, results, run.clone());
    let (trainers, mut events) = Trainers::new(trainer_kind(&options, &search, &state)?);
    let mut placement = Placement::new(trainers, n_trainers(&options, &search) as usize);
    let is_real = options.device != "null";

    let mut records = records;
    let mut ending = None;
    while ending.is_none() && !has_recommendation(&records) {
        if !records.is_empty() {
            progress.say(&format!("goes on from {} journalled events", records.len()));
        }
        let (engine, instance, log, checkpoint) = bring_up(&search, &records, &mut recorder).await?;
        let drive = Drive {
            search: &search,
            engine,
            instance,
            log,
            recorder: &mut recorder,
            placement: &mut placement,
            events: &mut events,
            interrupt: interrupt.clone(),
            progress: &mut progress,
            checkpoint,
            is_real,
        };
        match drive.run().await? {
            Ended::Finished(reason) => ending = Some(reason),
            Ended::Suspended => {
                recorder.close()?;
                return Err(Failed::Interrupted(format!("{run} is saved; the same command goes on with it")));
            }
            Ended::Rewound(reason) => {
                progress.say(&format!("goes back to the last savepoint: {reason}"));
                placement.close_session();
            }
        }
        recorder.sync()?;
        records = read_records(&state, &run)?;
    }
    placement.close_session();
    if !is_over(&records) {
        finals::train(&search, &records, &mut recorder, &mut placement, &mut events, &progress, interrupt).await?;
        let ending = ending.unwrap_or(nasd_protocol::event::RunEnding::Budget);
        drive::note(&mut recorder, Event::Ended { ending })?;
    }
    recorder.close()?;
    let records = read_records(&state, &run)?;
    let ledger = fold(&search, &records)?;
    let summary = Summary::of(&run, &search, &ledger, &records)?;
    let folder = state.run_folder(&run);
    summary.write(&folder)?;
    report::write(&folder, &search, &ledger, &records, &summary)?;
    Ok(summary)
}

fn has_recommendation(records: &[Record]) -> bool {
    records.iter().any(|record| matches!(record.event, Event::Recommended { .. } | Event::Ended { .. }))
}

fn read_records(state: &StateFolder, run: &RunId) -> Result<Vec<Record>, Failed> {
    nasd_store::JournalReader::open(state.files(), &state.journal_path(run))
        .map_err(Failed::other)?
        .collect::<Result<_, _>>()
        .map_err(Failed::other)
}

/// The last run of this name if it is unfinished and has the same configuration, else a new one.
fn find_or_begin(state: &StateFolder, search: &Search) -> Result<(RunId, Journal, Vec<Record>), Failed> {
    let runs = state.runs().map_err(Failed::other)?;
    let last = runs.into_iter().filter(|run| run.name() == search.file.name).max_by_key(RunId::number);
    if let Some(run) = last {
        // Killed before the journal was begun.
        let path = state.journal_path(&run);
        if std::fs::metadata(&path).map_or(true, |metadata| metadata.len() == 0) {
            let _ = std::fs::remove_file(&path);
            let journal = Journal::create(state.files().clone(), &path).map_err(Failed::other)?;
            return Ok((run, journal, Vec::new()));
        }
        let (journal, records, torn) =
            Journal::open(state.files().clone(), &state.journal_path(&run)).map_err(Failed::other)?;
        if let Some(torn) = torn {
            tracing::warn!(%run, ?torn, "the journal's end was torn off by a crash");
        }
        let is_same = matches!(records.first().map(|record| &record.event),
            Some(Event::Begun { configuration_digest, .. }) if *configuration_digest == search.configuration_digest);
        // A run killed before its first event was durable has not begun.
        if records.is_empty() || is_same && !is_over(&records) {
            return Ok((run, journal, records));
        }
    }
    let run = state.create_run(&search.file.name).map_err(Failed::other)?;
    let journal = Journal::create(state.files().clone(), &state.journal_path(&run)).map_err(Failed::other)?;
    Ok((run, journal, Vec::new()))
}

/// Engine and strategy, begun or as the journal left them.
async fn bring_up(
    search: &Search,
    records: &[Record],
    recorder: &mut Recorder,
) -> Result<(nasd_engine::Search, Instance, LogQueue, Option<nasd_protocol::event::SharedCheckpoint>), Failed> {
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
    let resumption =
        nasd_engine::Search::resume(search.plan.clone(), search.task.clone(), records).map_err(Failed::other)?;
    let mut instance = instantiate(resumption.search.ledger().clone()).await?;
    if let Some(snapshot) = &resumption.snapshot {
        let mut setup = search.setup.clone();
        if let (Some(shared), Some(checkpoint)) = (setup.shared_weights.as_mut(), &resumption.shared) {
            shared.steps_done = checkpoint.steps_done;
        }
        instance.restore(&setup, snapshot).await.map_err(Failed::other)?;
        instance.seek_random(resumption.random);
    }
    drive::note(recorder, resumption.event)?;
    Ok((resumption.search, instance, log, resumption.shared))
}

fn keep_component(state: &StateFolder, search: &Search) -> Result<(), Failed> {
    let folder = state.components_folder();
    let path = folder.join(format!("{}.wasm", search.identity.digest));
    let io = |error: std::io::Error| Failed::Other(format!("{}: {error}", path.display()));
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder).map_err(io)?;
    let new = folder.join(format!("{}.new", search.identity.digest));
    std::fs::write(&new, &search.component_bytes).and_then(|()| std::fs::rename(&new, &path)).map_err(io)
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

fn trainer_kind(options: &Options, search: &Search, state: &StateFolder) -> Result<TrainerKind, Failed> {
    if options.device == "null" {
        return Ok(TrainerKind::Null);
    }
    let program = match std::env::var_os("NASD_TRAINER") {
        Some(program) => PathBuf::from(program),
        None => std::env::current_exe()
            .ok()
            .and_then(|own| Some(own.parent()?.join("nasd-trainer")))
            .ok_or_else(|| Failed::Other("nasd-trainer cannot be found: set NASD_TRAINER to its path".into()))?,
    };
    // One thread a trainer is fastest for many; a run on shared weights has one trainer with all threads.
    let threads = if search.task.shared().is_some() { cores() } else { (cores() / n_trainers(options, search)).max(1) };
    let weights = state.weights().folder().to_owned();
    Ok(TrainerKind::Process {
        program,
        device: options.device.clone(),
        threads,
        data: options.places.data.clone(),
        weights,
    })
}

/// A ledger as the summary needs it: the run's journal folded to its end.
pub(crate) fn fold(search: &Search, records: &[Record]) -> Result<Ledger, Failed> {
    let ledger = nasd_engine::resume::ledger_of(search.plan.clone(), search.task.clone(), records);
    ledger.map_err(Failed::other)
}
