//! Which searches there are and when they start: files of a watched folder, and searches that were submitted.
//!
//! A search without a schedule runs once for each content of its file; one with a schedule when that says so. What a
//! changed file means for the run under way is in [`LIVE_KEYS`]; every other key acts on the next run.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use nasd_schedule::{Action, Memory, Starter, Timetable};
use nasd_store::{RunId, write_whole};

use super::{
    daemon::{Book, Daemon, Phase, SearchEntry, Start},
    refusal::Refusal,
    sheet::{Sheet, Wanted},
    views::{RerunOrder, RunView, SearchView, Submission},
};
use crate::{
    configuration::{self, SearchFile},
    failure::Failed,
};

/// Keys of a search file whose change acts on the run under way; all others act on the next run.
pub const LIVE_KEYS: [&str; 4] = ["budget", "scheduling.slots", "share", "strategy.parameters"];

/// Longest search file that is read.
const MAX_FILE: u64 = 1 << 20;

impl Daemon {
    fn memory_path(&self, name: &str) -> PathBuf {
        self.setting().premises.state.root().join("schedules").join(format!("{name}.json"))
    }

    fn submitted_folder(&self) -> PathBuf {
        self.setting().premises.state.root().join("searches")
    }

    /// Read what was submitted before, then the folder.
    pub fn load_searches(&self) -> Result<(), Failed> {
        let files = self.setting().premises.state.files().clone();
        for folder in [self.submitted_folder(), self.memory_path("").with_file_name("")] {
            files.create_dir_all(&folder).map_err(|error| Failed::Storage(format!("{}: {error}", folder.display())))?;
        }
        let folder = self.submitted_folder();
        for name in files.list(&folder).unwrap_or_default() {
            let Some(stem) = name.strip_suffix(".json") else { continue };
            let bytes = files.read(&folder.join(&name)).map_err(|error| Failed::Other(format!("{name}: {error}")))?;
            let submission: Submission = match serde_json::from_slice(&bytes) {
                Ok(submission) => submission,
                Err(error) => {
                    tracing::error!(name, %error, "a submitted search cannot be read; submit it again");
                    continue;
                }
            };
            let path = self.path_of(stem, &submission);
            match configuration::parse(&submission.text, &path.display().to_string(), &[]) {
                Ok(file) => self.enter(&mut self.book(), None, path, submission.text, file, submission.by),
                Err(error) => tracing::error!(name, %error, "a submitted search is not used"),
            }
        }
        self.scan();
        Ok(())
    }

    fn path_of(&self, name: &str, submission: &Submission) -> PathBuf {
        let beside = submission.beside.as_ref().map_or_else(|| self.setting().searches.clone(), PathBuf::from);
        beside.join(format!("{name}.toml"))
    }

    /// Look at the folder: new, changed and removed files. A bad one is reported, and the last good one stays.
    pub fn scan(&self) {
        let folder = &self.setting().searches;
        let mut found: BTreeSet<PathBuf> = BTreeSet::new();
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            // Editors' own files begin with a dot or end with something else.
            if name.starts_with('.') || !name.ends_with(".toml") || !path.is_file() {
                continue;
            }
            found.insert(path);
        }
        let mut book = self.book();
        book.errors.retain(|path, _| found.contains(path));
        for path in &found {
            self.look_at(&mut book, path);
        }
        for entry in book.searches.values_mut() {
            let is_gone = entry.source.as_ref().is_some_and(|path| !found.contains(path));
            if is_gone && !entry.is_removed {
                tracing::info!(name = entry.file.name, "a search's file is gone; it starts no more");
            }
            entry.is_removed = is_gone;
        }
        drop(book);
        self.0.starts.notify_one();
    }

    fn look_at(&self, book: &mut Book, path: &Path) {
        let label = path.display().to_string();
        let holder = book.searches.values().find(|entry| entry.source.as_deref() == Some(path));
        let known = holder.map(|entry| entry.file.name.clone());
        let text = match std::fs::metadata(path) {
            Ok(metadata) if metadata.len() > MAX_FILE => {
                Err(format!("{label}: it has {} bytes; a search file is shorter", metadata.len()))
            }
            _ => configuration::read_text(path, "restore it").map_err(|error| error.to_string()),
        };
        let read = text.and_then(|text| {
            if holder.is_some_and(|entry| entry.text == text) {
                return Ok(None);
            }
            let file = configuration::parse(&text, &label, &[]).map_err(|error| error.to_string())?;
            if let Some(schedule) = &file.schedule {
                Timetable::new(schedule, self.now()).map_err(|error| format!("{label}: {error}"))?;
            }
            Ok(Some((text, file)))
        });
        match (read, known) {
            (Ok(None), Some(name)) => {
                if let Some(entry) = book.searches.get_mut(&name) {
                    entry.error = None;
                }
                book.errors.remove(path);
            }
            (Ok(None), None) => {}
            (Ok(Some((text, file))), known) => {
                let other = book.searches.get(&file.name).filter(|entry| entry.source.as_deref() != Some(path));
                if let Some(other) = other.filter(|entry| !entry.is_removed) {
                    let at =
                        other.source.as_ref().map_or("a submitted search".to_owned(), |at| at.display().to_string());
                    let error =
                        format!("{label}: there is a search `{}` already, in {at}; give it another name", file.name);
                    self.report(book, path, known.as_deref(), error);
                    return;
                }
                if let Some(known) = known.filter(|known| *known != file.name) {
                    // Another search lies there now.
                    if let Some(entry) = book.searches.get_mut(&known) {
                        entry.is_removed = true;
                        entry.source = None;
                    }
                }
                book.errors.remove(path);
                self.enter(book, Some(path.to_owned()), path.to_owned(), text, file, None);
            }
            (Err(error), known) => self.report(book, path, known.as_deref(), error),
        }
    }

    fn report(&self, book: &mut Book, path: &Path, known: Option<&str>, error: String) {
        let known = known.and_then(|name| book.searches.get_mut(name));
        let before = match known {
            Some(entry) => entry.error.replace(error.clone()),
            None => book.errors.insert(path.to_owned(), error.clone()),
        };
        if before.as_ref() != Some(&error) {
            tracing::warn!(error, "a search file is not used");
        }
    }

    /// A search is new, or has another text.
    fn enter(
        &self,
        book: &mut Book,
        source: Option<PathBuf>,
        path: PathBuf,
        text: String,
        file: SearchFile,
        by: Option<String>,
    ) {
        let name = file.name.clone();
        let schedule = file.schedule.as_ref();
        let starter = schedule.and_then(|schedule| {
            let timetable = Timetable::new(schedule, self.now()).ok()?;
            let memory = self.remembered(&name);
            let is_new = memory.is_none();
            let starter = Starter::new(timetable, schedule.catch_up, schedule.overlap, memory, self.now());
            // From now on no start is lost, whenever the daemon ends.
            if is_new && let Err(error) = self.remember(&name, starter.memory()) {
                self.storage_failed(&error);
            }
            Some(starter)
        });
        let has_run = book.runs.iter().any(|(run, entry)| run.name() == name && entry.sheet.text == text);
        let mut entry = SearchEntry {
            source,
            file_path: path,
            text,
            file,
            error: None,
            is_removed: false,
            starter,
            wants_run: None,
        };
        let changed = book.last_run(&name).map(|(run, last)| {
            let is_over = matches!(last.phase, Phase::Ended(_));
            // Nothing was changed but keys that act on the run under way, or acted on it before it ended.
            let is_covered =
                pending(&last.sheet, &entry).is_empty() && (!is_over || last.sheet.current() == entry.text);
            (run.clone(), is_covered, is_over)
        });
        if entry.starter.is_none() && !has_run && !changed.as_ref().is_some_and(|(_, is_covered, _)| *is_covered) {
            let by = match &entry.source {
                Some(path) => format!("file {}", path.display()),
                None => by.unwrap_or_else(|| "submission".to_owned()),
            };
            entry.wants_run = Some(Start { due: None, by, settings: Vec::new() });
        }
        tracing::info!(name, wants_run = entry.wants_run.is_some(), "a search is known");
        book.searches.insert(name, entry);
        if let Some((run, _, false)) = changed {
            let daemon = self.clone();
            tokio::spawn(async move { daemon.apply_changes(&run) });
        }
        self.0.starts.notify_one();
    }

    fn remembered(&self, name: &str) -> Option<Memory> {
        let path = self.memory_path(name);
        let files = self.setting().premises.state.files();
        if !files.exists(&path) {
            return None;
        }
        let read = files.read(&path).map_err(|error| error.to_string());
        let memory = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
        memory.inspect_err(|error| tracing::warn!(name, error, "what was remembered of a schedule is lost")).ok()
    }

    fn remember(&self, name: &str, memory: &Memory) -> Result<(), String> {
        let path = self.memory_path(name);
        let files = self.setting().premises.state.files();
        let bytes = serde_json::to_vec(memory).map_err(|error| error.to_string())?;
        write_whole(&**files, &path, &bytes)
            .and_then(|()| files.sync_dir(path.parent().unwrap_or(Path::new("."))))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Start what is due and wanted; when to look again.
    pub fn tick(&self) -> Option<Timestamp> {
        if self.readiness().is_err() {
            return None;
        }
        let now = self.now();
        let mut wake = None;
        let names: Vec<String> = self.book().searches.keys().cloned().collect();
        for name in names {
            let begun = self.tick_search(&name, now);
            begun.iter().for_each(|run| self.look_after(run));
            let book = self.book();
            let next = book.searches.get(&name).filter(|entry| !entry.is_removed);
            let next = next.and_then(|entry| entry.starter.as_ref()?.wake_at());
            wake = [wake, next].into_iter().flatten().min();
        }
        wake
    }

    fn tick_search(&self, name: &str, now: Timestamp) -> Vec<RunId> {
        let mut book = self.book();
        let is_running = book.is_running(name);
        let mut begun = Vec::new();
        let Some(entry) = book.searches.get_mut(name).filter(|entry| !entry.is_removed) else { return begun };
        let before = entry.starter.as_ref().map(|starter| starter.memory().clone());
        let actions = entry.starter.as_mut().map(|starter| starter.tick(now, is_running)).unwrap_or_default();
        let memory = entry.starter.as_ref().map(|starter| starter.memory().clone());
        for action in &actions {
            match action {
                Action::Start(due) => begun.extend(self.start_due(&mut book, name, *due)),
                Action::Replace(due) => {
                    let running: Vec<RunId> = book.running(name).cloned().collect();
                    for run in &running {
                        self.stop_for(&mut book, run);
                    }
                    begun.extend(self.start_due(&mut book, name, *due));
                }
                Action::Skipped(due) => tracing::warn!(name, %due, "a start is left out: a run is under way"),
                Action::Missed(n, last) => tracing::warn!(name, n, %last, "starts were missed"),
                Action::Queued(due) => tracing::info!(name, %due, "a start waits for the end of the run under way"),
            }
        }
        // After the runs: a start that is decided again after a crash finds its run.
        let waits = |memory: &Option<Memory>| memory.as_ref().and_then(|memory| memory.waiting);
        let is_decided = !actions.is_empty() || waits(&before) != waits(&memory);
        // A start that could not be made is decided again by the next daemon.
        if let Some(memory) = memory.filter(|_| is_decided && self.readiness().is_ok())
            && let Err(error) = self.remember(name, &memory)
        {
            self.storage_failed(&error);
        }
        if !book.is_running(name)
            && let Some(start) = book.searches.get_mut(name).and_then(|entry| entry.wants_run.take())
        {
            match self.begin(&mut book, name, start.clone()) {
                Ok(run) => begun.push(run),
                Err(error) => {
                    tracing::error!(name, %error, "a run cannot begin");
                    if let Some(entry) = book.searches.get_mut(name) {
                        entry.wants_run = Some(start);
                    }
                }
            }
        }
        begun
    }

    fn start_due(&self, book: &mut Book, name: &str, due: Timestamp) -> Option<RunId> {
        let text = due.to_string();
        let is_begun = |(run, entry): (&RunId, &super::daemon::RunEntry)| {
            run.name() == name && entry.sheet.due.as_ref() == Some(&text)
        };
        if book.runs.iter().any(is_begun) {
            return None; // before a crash
        }
        let start = Start { due: Some(due), by: "schedule".to_owned(), settings: Vec::new() };
        self.begin(book, name, start)
            .inspect_err(|error| tracing::error!(name, %due, %error, "a run cannot begin"))
            .ok()
    }

    /// Stop a run for the one that replaces it.
    fn stop_for(&self, book: &mut Book, run: &RunId) {
        let Some(entry) = book.runs.get_mut(run) else { return };
        entry.sheet.wanted = Wanted::Stopped("schedule".to_owned());
        if self.write(&entry.sheet, run).is_err() {
            return;
        }
        match &entry.wires {
            Some(wires) => drop(wires.interrupt.send_replace(true)),
            None => entry.wake.notify_waiters(),
        }
        if !entry.has_task {
            let (daemon, run) = (self.clone(), run.clone());
            tokio::spawn(async move { daemon.look_after(&run) });
        }
    }

    /// Take a search on that lies in no folder.
    pub fn submit(&self, submission: Submission) -> Result<SearchView, Refusal> {
        self.expect_ready()?;
        if submission.text.len() as u64 > MAX_FILE {
            return Err(Refusal::bad(format!("the search has {} bytes; {MAX_FILE} are enough", submission.text.len())));
        }
        if let Some(beside) = &submission.beside
            && !Path::new(beside).is_absolute()
        {
            return Err(Refusal::bad(format!("beside = {beside}: give an absolute path")));
        }
        let file = configuration::parse(&submission.text, "the submitted search", &[]).map_err(Refusal::bad)?;
        RunId::new(&file.name, 0).map_err(Refusal::bad)?;
        if let Some(schedule) = &file.schedule {
            Timetable::new(schedule, self.now()).map_err(Refusal::bad)?;
        }
        let name = file.name.clone();
        let mut book = self.book();
        if let Some(source) =
            book.searches.get(&name).filter(|entry| !entry.is_removed).and_then(|entry| entry.source.as_ref())
        {
            return Err(Refusal::conflict(format!(
                "the search `{name}` is the file {}; change that, or submit another name",
                source.display()
            )));
        }
        let path = self.submitted_folder().join(format!("{name}.json"));
        let files = self.setting().premises.state.files();
        let bytes = serde_json::to_vec_pretty(&submission).map_err(Refusal::internal)?;
        write_whole(&**files, &path, &bytes).and_then(|()| files.sync_dir(&self.submitted_folder())).map_err(
            |error| {
                let reason = format!("{}: {error}", path.display());
                self.storage_failed(&reason);
                Refusal::internal(reason)
            },
        )?;
        let path = self.path_of(&name, &submission);
        self.enter(&mut book, None, path, submission.text, file, submission.by);
        drop(book);
        self.tick();
        self.search(&name)
    }

    /// Another run of a search.
    pub fn rerun(&self, name: &str, order: &RerunOrder) -> Result<RunView, Refusal> {
        let mut book = self.book();
        let settings = order.seed.map(|seed| format!("seed={seed}")).into_iter().collect();
        let start = Start { due: None, by: order.by.clone().unwrap_or_else(|| "api".to_owned()), settings };
        let run = self.begin(&mut book, name, start)?;
        drop(book);
        self.look_after(&run);
        self.run(&run).map(|details| details.run)
    }
}

impl Book {
    /// The latest run of a search.
    pub fn last_run(&self, name: &str) -> Option<(&RunId, &super::daemon::RunEntry)> {
        self.runs.iter().filter(|(run, _)| run.name() == name).max_by_key(|(run, _)| run.number())
    }

    /// Runs of a search that are not over.
    pub fn running(&self, name: &str) -> impl Iterator<Item = &RunId> {
        let is_it = move |(run, entry): &(&RunId, &super::daemon::RunEntry)| {
            run.name() == name
                && !matches!(entry.phase, Phase::Ended(_))
                && !matches!(entry.sheet.wanted, Wanted::Stopped(_))
        };
        self.runs.iter().filter(is_it).map(|(run, _)| run)
    }

    fn is_running(&self, name: &str) -> bool {
        self.running(name).next().is_some()
    }
}

/// Changed keys of a search's file that act on the run after this one.
pub(super) fn pending(sheet: &Sheet, entry: &SearchEntry) -> Vec<String> {
    let (Ok(before), Ok(now)) = (sheet.text.parse::<toml::Table>(), entry.text.parse::<toml::Table>()) else {
        return Vec::new();
    };
    let mut keys = BTreeSet::new();
    differ("", &before, &now, &mut keys);
    let is_live = |key: &String| LIVE_KEYS.iter().any(|live| key == live || key.starts_with(&format!("{live}.")));
    // When it starts is the daemon's business.
    keys.into_iter().filter(|key| !is_live(key) && !key.starts_with("schedule") && key != "summary").collect()
}

fn differ(prefix: &str, before: &toml::Table, now: &toml::Table, out: &mut BTreeSet<String>) {
    let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for key in keys {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match (before.get(key), now.get(key)) {
            (Some(toml::Value::Table(before)), Some(toml::Value::Table(now))) => differ(&path, before, now, out),
            (before, now) if before != now => drop(out.insert(path)),
            _ => {}
        }
    }
}
