//! The contract's types as the bindings generator makes them, to and from the protocol's.
//!
//! Two directions: `guest_*` functions lower the host's values for a guest, `host_*` functions take what a
//! guest handed over. Field by field and without judgement; [`crate::validate`] judges.

mod from_guest;
mod to_guest;

use nasd_protocol as protocol;
use nasd_space as space;

use crate::bindings::{exported, log, types};

pub use from_guest::*;
pub use to_guest::*;

/// Enums whose cases have the same names on both sides.
macro_rules! same_cases {
    ($($guest:ty => $host:ty { $($case:ident),+ })+) => {$(
        impl From<$guest> for $host {
            fn from(value: $guest) -> Self {
                match value { $(<$guest>::$case => <$host>::$case),+ }
            }
        }
        impl From<$host> for $guest {
            fn from(value: $host) -> Self {
                match value { $(<$host>::$case => <$guest>::$case),+ }
            }
        }
    )+};
}

same_cases! {
    types::Role => space::Role {
        Operation, Input, Skip, Combination, Activation, Width, Depth, Kernel, Stride, Bits, Resolution,
        HyperParameter, Other
    }
    types::Goal => protocol::Goal { Maximize, Minimize }
    types::Split => protocol::Split { Train, Validation }
    types::WeightUpdate => protocol::WeightUpdate { None, Accumulate, Apply }
    types::MixtureGradient => protocol::MixtureGradient { None, Direct, Unrolled }
    types::FailureKind => protocol::FailureKind {
        InvalidArchitecture, Unsupported, OverConstraint, MissingWeights, OutOfMemory, Diverged, TimedOut,
        Infrastructure, Cancelled
    }
    types::Ending => protocol::Ending { Complete, StoppedByStrategy, StoppedByHost }
    exported::Verdict => protocol::Verdict { Proceed, Stop }
    log::Level => protocol::LogLevel { Trace, Debug, Info, Warn, Error }
}

// ---- architectures, both ways

/// For a guest.
pub fn guest_architecture(genes: &[space::Gene]) -> types::Architecture {
    genes
        .iter()
        .map(|gene| match gene {
            space::Gene::Inactive => types::Gene::Inactive,
            space::Gene::Choice(index) => types::Gene::Choice(*index),
            space::Gene::Integer(value) => types::Gene::Integer(*value),
            space::Gene::Real(value) => types::Gene::Real(*value),
            space::Gene::Mixture(options) => types::Gene::Mixture(
                options
                    .iter()
                    .map(|option| types::WeightedOption { index: option.index, weight: option.weight })
                    .collect(),
            ),
        })
        .collect()
}

/// From a guest.
pub fn host_architecture(genes: types::Architecture) -> space::Architecture {
    genes
        .into_iter()
        .map(|gene| match gene {
            types::Gene::Inactive => space::Gene::Inactive,
            types::Gene::Choice(index) => space::Gene::Choice(index),
            types::Gene::Integer(value) => space::Gene::Integer(value),
            types::Gene::Real(value) => space::Gene::Real(value),
            types::Gene::Mixture(options) => space::Gene::Mixture(
                options
                    .into_iter()
                    .map(|option| space::WeightedOption { index: option.index, weight: option.weight })
                    .collect(),
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use nasd_protocol::*;
    use nasd_space::{Gene, Place, WeightedOption};

    use super::from_guest::{host_features, host_proposal};
    use super::to_guest::{guest_features, guest_proposal};
    use super::*;

    fn genes() -> space::Architecture {
        vec![
            Gene::Inactive,
            Gene::Choice(3),
            Gene::Integer(-5),
            Gene::Real(0.25),
            Gene::Mixture(vec![WeightedOption { index: 1, weight: 0.5 }]),
        ]
    }

    #[test]
    fn every_kind_of_work_survives_the_way_to_a_guest_and_back() {
        let origin = NodeOrigin { to: Place { cell: 1, node: 2 }, source: Some(Place { cell: 3, node: 4 }) };
        let train = |initial_weights| {
            Work::Train(Training { architecture: genes(), fidelity: 1, schedule: 2, initial_weights, judge_every: 3 })
        };
        let step = |split, update, gradient| SharedStep {
            architecture: genes(),
            split,
            same_minibatch: split == Split::Train,
            update,
            gradient,
        };
        let evaluate = |batches, batch_norm| {
            Work::EvaluateShared(SharedEvaluation { architectures: vec![genes()], batches, batch_norm })
        };
        for work in [
            train(InitialWeights::ByPolicy),
            train(InitialWeights::Fresh),
            train(InitialWeights::Inherit(Inheritance { job: 7, origins: vec![origin] })),
            train(InitialWeights::Resume(8)),
            train(InitialWeights::Shared),
            Work::TrainShared(vec![
                step(Split::Train, WeightUpdate::None, MixtureGradient::None),
                step(Split::Validation, WeightUpdate::Accumulate, MixtureGradient::Direct),
                step(Split::Train, WeightUpdate::Apply, MixtureGradient::Unrolled),
            ]),
            evaluate(EvaluationBatches::All, BatchNormMode::BatchStatistics),
            evaluate(EvaluationBatches::First(2), BatchNormMode::RunningStatistics),
            evaluate(EvaluationBatches::Next(3), BatchNormMode::Recalibrate(4)),
        ] {
            let proposal = Proposal { work, parents: vec![1, 2], note: "note".to_owned() };
            assert_eq!(host_proposal(guest_proposal(&proposal)), proposal);
        }
    }

    #[test]
    fn each_feature_keeps_its_name() {
        let off = Features::default();
        for features in [
            Features { shared_weights: true, ..off },
            Features { mixtures: true, ..off },
            Features { gradients: true, ..off },
            Features { unrolled_gradients: true, ..off },
            Features { inheriting: true, ..off },
            Features { resuming: true, ..off },
            Features { judging: true, ..off },
        ] {
            assert_eq!(host_features(guest_features(&features)), features);
        }
    }
}
