//! A run's place in the state folder: which run is gone on with, what lies beside its journal, in what order it is
//! written. Everything goes through [`Files`], so that each operation can be made to fail.

use std::path::Path;

use nasd_engine::resume::is_over;
use nasd_protocol::{Event, Record, event::RunEnding};
use nasd_store::{FileSystem, Files, Journal, JournalError, RunId, StateError, StateFolder, write_whole};

use super::Opened;
use crate::{failure::Failed, search::Search};

/// Written last: a run that has it is done with.
pub const REPORT: &str = "report.md";

/// Open the state folder for writing, alone.
pub fn open_state(files: Files, root: &Path) -> Result<StateFolder, Failed> {
    StateFolder::open_with(files, root).map_err(|error| match error {
        StateError::Io { .. } => {
            Failed::Configuration(format!("{}; --state names another state folder", crate::failure::chain(&error)))
        }
        other => Failed::other(other),
    })
}

/// All records of a run's journal.
pub fn read_records(state: &StateFolder, run: &RunId) -> Result<Vec<Record>, Failed> {
    nasd_store::JournalReader::open(state.files(), &state.journal_path(run))
        .map_err(Failed::other)?
        .collect::<Result<_, _>>()
        .map_err(Failed::other)
}

/// The last run of this name if it has the same configuration and is not done with, else a new one. With `reuses`
/// any run of the same configuration does, even one that is done with.
pub fn find_or_begin(state: &StateFolder, search: &Search, reuses: bool) -> Result<Opened, Failed> {
    let runs = state.runs().map_err(Failed::other)?;
    let mut named: Vec<RunId> = runs.into_iter().filter(|run| run.name() == search.file.name).collect();
    named.sort_by_key(|run| std::cmp::Reverse(run.number()));
    let considered = if reuses { named.len() } else { 1 };
    for run in named.into_iter().take(considered) {
        let Opened { run, journal, records } = open(state, run)?;
        let is_same = match records.first().map(|record| &record.event) {
            Some(Event::Begun { configuration_digest, strategy, .. }) => {
                *configuration_digest == search.configuration_digest
                    || took_over(&records, &search.identity.digest)
                        && *configuration_digest == search.configuration_digest_with(&strategy.digest)
            }
            _ => false,
        };
        let has_failed = records.iter().any(|record| match &record.event {
            Event::Ended { ending } => matches!(ending, RunEnding::Failed(_)),
            _ => false,
        });
        let is_done = is_over(&records) && state.files().exists(&state.run_folder(&run).join(REPORT));
        // A run killed before its first event was durable has not begun.
        if records.is_empty() || is_same && (reuses && !has_failed || !is_done) {
            return Ok(Opened { run, journal, records });
        }
    }
    let run = state.create_run(&search.file.name).map_err(Failed::other)?;
    let journal = Journal::create(state.files().clone(), &state.journal_path(&run)).map_err(Failed::other)?;
    Ok(Opened { run, journal, records: Vec::new() })
}

/// Open a run's journal, to go on with it.
pub fn open(state: &StateFolder, run: RunId) -> Result<Opened, Failed> {
    let opened = Journal::open(state.files().clone(), &state.journal_path(&run));
    let (journal, records, torn) = opened.map_err(|error| match error {
        JournalError::Io { .. } => Failed::storage(error),
        _ => Failed::other(error),
    })?;
    if let Some(torn) = torn {
        tracing::warn!(%run, ?torn, "the journal's end was torn off by a crash");
    }
    Ok(Opened { run, journal, records })
}

/// Whether a build was put in place of another while the run went on.
fn took_over(records: &[Record], digest: &str) -> bool {
    records.iter().any(|record| matches!(&record.event, Event::Swapped { to, .. } if to.digest == digest))
}

/// Keep the strategy's component, by digest, before a run that uses it begins.
pub fn keep_component(state: &StateFolder, search: &Search) -> Result<(), Failed> {
    keep_bytes(state.files(), &state.components_folder(), &search.identity.digest, &search.component_bytes)
}

/// Keep a component, by digest, durably.
pub fn keep_bytes(files: &Files, folder: &Path, digest: &str, bytes: &[u8]) -> Result<(), Failed> {
    let path = folder.join(format!("{digest}.wasm"));
    let kept = if files.exists(&path) { Ok(()) } else { write_whole(&**files, &path, bytes) };
    kept.and_then(|()| files.sync_dir(folder)).map_err(|error| Failed::Storage(format!("{}: {error}", path.display())))
}

/// Files of a run's folder, each whole or not at all; [`REPORT`] last, once the others are durable.
pub fn write_report(
    files: &dyn FileSystem,
    folder: &Path,
    others: &[(String, Vec<u8>)],
    report: &str,
) -> Result<(), Failed> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        write_whole(files, &path, bytes).map_err(|error| Failed::Storage(format!("{}: {error}", path.display())))
    };
    let sync = || {
        let synced = files.sync_dir(folder);
        synced.map_err(|error| Failed::Storage(format!("{}: {error}", folder.display())))
    };
    for (name, bytes) in others {
        write(name, bytes)?;
    }
    sync()?;
    write(REPORT, report.as_bytes())?;
    sync()
}

/// Whether the report in a run's folder looks known results up.
pub fn has_known_results(state: &StateFolder, run: &RunId) -> bool {
    let report = state.files().read(&state.run_folder(run).join("report.json")).unwrap_or_default();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap_or_default();
    report.get("known").is_some_and(|known| !known.is_null())
}
