//! What a search file may set, and its defaults.

use nas_strategy_sdk::sharing::Normalization;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a search file may set. Where the paper gives a number it is the default.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Weight steps in all; those the task's schedules span if absent.
    pub steps: Option<u64>,
    /// Weight steps of one job.
    pub steps_per_job: u32,
    /// Share of the search's budget, where it has one, after which training ends in any case.
    pub training_share: f64,
    /// The paper's r: at the end of training a path is dropped with probability r^(1/k), where k paths come together; so r is the probability that all of them are. The paper leaves its value open.
    pub dropout: f64,
    /// Candidates sampled and ranked.
    pub samples: u32,
    /// Candidates of one evaluation job.
    pub samples_per_job: u32,
    /// Validation minibatches of an evaluation, the same for all; 0: all there are.
    pub validation_batches: u32,
    /// Which statistics batch normalisation takes in evaluations: `batch-statistics`, `running-statistics` or `recalibrated`.
    pub batch_norm: Normalization,
    /// Training minibatches that recalibrated statistics come from.
    pub recalibration_batches: u32,
    /// Best candidates that are evaluated once more on all validation minibatches.
    pub finalists: u32,
    /// Best candidates remembered.
    pub kept: u32,
    /// Candidates that stand for chance in the comparison: the first sampled.
    pub random: u32,
    /// Whether to hand out the paper's comparison instead of the best alone: the best candidate, the smallest by parameters, a random one; then the others, best first.
    pub recommend_comparison: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            steps: None,
            steps_per_job: 50,
            training_share: 0.8,
            dropout: 0.1,
            samples: 20_000,
            samples_per_job: 500,
            validation_batches: 5,
            batch_norm: Normalization::BatchStatistics,
            recalibration_batches: 25,
            finalists: 10,
            kept: 100,
            random: 10,
            recommend_comparison: false,
        }
    }
}

impl Parameters {
    pub(crate) fn check(&self) -> Result<(), String> {
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(format!("dropout: {} is not at least 0 and below 1", self.dropout));
        }
        if self.random == 0 { Err("random: at least 1".to_owned()) } else { Ok(()) }
    }
}
