//! Making proposals.

pub use crate::bindings::nas::strategy::types::Proposal;
use crate::{
    Architecture, BatchNorm, EvaluationBatches, Gene, InitialWeights, JobId, MixtureGradient, SharedEvaluation,
    SharedStep, Split, Training, WeightUpdate, WeightedOption, Work,
};

impl From<Work> for Proposal {
    fn from(work: Work) -> Self {
        Proposal { work, parents: Vec::new(), note: String::new() }
    }
}

impl Proposal {
    /// Train one architecture by itself for `fidelity` units, its initial weights by the search's policy.
    pub fn train(architecture: Architecture, fidelity: u32) -> Self {
        let initial_weights = InitialWeights::ByPolicy;
        Work::Train(Training { architecture, fidelity, schedule: 0, initial_weights, judge_every: 0 }).into()
    }

    /// Steps on the shared weights, in order.
    pub fn train_shared(steps: Vec<SharedStep>) -> Self {
        Work::TrainShared(steps).into()
    }

    /// Evaluate architectures with the shared weights, all on the same batches.
    pub fn evaluate_shared(
        architectures: Vec<Architecture>,
        batches: EvaluationBatches,
        batch_norm: BatchNorm,
    ) -> Self {
        Work::EvaluateShared(SharedEvaluation { architectures, batches, batch_norm }).into()
    }

    /// Lineage: finished jobs this was derived from.
    pub fn parents(mut self, parents: impl IntoIterator<Item = JobId>) -> Self {
        self.parents = parents.into_iter().collect();
        self
    }

    /// A note, kept with the job and given back.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Where a training takes its weights from. Of no effect on shared work.
    pub fn weights(mut self, initial_weights: InitialWeights) -> Self {
        if let Work::Train(training) = &mut self.work {
            training.initial_weights = initial_weights;
        }
        self
    }

    /// Let `judge` be asked after every so many units of a training. Of no effect on shared work.
    pub fn judged_every(mut self, units: u32) -> Self {
        if let Work::Train(training) = &mut self.work {
            training.judge_every = units;
        }
        self
    }
}

impl SharedStep {
    /// A step of the shared weights on the next training minibatch.
    pub fn weights(architecture: Architecture) -> Self {
        Self {
            architecture,
            split: Split::Train,
            same_minibatch: false,
            update: WeightUpdate::Apply,
            gradient: MixtureGradient::None,
        }
    }

    /// The gradient with respect to the mixtures on the next validation minibatch; no weight changes.
    pub fn mixtures(architecture: Architecture, gradient: MixtureGradient) -> Self {
        Self { architecture, split: Split::Validation, same_minibatch: false, update: WeightUpdate::None, gradient }
    }
}

impl Gene {
    /// A mixture of all options, in order.
    pub fn mixture_of(weights: impl IntoIterator<Item = f64>) -> Self {
        let listed = weights.into_iter().zip(0..);
        Gene::Mixture(listed.map(|(weight, index)| WeightedOption { index, weight: weight as f32 }).collect())
    }

    /// The option of a `choice`.
    pub fn chosen(&self) -> Option<u32> {
        match self {
            Gene::Choice(option) => Some(*option),
            _ => None,
        }
    }
}
