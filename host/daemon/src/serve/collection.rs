//! What need not be kept: weights and components that no journal names any more.
//!
//! Everything is collected when a daemon starts, before any run writes. While it runs, each run removes the checkpoint
//! of its shared weights that a newer savepoint supersedes (see [`crate::run::Conduct`]).

use std::collections::{BTreeMap, BTreeSet};

use nasd_protocol::{Event, Record};
use nasd_store::{JournalReader, StateFolder};

use crate::failure::Failed;

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Weights files.
    pub weights: u64,
    /// Components.
    pub components: u64,
}

/// What the journals name.
#[derive(Default)]
struct Roots {
    weights: BTreeSet<String>,
    components: BTreeSet<String>,
}

/// Remove what no journal names. A journal that cannot be read names everything: then nothing is removed.
pub fn collect(state: &StateFolder) -> Result<Removed, Failed> {
    let mut roots = Roots::default();
    for run in state.runs().map_err(Failed::other)? {
        let reader = JournalReader::open(state.files(), &state.journal_path(&run)).map_err(Failed::other)?;
        let mut of_run = OfRun::default();
        for record in reader {
            of_run.enter(&record.map_err(Failed::other)?, &mut roots);
        }
        of_run.finish(&mut roots);
    }
    let weights = state.weights().collect(&roots.weights).map_err(Failed::other)?;
    let mut removed = Removed { weights: weights.removed, components: 0 };
    let (files, folder) = (state.files(), state.components_folder());
    for name in files.list(&folder).unwrap_or_default() {
        let Some(digest) = name.strip_suffix(".wasm") else { continue };
        if !roots.components.contains(digest) && files.remove(&folder.join(&name)).is_ok() {
            removed.components += 1;
        }
    }
    Ok(removed)
}

/// What one run's journal names.
#[derive(Default)]
struct OfRun {
    jobs: BTreeSet<String>,
    finals: BTreeSet<String>,
    /// Of final trainings under way.
    saved: BTreeMap<(u32, u32), String>,
    checkpoint: Option<String>,
    keeps_all: bool,
    is_over: bool,
    is_forked: bool,
}

impl OfRun {
    fn enter(&mut self, record: &Record, roots: &mut Roots) {
        match &record.event {
            Event::Begun { configuration, strategy, .. } => {
                roots.components.insert(strategy.digest.clone());
                let configuration: serde_json::Value = serde_json::from_str(configuration).unwrap_or_default();
                let keep = configuration.pointer("/search/weights/keep").and_then(serde_json::Value::as_str);
                self.keeps_all = keep == Some("all");
            }
            Event::Swapped { to, .. } => drop(roots.components.insert(to.digest.clone())),
            Event::Arrived { weights: Some(weights), .. } => drop(self.jobs.insert(weights.clone())),
            Event::FinallySaved { rank, repetition, weights, .. } => {
                self.saved.insert((*rank, *repetition), weights.clone());
            }
            Event::FinallyTrained { rank, repetition, weights, .. } => {
                self.saved.remove(&(*rank, *repetition));
                self.finals.extend(weights.clone());
            }
            Event::Savepoint { shared: Some(shared), .. } => {
                // A fork goes on from where it was forked, until it has a savepoint of its own.
                if self.is_forked {
                    self.finals.extend(self.checkpoint.take());
                }
                self.checkpoint = Some(shared.digest.clone());
            }
            Event::Forked { .. } => self.is_forked = true,
            Event::Ended { .. } => self.is_over = true,
            _ => {}
        }
    }

    fn finish(self, roots: &mut Roots) {
        roots.weights.extend(self.finals);
        roots.weights.extend(self.saved.into_values());
        roots.weights.extend(self.checkpoint);
        if self.keeps_all || !self.is_over {
            roots.weights.extend(self.jobs);
        }
    }
}
