//! A run's sheet: what a daemon has to remember of a run beside its journal, in `sheet.json` of the run's folder.
//! It is what makes the run the daemon's, and is written before the journal.

use std::path::{Path, PathBuf};

use nasd_store::{RunId, StateFolder, write_whole};
use serde::{Deserialize, Serialize};

use crate::{configuration::Share, failure::Failed};

/// Its file's name.
const SHEET: &str = "sheet.json";

/// What an operator wants of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// That it goes on to its end.
    #[default]
    Running,
    /// That it waits.
    Paused,
    /// That it is over; who wants it.
    Stopped(String),
}

/// The sheet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Sheet {
    /// The search file's text as the run began with it.
    pub text: String,
    /// Where the file is, or would be: relative paths in it start from its folder.
    pub file: PathBuf,
    /// `key.path=value` settings over it.
    #[serde(default)]
    pub settings: Vec<String>,
    /// The start it was due for, RFC 3339; none: it was asked for, or its search has no schedule.
    #[serde(default)]
    pub due: Option<String>,
    /// Who began it.
    pub by: String,
    /// What is wanted of it.
    #[serde(default)]
    pub wanted: Wanted,
    /// Its share of the trainers now.
    #[serde(default)]
    pub share: Share,
    /// The text whose budget, slots, share and parameters it goes by now.
    #[serde(default)]
    pub applied: Option<String>,
    /// It shares history with another run: no checkpoint that its journal names is removed while it goes on.
    #[serde(default)]
    pub is_forked: bool,
}

impl Sheet {
    /// A run's sheet; none: it is no daemon's.
    pub fn read(state: &StateFolder, run: &RunId) -> Result<Option<Self>, Failed> {
        let path = path(state, run);
        if !state.files().exists(&path) {
            return Ok(None);
        }
        let bytes = state.files().read(&path).map_err(|error| at(&path, &error))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| at(&path, &error))
    }

    /// Put it there, durably.
    pub fn write(&self, state: &StateFolder, run: &RunId) -> Result<(), Failed> {
        let path = path(state, run);
        let bytes = serde_json::to_vec_pretty(self).map_err(Failed::other)?;
        let written = write_whole(&**state.files(), &path, &bytes);
        written
            .and_then(|()| state.files().sync_dir(&state.run_folder(run)))
            .map_err(|error| Failed::Storage(format!("{}: {error}", path.display())))
    }

    /// The text that counts now.
    pub fn current(&self) -> &str {
        self.applied.as_deref().unwrap_or(&self.text)
    }
}

fn path(state: &StateFolder, run: &RunId) -> PathBuf {
    state.run_folder(run).join(SHEET)
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> Failed {
    Failed::Other(format!("{}: {error}; restore it, or remove it to give the run up", path.display()))
}
