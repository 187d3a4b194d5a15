//! What a search file may set, and its defaults.

use nas_strategy_sdk::math::Adam;
use nas_strategy_sdk::sharing::Normalization;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a search file may set. The defaults are those of the released code's micro search on CIFAR-10 (Pham et al.,
/// ICML 2018); for its macro search: learning-rate 0.001, tanh-constant 1.5, operation-tanh-reduce 1,
/// operation-bias 0, first-cell-bias 0, controller-steps 50, aggregate 20.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// Weight steps in all; those the task's schedules span if absent.
    pub steps: Option<u64>,
    /// Weight steps of one job, each on a path of its own.
    pub steps_per_job: u32,
    /// Share of the search's budget, where it has one, after which the search derives its architecture.
    pub training_share: f64,
    /// Dimensions of the controller's memory and embeddings. 64 in the code, 100 in the paper.
    pub controller_size: u32,
    /// The controller's weights begin evenly within this distance of zero.
    pub initial_range: f64,
    /// Adam's step size. Its beta1 is 0, its epsilon 0.001.
    pub learning_rate: f64,
    /// Updates of the controller after each epoch of weight steps.
    pub controller_steps: u32,
    /// Architectures whose gradients one update takes the mean of, each rewarded by a validation minibatch of its own.
    pub aggregate: u32,
    /// Share of the baseline that each reward keeps of it.
    pub baseline_decay: f64,
    /// Weight of an architecture's entropy in its reward.
    pub entropy_weight: f64,
    /// Logits become `constant * tanh(logit)`; 0: they stay.
    pub tanh_constant: f64,
    /// Divides that constant for operations.
    pub operation_tanh_reduce: f64,
    /// Divides logits before that; 0: they stay.
    pub temperature: f64,
    /// Learned bias that operations with `conv` in their name begin with.
    pub operation_bias: f64,
    /// Fixed bias in the first cell: for operations with `conv` in their name, and against the others.
    pub first_cell_bias: f64,
    /// Share of skip connections that the controller is drawn to, where the space has any.
    pub skip_target: f64,
    /// Weight of the divergence from it.
    pub skip_weight: f64,
    /// Architectures sampled at the end, of which the best is handed out.
    pub samples: u32,
    /// Validation minibatches they are evaluated on, the same for all; 0: all there are. The paper takes one.
    pub validation_batches: u32,
    /// Which statistics batch normalisation takes then: `batch-statistics`, `running-statistics` or `recalibrated`.
    pub batch_norm: Normalization,
    /// Training minibatches that recalibrated statistics come from.
    pub recalibration_batches: u32,
}

/// Larger memories make snapshots of many megabytes.
const MAX_SIZE: u32 = 256;

impl Default for Parameters {
    fn default() -> Self {
        Self {
            steps: None,
            steps_per_job: 50,
            training_share: 0.9,
            controller_size: 64,
            initial_range: 0.1,
            learning_rate: 0.0035,
            controller_steps: 30,
            aggregate: 10,
            baseline_decay: 0.99,
            entropy_weight: 1e-4,
            tanh_constant: 1.10,
            operation_tanh_reduce: 2.5,
            temperature: 0.0,
            operation_bias: 10.0,
            first_cell_bias: 0.25,
            skip_target: 0.4,
            skip_weight: 0.8,
            samples: 10,
            validation_batches: 1,
            batch_norm: Normalization::BatchStatistics,
            recalibration_batches: 25,
        }
    }
}

impl Parameters {
    pub(crate) fn adam(&self) -> Adam {
        Adam { rate: self.learning_rate, beta1: 0.0, epsilon: 1e-3, epsilon_first: true, ..Adam::default() }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let counts = [
            ("controller-size", self.controller_size),
            ("controller-steps", self.controller_steps),
            ("aggregate", self.aggregate),
            ("samples", self.samples),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(format!("{name}: at least 1"));
        }
        if self.controller_size > MAX_SIZE {
            return Err(format!("controller-size: {} is more than {MAX_SIZE}", self.controller_size));
        }
        let from_zero_up = [
            ("initial-range", self.initial_range),
            ("learning-rate", self.learning_rate),
            ("entropy-weight", self.entropy_weight),
            ("tanh-constant", self.tanh_constant),
            ("temperature", self.temperature),
            ("operation-bias", self.operation_bias),
            ("first-cell-bias", self.first_cell_bias),
            ("skip-weight", self.skip_weight),
        ];
        if let Some((name, value)) = from_zero_up.into_iter().find(|(_, value)| !(value.is_finite() && *value >= 0.0)) {
            return Err(format!("{name}: {value} is not a number from 0 up"));
        }
        if !(self.operation_tanh_reduce.is_finite() && self.operation_tanh_reduce > 0.0) {
            return Err(format!("operation-tanh-reduce: {} is not a number above 0", self.operation_tanh_reduce));
        }
        if !(0.0..1.0).contains(&self.baseline_decay) {
            return Err(format!("baseline-decay: {} is not at least 0 and below 1", self.baseline_decay));
        }
        if !(self.skip_target > 0.0 && self.skip_target < 1.0) {
            return Err(format!("skip-target: {} is not between 0 and 1", self.skip_target));
        }
        Ok(())
    }
}
