//! What changes during a search.

use nas_strategy_sdk::math::AdamMoments;
use nas_strategy_sdk::{MixtureGradient, SharedStep, WeightUpdate};
use serde::{Deserialize, Serialize};

/// Logits and where in the alternation of the two kinds of steps the search stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Of all options of all mixtures, one after the other.
    pub logits: Vec<f64>,
    /// Adam's.
    pub moments: AdamMoments,
    /// Weight steps told, failed ones too.
    pub steps: u64,
    /// Whether the next step is one of the weights: a gradient came since the last.
    pub weights_are_due: bool,
    /// Failed jobs since the last that did not fail.
    pub failures: u32,
    /// What the last failure said.
    pub last_failure: String,
    /// Gradients that moved the logits.
    #[serde(default)]
    pub gradients: u64,
    /// Skip connections of the first cell when there were too many of them.
    #[serde(default)]
    pub collapsed: Option<u32>,
}

impl State {
    pub(crate) fn new(logits: Vec<f64>, steps: u64) -> Self {
        let moments = AdamMoments::new(logits.len());
        Self {
            logits,
            moments,
            steps,
            weights_are_due: false,
            failures: 0,
            last_failure: String::new(),
            gradients: 0,
            collapsed: None,
        }
    }

    /// A step was made, or its minibatch used up.
    pub(crate) fn passed(&mut self, step: &SharedStep) {
        if step.update == WeightUpdate::Apply {
            self.weights_are_due = false;
        }
        if step.gradient != MixtureGradient::None {
            self.weights_are_due = true;
        }
    }
}
