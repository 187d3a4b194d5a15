//! What a search is to do, as far as deciding goes: everything here is deterministic and part of the run's
//! configuration digest.

use nasd_protocol::{Failure, Objective, Work};
use nasd_space::Architecture;
use serde::{Deserialize, Serialize};

use crate::approximation::MedianStop;

/// When a search stops asking. Whatever is given first ends it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Budget {
    /// Jobs handed out, failed and refused ones included.
    pub jobs: Option<u64>,
    /// Epochs of training in all (of the full training data).
    pub epochs: Option<f64>,
    /// Weight updates on shared weights.
    pub updates: Option<u64>,
    /// The search's own clock: what a table says training took, or epochs where there is no table.
    pub simulated_seconds: Option<f64>,
    /// Real time since the run began, interruptions excluded. Gives up exact resume.
    pub wall_seconds: Option<f64>,
    /// Seconds that trainers spend on jobs, tries that were lost excluded. Gives up exact resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_seconds: Option<f64>,
    /// A point in time, RFC 3339 (`2026-12-24T18:00:00Z`). Gives up exact resume.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
}

/// In what order results are delivered to the strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// By a clock that each job advances by its deterministic cost: the run is the same on any number of
    /// trainers.
    #[default]
    Virtual,
    /// As they come. The journal keeps the order.
    Arrival,
}

/// The deciding part of a search's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Plan {
    /// First is foremost.
    pub objectives: Vec<Objective>,
    /// When it stops asking.
    pub budget: Budget,
    /// Jobs in flight at most.
    pub slots: u32,
    /// Order of delivery.
    pub order: Order,
    /// Full training, in epochs.
    pub max_fidelity: u32,
    /// A savepoint after so many told jobs.
    pub savepoint_every: u64,
    /// Tries of a job whose trainer was lost.
    pub max_attempts: u32,
    /// Architectures asked for at the end.
    pub recommend: u32,
    /// The host's own early stopping.
    pub median_stop: Option<MedianStop>,
}

/// What the engine has to know of a task.
pub trait TaskModel: Send + Sync {
    /// Time on the search's clock that `work` takes when it runs to its end, `resumed_from` being the fidelity
    /// its training starts from. Positive, deterministic.
    fn duration(&self, work: &Work, resumed_from: u32) -> f64;

    /// Epochs of the full training data that `work` takes when it runs to its end. A search's clock may count
    /// something else; where it does not, they are the duration.
    fn epochs(&self, work: &Work, resumed_from: u32) -> f64 {
        self.duration(work, resumed_from)
    }

    /// Whether a stand-alone architecture may be trained.
    fn check(&self, architecture: &Architecture) -> Result<(), Failure>;

    /// Whether shared work may use this architecture, mixtures included.
    fn check_shared(&self, architecture: &Architecture) -> Result<(), Failure>;

    /// Whether the task has shared weights.
    fn has_shared_weights(&self) -> bool;

    /// Whether finished jobs' weights are kept, so that they can be resumed and inherited.
    fn keeps_weights(&self) -> bool;
}
