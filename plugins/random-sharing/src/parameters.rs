//! What a search file may set, and its defaults.

use nas_strategy_sdk::sharing::Normalization;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a search file may set. Numbers of samples and finalists are those of the authors' code for image
/// classification.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Weight steps in all; those the task's schedules span if absent.
    pub steps: Option<u64>,
    /// Weight steps of one job.
    pub steps_per_job: u32,
    /// Share of the search's budget, where it has one, after which training ends in any case.
    pub training_share: f64,
    /// Architectures evaluated after training.
    pub samples: u32,
    /// Architectures of one evaluation job.
    pub samples_per_job: u32,
    /// Validation minibatches of an evaluation, the same for all; 0: all there are. The authors' code takes one, another one each time.
    pub validation_batches: u32,
    /// Which statistics batch normalisation takes in evaluations: `batch-statistics`, `running-statistics` or `recalibrated`.
    pub batch_norm: Normalization,
    /// Other statistics that the samples are evaluated with as well, for reports that compare their rankings. Decides nothing.
    pub compare_batch_norm: Vec<Normalization>,
    /// Training minibatches that recalibrated statistics come from.
    pub recalibration_batches: u32,
    /// Best samples that are evaluated once more on all validation minibatches.
    pub finalists: u32,
    /// Best samples remembered.
    pub kept: u32,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            steps: None,
            steps_per_job: 50,
            training_share: 0.8,
            samples: 1_000,
            samples_per_job: 20,
            validation_batches: 10,
            batch_norm: Normalization::BatchStatistics,
            compare_batch_norm: Vec::new(),
            recalibration_batches: 25,
            finalists: 5,
            kept: 100,
        }
    }
}
