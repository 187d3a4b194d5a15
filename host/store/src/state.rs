//! The state folder: where runs, weights, components and the result store lie, and who may write there.
//!
//! ```text
//! <state>/lock                        held by the one process that writes
//! <state>/runs/<name>/<number>/journal    the truth about a run
//! <state>/weights/<digest>            weights, see [`crate::weights`]
//! <state>/components/<digest>         strategies as they ran
//! <state>/quarantine/<digest>         components that failed in a run
//! <state>/results/                    sled: an index, made again from the journals at need
//! ```

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{
    files::{FileLock, Files, RealFiles},
    weights::WeightsFolder,
};

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process writes there.
    #[error(
        "the state folder {} is in use by another nasd; stop that one, or choose another folder with --state",
        path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// There is nothing to read.
    #[error("there is no state folder {}; `nasd run` makes one, --state names another", path.display())]
    Absent {
        /// The folder.
        path: PathBuf,
    },
    /// A name that cannot be a folder's.
    #[error("{name:?} cannot name a run: use 1 to 100 letters, digits, `-`, `_` and `.`, a letter or digit first")]
    BadName {
        /// What was given.
        name: String,
    },
    /// Not `name/number`.
    #[error("{text:?} does not name a run: write its name and number, as in `cifar10/17`")]
    BadRun {
        /// What was given.
        text: String,
    },
    /// Opened for reading only.
    #[error("the state folder {} was opened for reading only", path.display())]
    ReadOnly {
        /// The folder.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("{what} {} failed", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A run: `name/17`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId {
    name: String,
    number: u32,
}

impl RunId {
    /// The run with this number of a search with this name. The name becomes a folder: 1 to 100 ASCII letters,
    /// digits, `-`, `_` and `.`, the first a letter or digit.
    pub fn new(name: &str, number: u32) -> Result<Self, StateError> {
        let begins_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !begins_well || name.len() > 100 || !name.bytes().all(allowed) {
            return Err(StateError::BadName { name: name.to_owned() });
        }
        Ok(Self { name: name.to_owned(), number })
    }

    /// The search's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The run's number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.number)
    }
}

impl FromStr for RunId {
    type Err = StateError;

    fn from_str(text: &str) -> Result<Self, StateError> {
        let parts = text.split_once('/').and_then(|(name, number)| Some((name, parse_number(number)?)));
        let (name, number) = parts.ok_or_else(|| StateError::BadRun { text: text.to_owned() })?;
        Self::new(name, number)
    }
}

/// A run's number as it is written: no signs, no zeros in front.
fn parse_number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

/// A state folder.
#[derive(Debug)]
pub struct StateFolder {
    files: Files,
    root: PathBuf,
    lock: Option<Box<dyn FileLock>>,
}

impl StateFolder {
    /// Open for writing, alone; made if absent.
    pub fn open(root: &Path) -> Result<Self, StateError> {
        Self::open_with(RealFiles::shared(), root)
    }

    /// As [`StateFolder::open`], on files of one's own.
    pub fn open_with(files: Files, root: &Path) -> Result<Self, StateError> {
        let mut state = Self { files, root: root.to_owned(), lock: None };
        for folder in [root.to_owned(), state.runs_folder(), state.weights_folder(), state.components_folder()] {
            let made = state.files.create_dir_all(&folder);
            made.map_err(|source| StateError::Io { what: "making", path: folder, source })?;
        }
        let lock = root.join("lock");
        match state.files.lock(&lock) {
            Ok(lock) => state.lock = Some(lock),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(StateError::InUse { path: root.to_owned() });
            }
            Err(source) => return Err(StateError::Io { what: "locking", path: lock, source }),
        }
        state.sync(root)?;
        if let Some(parent) = root.parent() {
            // Not every system lets everyone sync the folder above; then the folder is durable a little later.
            let _ = state.files.sync_dir(parent);
        }
        Ok(state)
    }

    /// Open for reading, also beside a process that writes.
    pub fn read_only(root: &Path) -> Result<Self, StateError> {
        Self::read_only_with(RealFiles::shared(), root)
    }

    /// As [`StateFolder::read_only`], on files of one's own.
    pub fn read_only_with(files: Files, root: &Path) -> Result<Self, StateError> {
        if !files.exists(&root.join("runs")) {
            return Err(StateError::Absent { path: root.to_owned() });
        }
        Ok(Self { files, root: root.to_owned(), lock: None })
    }

    fn sync(&self, folder: &Path) -> Result<(), StateError> {
        let synced = self.files.sync_dir(folder);
        synced.map_err(|source| StateError::Io { what: "syncing", path: folder.to_owned(), source })
    }

    /// The files it lies on.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether this holder may write.
    pub fn is_writable(&self) -> bool {
        self.lock.is_some()
    }

    fn runs_folder(&self) -> PathBuf {
        self.root.join("runs")
    }

    fn weights_folder(&self) -> PathBuf {
        self.root.join("weights")
    }

    /// Folder of strategies as they ran.
    pub fn components_folder(&self) -> PathBuf {
        self.root.join("components")
    }

    /// Folder of the result store.
    pub fn results_folder(&self) -> PathBuf {
        self.root.join("results")
    }

    /// The weights.
    pub fn weights(&self) -> WeightsFolder {
        WeightsFolder::new(self.files.clone(), &self.weights_folder())
    }

    /// Components that failed.
    pub fn quarantine(&self) -> crate::quarantine::Quarantine {
        crate::quarantine::Quarantine::new(self.files.clone(), &self.root.join("quarantine"))
    }

    /// A run's folder.
    pub fn run_folder(&self, run: &RunId) -> PathBuf {
        self.runs_folder().join(&run.name).join(run.number.to_string())
    }

    /// A run's journal.
    pub fn journal_path(&self, run: &RunId) -> PathBuf {
        self.run_folder(run).join("journal")
    }

    fn list(&self, folder: &Path) -> Result<Vec<String>, StateError> {
        match self.files.list(folder) {
            Ok(names) => Ok(names),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(StateError::Io { what: "listing", path: folder.to_owned(), source }),
        }
    }

    /// Numbers of a search's runs, ascending.
    fn numbers(&self, name: &str) -> Result<Vec<u32>, StateError> {
        let folder = self.runs_folder().join(name);
        let mut numbers: Vec<u32> = self.list(&folder)?.iter().filter_map(|number| parse_number(number)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Runs that have a journal, by name and number. Other files and folders are passed over.
    pub fn runs(&self) -> Result<Vec<RunId>, StateError> {
        let mut runs = Vec::new();
        for name in self.list(&self.runs_folder())? {
            if RunId::new(&name, 0).is_err() {
                continue;
            }
            for number in self.numbers(&name)? {
                let run = RunId { name: name.clone(), number };
                if self.files.exists(&self.journal_path(&run)) {
                    runs.push(run);
                }
            }
        }
        Ok(runs)
    }

    /// Make the folder of a search's next run, durably: numbers go on from the highest that has a journal (a folder
    /// without one is of a run that was killed before it began).
    pub fn create_run(&self, name: &str) -> Result<RunId, StateError> {
        if !self.is_writable() {
            return Err(StateError::ReadOnly { path: self.root.clone() });
        }
        RunId::new(name, 0)?;
        let has_journal = |number: &u32| {
            let run = RunId { name: name.to_owned(), number: *number };
            self.files.exists(&self.journal_path(&run))
        };
        let last = self.numbers(name)?.into_iter().rev().find(has_journal);
        let run = RunId::new(name, last.unwrap_or(0).saturating_add(1))?;
        let folder = self.run_folder(&run);
        let made = self.files.create_dir_all(&folder);
        made.map_err(|source| StateError::Io { what: "making", path: folder, source })?;
        self.sync(&self.runs_folder().join(name))?;
        self.sync(&self.runs_folder())?;
        Ok(run)
    }
}
