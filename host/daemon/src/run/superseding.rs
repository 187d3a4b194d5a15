//! Removes the checkpoint of a run's shared weights that a newer, durable savepoint supersedes: of a run of weeks
//! there would else be thousands.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use nasd_protocol::Event;
use nasd_store::WeightsFolder;

use crate::failure::chain;

/// What supersedes what.
#[derive(Clone)]
pub struct Superseding {
    weights: WeightsFolder,
    /// Another run was forked from this one, or this from another: nothing is removed.
    is_forked: Arc<AtomicBool>,
    current: Option<String>,
    /// Superseded by what is not yet durable.
    obsolete: Vec<String>,
}

impl Superseding {
    /// Of a run that goes on from the checkpoint `current`.
    pub fn new(weights: WeightsFolder, is_forked: Arc<AtomicBool>) -> Self {
        Self { weights, is_forked, current: None, obsolete: Vec::new() }
    }

    /// An event was journalled.
    pub fn heard(&mut self, event: &Event) {
        let Event::Savepoint { shared: Some(shared), .. } = event else { return };
        if self.current.as_ref() != Some(&shared.digest) {
            self.obsolete.extend(self.current.replace(shared.digest.clone()));
        }
    }

    /// Everything journalled is durable.
    pub fn durable(&mut self) {
        for digest in self.obsolete.drain(..) {
            if self.is_forked.load(Ordering::Relaxed) || self.current.as_ref() == Some(&digest) {
                continue;
            }
            if let Err(error) = self.weights.remove(&digest) {
                tracing::warn!(digest, error = %chain(&error), "a superseded checkpoint is not removed");
            }
        }
    }
}
