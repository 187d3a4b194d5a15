//! What a search file may set, and its defaults.

use nas_strategy_sdk::math::Adam;
use nas_strategy_sdk::{Features, random};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the logits begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Initial {
    /// At zero, as the paper says: all options weigh the same.
    Zero,
    /// At 0.001 times a standard normal draw, as the released code does.
    Normal,
}

impl Initial {
    /// The logits at the beginning.
    pub(crate) fn logits(self, n_logits: usize) -> Vec<f64> {
        match self {
            Initial::Zero => vec![0.0; n_logits],
            Initial::Normal => random::normals(n_logits as u32).into_iter().map(|draw| 1e-3 * draw).collect(),
        }
    }
}

/// What a search file may set. The defaults are the paper's for image classification (section 3.1.1 and
/// appendix A.1.1).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Parameters {
    /// 1: the gradient at the present weights; 2: through one virtual weight step.
    pub order: u32,
    /// Where the logits begin.
    pub initial: Initial,
    /// Adam's step size for the logits.
    pub learning_rate: f64,
    /// Adam's decay of the mean of gradients.
    pub beta1: f64,
    /// Adam's decay of the mean of their squares.
    pub beta2: f64,
    /// Weight decay of the logits, added to their gradient.
    pub weight_decay: f64,
    /// Epochs of weight steps before the mixtures begin to move.
    pub warm_up_epochs: u32,
    /// Skip connections in the genotype of the first (normal) cell at which the search ends, looked at after each epoch; never if absent. DARTS+ takes 2.
    pub stop_at_skips: Option<u32>,
    /// Weight steps in all; those the task's schedules span if absent.
    pub steps: Option<u64>,
    /// Whether a decision that no count rule speaks of may derive to the option `none`, as in the table of NAS-Bench-201's authors.
    pub allow_none: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            order: 1,
            initial: Initial::Zero,
            learning_rate: 3e-4,
            beta1: 0.5,
            beta2: 0.999,
            weight_decay: 1e-3,
            warm_up_epochs: 0,
            stop_at_skips: None,
            steps: None,
            allow_none: true,
        }
    }
}

impl Parameters {
    pub(crate) fn adam(&self) -> Adam {
        Adam {
            rate: self.learning_rate,
            beta1: self.beta1,
            beta2: self.beta2,
            weight_decay: self.weight_decay,
            ..Adam::default()
        }
    }

    pub(crate) fn check(&self, offers: Features) -> Result<(), String> {
        if self.stop_at_skips == Some(0) {
            return Err("stop-at-skips: at least 1, or leave it out".to_owned());
        }
        match self.order {
            1 => {}
            2 if offers.contains(Features::UNROLLED_GRADIENTS) => {}
            2 => {
                return Err("order: 2 needs unrolled gradients, which the task does not offer; use 1".to_owned());
            }
            other => return Err(format!("order: {other} is neither 1 nor 2")),
        }
        for (name, value) in [("learning-rate", self.learning_rate), ("weight-decay", self.weight_decay)] {
            if !value.is_finite() || value < 0.0 {
                return Err(format!("{name}: {value} is not a number from 0 up"));
            }
        }
        for (name, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            if !(0.0..1.0).contains(&value) {
                return Err(format!("{name}: {value} is not at least 0 and below 1"));
            }
        }
        Ok(())
    }
}
