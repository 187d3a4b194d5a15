//! The result store: what people ask about runs and jobs, answered without reading journals.
//!
//! It holds nothing that the journals do not say, only less of it and by key. So it may be behind (it is caught
//! up when opened), lost, broken or of another version (it is moved aside and made anew): never a reason to
//! lose a result, and nothing that decides what a search does may be asked of it. One writer; whoever only reads
//! beside one makes a copy in memory ([`ResultStore::in_memory`]).
//!
//! A job's row changes four times or so in quick succession, so rows are changed in memory and written out in
//! batches: when there are many, before a query, at [`ResultStore::flush`] and when the store is dropped.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nasd_protocol::{JobId, Record};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    journal::{JournalError, JournalReader},
    rows::{self, Applied, JobRow, RunRow, SCHEMA, STAMP_KEY, Stamp},
    scan::Span,
    state::{RunId, StateError, StateFolder},
    table::{Changes, Order, Table, TableError, quietly},
};

mod apply;
mod query;

/// Why the result store cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The table under it failed.
    #[error("the result store failed; `nasd store rebuild` makes it anew from the journals")]
    Table(#[from] TableError),
    /// A row is not what this version writes.
    #[error("a row of the result store cannot be read; `nasd store rebuild` makes it anew from the journals")]
    Row(#[source] rmp_serde::decode::Error),
    /// A row cannot be written.
    #[error("a row of the result store cannot be encoded")]
    Encode(#[source] rmp_serde::encode::Error),
    /// Rows are missing, or of another version.
    #[error(
        "the result store is {found}, expected was {expected}; `nasd store rebuild` makes it anew from the journals"
    )]
    Mismatch {
        /// What was found.
        found: String,
        /// What was expected.
        expected: String,
    },
    /// A record was passed over.
    #[error("record {found} of run {run} was to be applied where record {expected} follows")]
    Gap {
        /// The run.
        run: RunId,
        /// Number of the record that follows.
        expected: u64,
        /// Number of the record given.
        found: u64,
    },
    /// A journal cannot be read.
    #[error("the journal of run {run} cannot be read")]
    Journal {
        /// The run.
        run: RunId,
        /// Why.
        source: JournalError,
    },
    /// The state folder cannot be read.
    #[error(transparent)]
    State(#[from] StateError),
    /// The broken store cannot be moved aside.
    #[error("{} cannot be moved aside; remove it by hand", path.display())]
    MoveAside {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How opening went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Records applied which the store lacked.
    pub caught_up: u64,
    /// Where a broken store was moved and what was wrong with it.
    pub rebuilt: Option<(PathBuf, String)>,
    /// Runs whose journals cannot be read, and why: they are missing or incomplete here.
    pub unreadable: Vec<(RunId, String)>,
}

/// The result store.
#[derive(Debug)]
pub struct ResultStore {
    table: Table,
    progress: Mutex<Progress>,
}

/// What the table does not hold yet.
#[derive(Debug, Default)]
struct Progress {
    runs: BTreeMap<RunId, Changed>,
    genes: BTreeMap<String, Vec<u8>>,
    n_jobs: usize,
    rows: u64,
    /// The table says that it was closed in good order.
    closed: bool,
}

#[derive(Debug, Default)]
struct Changed {
    applied: Applied,
    /// The table's progress is behind.
    behind: bool,
    run: Option<RunRow>,
    jobs: BTreeMap<JobId, ChangedJob>,
}

#[derive(Debug)]
struct ChangedJob {
    row: JobRow,
    /// By which it is found in the table now.
    keys: Vec<Vec<u8>>,
}

/// Changed jobs beyond which they are written out.
const BATCH: usize = 128;

/// Rows up to which all of them are read and checked at every opening; more are only after a crash.
const CHECKED_ROWS: u64 = 50_000;

// Rows are positional, not by name: they are small, and their version is the schema's.
fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, ResultsError> {
    rmp_serde::to_vec(row).map_err(ResultsError::Encode)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ResultsError> {
    rmp_serde::from_slice(bytes).map_err(ResultsError::Row)
}

impl ResultStore {
    /// The store of a state folder open for writing, caught up with all journals. A store that is broken in any
    /// way is moved aside (`results.broken-<n>`) and made anew. Where the state folder is in memory, so is the store.
    pub fn open(state: &StateFolder) -> Result<(Self, Opened), ResultsError> {
        if !state.is_writable() {
            return Err(StateError::ReadOnly { path: state.root().to_owned() }.into());
        }
        if !state.files().is_on_disk() {
            return Self::in_memory(state);
        }
        let mut opened = Opened { caught_up: 0, rebuilt: None, unreadable: Vec::new() };
        let first = quietly(|| {
            let store = Self::load(Table::open(&state.results_folder())?)?;
            store.catch_up(state, &mut opened)?;
            Ok(store)
        });
        let store = match first {
            Ok(store) => store,
            Err(error @ (ResultsError::State(_) | ResultsError::MoveAside { .. })) => return Err(error),
            Err(error) => {
                let aside = move_aside(state)?;
                let reason = describe(&error);
                tracing::warn!(reason, aside = %aside.display(), "the result store is made anew from the journals");
                opened = Opened { caught_up: 0, rebuilt: Some((aside, reason)), unreadable: Vec::new() };
                let store = quietly(|| Self::load(Table::open(&state.results_folder())?))?;
                store.catch_up(state, &mut opened)?;
                store
            }
        };
        store.flush()?;
        Ok((store, opened))
    }

    /// A copy in memory, made from the journals: for readers beside a writer, and to compare with.
    pub fn in_memory(state: &StateFolder) -> Result<(Self, Opened), ResultsError> {
        let store = Self::empty();
        let mut opened = Opened { caught_up: 0, rebuilt: None, unreadable: Vec::new() };
        store.catch_up(state, &mut opened)?;
        Ok((store, opened))
    }

    /// Without runs, in memory: to be fed by [`ResultStore::apply`].
    pub fn empty() -> Self {
        let progress = Mutex::new(Progress::default());
        Self { table: Table::memory(), progress }
    }

    /// Move the store of a state folder aside and make it anew.
    pub fn rebuild(state: &StateFolder) -> Result<(Self, Opened), ResultsError> {
        if !state.is_writable() {
            return Err(StateError::ReadOnly { path: state.root().to_owned() }.into());
        }
        if state.results_folder().exists() {
            move_aside(state)?;
        }
        Self::open(state)
    }

    /// Read what is there: all of it, whether each row is sound and none is missing, unless it is much and was
    /// closed in good order.
    fn load(table: Table) -> Result<Self, ResultsError> {
        let mut progress = Progress::default();
        let stamp: Option<Stamp> = table.get(STAMP_KEY)?.map(|stamp| decode(&stamp)).transpose()?;
        progress.closed = table.get(rows::CLOSED_KEY)?.is_some();
        let stamp = stamp.unwrap_or(Stamp { schema: SCHEMA, rows: 0 });
        progress.rows = stamp.rows;
        if !progress.closed || stamp.rows <= CHECKED_ROWS {
            let mut found = 0;
            table.walk(b"", b"", Order::Ascending, &mut |key, _| {
                found += u64::from(key != STAMP_KEY && key != rows::CLOSED_KEY);
                Ok::<bool, ResultsError>(true)
            })?;
            if stamp != (Stamp { schema: SCHEMA, rows: found }) {
                return Err(ResultsError::Mismatch {
                    found: format!("of schema {} with {found} rows", stamp.schema),
                    expected: format!("schema {SCHEMA} with {} rows", stamp.rows),
                });
            }
        }
        table.walk(b"p", b"p", Order::Ascending, &mut |key, value| {
            if let Some(run) = rows::parse_run(key, 1) {
                progress.runs.insert(run, Changed { applied: decode(value)?, ..Changed::default() });
            }
            Ok::<bool, ResultsError>(true)
        })?;
        Ok(Self { table, progress: Mutex::new(progress) })
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn catch_up(&self, state: &StateFolder, opened: &mut Opened) -> Result<(), ResultsError> {
        let runs = state.runs()?;
        if let Some(lost) = self.progress().runs.keys().find(|run| !runs.contains(run)) {
            return Err(ResultsError::Mismatch {
                found: format!("ahead by run {lost}"),
                expected: "only runs that have a journal".to_owned(),
            });
        }
        for run in runs {
            let (caught_up, broken) = self.catch_up_run(state, &run)?;
            opened.caught_up += caught_up;
            // Other runs' results are none the worse for it.
            opened.unreadable.extend(broken.map(|reason| (run, reason)));
        }
        Ok(())
    }

    /// Apply what a run's journal holds beyond what is known here: how many records, and what broke it off.
    pub fn catch_up_run(&self, state: &StateFolder, run: &RunId) -> Result<(u64, Option<String>), ResultsError> {
        let from = self.applied(run);
        let path = state.journal_path(run);
        let length = state.files().length(&path).unwrap_or(0);
        if length < from.offset {
            return Err(ResultsError::Mismatch {
                found: format!("at byte {} of the journal of run {run}", from.offset),
                expected: format!("at most its length of {length}"),
            });
        }
        let reader = JournalReader::open_at(state.files(), &path, from.offset, from.sequence);
        let mut reader = reader.map_err(|source| ResultsError::Journal { run: run.clone(), source })?;
        let mut caught_up = 0;
        while let Some(record) = reader.next() {
            match record {
                Ok(record) => {
                    self.apply(run, &record, reader.span())?;
                    caught_up += 1;
                }
                Err(error) => return Ok((caught_up, Some(describe(&error)))),
            }
        }
        Ok((caught_up, None))
    }

    /// How far a run's journal is applied.
    pub fn applied(&self, run: &RunId) -> Applied {
        self.progress().runs.get(run).map(|changed| changed.applied).unwrap_or_default()
    }

    /// Take in the next record of a run, with where it lies in the journal. A record taken in before is passed
    /// over. Give only records that are durable: the store must never know more than its journals.
    pub fn apply(&self, run: &RunId, record: &Record, span: Span) -> Result<(), ResultsError> {
        let mut progress = self.progress();
        let applied = progress.runs.get(run).map(|changed| changed.applied).unwrap_or_default();
        if record.sequence < applied.sequence {
            return Ok(());
        }
        if record.sequence > applied.sequence {
            let (expected, found) = (applied.sequence, record.sequence);
            return Err(ResultsError::Gap { run: run.clone(), expected, found });
        }
        self.take_in(&mut progress, run, record, span)?;
        let changed = progress.runs.entry(run.clone()).or_default();
        changed.applied = Applied { sequence: record.sequence + 1, offset: span.end };
        changed.behind = true;
        if progress.n_jobs >= BATCH {
            self.write_out(&mut progress)?;
        }
        Ok(())
    }

    /// Write all that changed, with the number of rows it leads to, all or nothing.
    fn write_out(&self, progress: &mut Progress) -> Result<(), ResultsError> {
        let mut changes = Changes::new();
        for (run, changed) in progress.runs.iter().filter(|(_, changed)| changed.behind) {
            changes.insert(rows::run_key(b'p', run), Some(encode(&changed.applied)?));
            if let Some(row) = &changed.run {
                changes.insert(rows::run_key(b'r', run), Some(encode(row)?));
            }
            for (job, changed) in &changed.jobs {
                for key in &changed.keys {
                    changes.insert(key.clone(), None);
                }
                for key in index_keys(run, &changed.row) {
                    changes.insert(key, Some(Vec::new()));
                }
                changes.insert(rows::job_key(run, *job), Some(encode(&changed.row)?));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        for (digest, genes) in &progress.genes {
            changes.insert(rows::genes_key(digest), Some(genes.clone()));
        }
        let mut n_rows = progress.rows;
        for (key, value) in &changes {
            match (self.table.contains(key)?, value.is_some()) {
                (false, true) => n_rows += 1,
                (true, false) => n_rows = n_rows.saturating_sub(1),
                _ => {}
            }
        }
        changes.insert(STAMP_KEY.to_vec(), Some(encode(&Stamp { schema: SCHEMA, rows: n_rows })?));
        if progress.closed {
            changes.insert(rows::CLOSED_KEY.to_vec(), None);
        }
        self.table.apply(changes)?;
        progress.closed = false;
        progress.rows = n_rows;
        progress.genes.clear();
        progress.n_jobs = 0;
        for changed in progress.runs.values_mut() {
            changed.behind = false;
            changed.run = None;
            changed.jobs.clear();
        }
        Ok(())
    }

    /// The table with all changes in it.
    fn settled(&self) -> Result<&Table, ResultsError> {
        self.write_out(&mut self.progress())?;
        Ok(&self.table)
    }

    /// Make all that was applied durable. Not needed for safety: what is lost is applied again.
    pub fn flush(&self) -> Result<(), ResultsError> {
        Ok(self.settled()?.flush()?)
    }

    /// Flush, and note that the store was closed in good order.
    fn close(&self) -> Result<(), ResultsError> {
        let mut progress = self.progress();
        self.write_out(&mut progress)?;
        if !progress.closed {
            self.table.apply(Changes::from([(rows::CLOSED_KEY.to_vec(), Some(Vec::new()))]))?;
            progress.closed = true;
        }
        Ok(self.table.flush()?)
    }

    /// Compare with a copy made from the journals: descriptions of what differs, at most twenty. None: all is well.
    pub fn verify(&self, state: &StateFolder) -> Result<Vec<String>, ResultsError> {
        self.flush()?;
        let (copy, opened) = Self::in_memory(state)?;
        copy.flush()?;
        let mut differences: Vec<String> =
            opened.unreadable.into_iter().map(|(run, reason)| format!("run {run}: {reason}")).collect();
        let all = |table: &Table| {
            let mut all = BTreeMap::new();
            table.walk(b"", b"", Order::Ascending, &mut |key, value| {
                if key != rows::CLOSED_KEY {
                    all.insert(key.to_vec(), value.to_vec());
                }
                Ok::<bool, ResultsError>(true)
            })?;
            Ok::<_, ResultsError>(all)
        };
        let (here, there) = (all(&self.table)?, all(&copy.table)?);
        for key in here.keys().chain(there.keys().filter(|key| !here.contains_key(*key))) {
            let what = match (here.get(key), there.get(key)) {
                (Some(_), None) => "is in no journal",
                (None, Some(_)) => "is missing",
                (Some(one), Some(other)) if one != other => "differs from the journal",
                _ => continue,
            };
            differences.push(format!("row {} {what}", key.escape_ascii()));
            if differences.len() >= 20 {
                break;
            }
        }
        Ok(differences)
    }
}

impl Drop for ResultStore {
    fn drop(&mut self) {
        if let Err(error) = quietly(|| self.close()) {
            tracing::warn!(reason = describe(&error), "the result store was not closed in good order");
        }
    }
}

/// Keys by which a job is found besides its own.
fn index_keys(run: &RunId, row: &JobRow) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    if let Some(digest) = &row.architecture {
        keys.push(rows::architecture_key(digest, run, row.job));
    }
    if row.is_result() {
        keys.extend(row.measures.iter().map(|measure| rows::measure_key(run, measure, row.job)));
    }
    keys
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Give the store's folder a name under which it is not looked for.
fn move_aside(state: &StateFolder) -> Result<PathBuf, ResultsError> {
    let path = state.results_folder();
    for number in 1u32.. {
        let aside = state.root().join(format!("results.broken-{number}"));
        if !aside.exists() {
            std::fs::rename(&path, &aside).map_err(|source| ResultsError::MoveAside { path, source })?;
            return Ok(aside);
        }
    }
    Err(ResultsError::MoveAside { path, source: io::ErrorKind::AlreadyExists.into() })
}
