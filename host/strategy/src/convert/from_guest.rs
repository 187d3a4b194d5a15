//! What a guest hands over: answers, snapshots, errors, arguments of imports.

use nasd_protocol as protocol;
use nasd_space as space;

use super::host_architecture;
use crate::bindings::{exported, types};
use crate::error::{Refusal, RestoreRefusal};

/// A bound of `space.sample`.
pub fn host_bound(bound: types::Bound) -> protocol::Bound {
    protocol::Bound { metric: bound.metric, at_least: bound.at_least, at_most: bound.at_most }
}

/// What `describe` returned.
pub fn host_descriptor(descriptor: exported::Descriptor) -> protocol::Descriptor {
    protocol::Descriptor {
        name: descriptor.name,
        version: descriptor.version,
        summary: descriptor.summary,
        parameters_schema: descriptor.parameters_schema,
        reads: descriptor.reads.into_iter().map(host_format).collect(),
        needs: host_features(descriptor.needs),
    }
}

/// What `save` returned.
pub fn host_snapshot(snapshot: exported::Snapshot) -> protocol::Snapshot {
    protocol::Snapshot {
        format: host_format(snapshot.format),
        bytes: snapshot.bytes,
        needs_weights: snapshot.needs_weights,
    }
}

/// What `ask` returned.
pub fn host_answer(answer: exported::Answer) -> protocol::Answer {
    match answer {
        exported::Answer::Work(proposals) => protocol::Answer::Work(proposals.into_iter().map(host_proposal).collect()),
        exported::Answer::Wait => protocol::Answer::Wait,
        exported::Answer::Busy => protocol::Answer::Busy,
        exported::Answer::Finished(reason) => protocol::Answer::Finished(reason),
    }
}

/// A strategy's own error.
pub fn host_refusal(error: exported::StrategyError) -> Refusal {
    match error {
        exported::StrategyError::InvalidParameters(message) => Refusal::InvalidParameters(message),
        exported::StrategyError::UnsupportedSpace(message) => Refusal::UnsupportedSpace(message),
        exported::StrategyError::Internal(message) => Refusal::Internal(message),
    }
}

/// A strategy's reason not to restore.
pub fn host_restore_refusal(error: exported::RestoreError) -> RestoreRefusal {
    match error {
        exported::RestoreError::UnknownFormat => RestoreRefusal::UnknownFormat,
        exported::RestoreError::Corrupt(message) => RestoreRefusal::Corrupt(message),
        exported::RestoreError::IncompatibleSetup(message) => RestoreRefusal::IncompatibleSetup(message),
    }
}

fn host_format(format: exported::SnapshotFormat) -> protocol::SnapshotFormat {
    protocol::SnapshotFormat { name: format.name, version: format.version }
}

pub(super) fn host_features(features: types::Features) -> protocol::Features {
    protocol::Features {
        shared_weights: features.contains(types::Features::SHARED_WEIGHTS),
        mixtures: features.contains(types::Features::MIXTURES),
        gradients: features.contains(types::Features::GRADIENTS),
        unrolled_gradients: features.contains(types::Features::UNROLLED_GRADIENTS),
        inheriting: features.contains(types::Features::INHERITING),
        resuming: features.contains(types::Features::RESUMING),
        judging: features.contains(types::Features::JUDGING),
    }
}

pub(super) fn host_proposal(proposal: types::Proposal) -> protocol::Proposal {
    protocol::Proposal { work: host_work(proposal.work), parents: proposal.parents, note: proposal.note }
}

fn host_work(work: types::Work) -> protocol::Work {
    match work {
        types::Work::Train(training) => protocol::Work::Train(protocol::Training {
            architecture: host_architecture(training.architecture),
            fidelity: training.fidelity,
            schedule: training.schedule,
            initial_weights: host_initial_weights(training.initial_weights),
            judge_every: training.judge_every,
        }),
        types::Work::TrainShared(steps) => protocol::Work::TrainShared(steps.into_iter().map(host_step).collect()),
        types::Work::EvaluateShared(evaluation) => protocol::Work::EvaluateShared(protocol::SharedEvaluation {
            architectures: evaluation.architectures.into_iter().map(host_architecture).collect(),
            batches: match evaluation.batches {
                types::EvaluationBatches::All => protocol::EvaluationBatches::All,
                types::EvaluationBatches::First(n) => protocol::EvaluationBatches::First(n),
                types::EvaluationBatches::Next(n) => protocol::EvaluationBatches::Next(n),
            },
            batch_norm: match evaluation.batch_norm {
                types::BatchNorm::BatchStatistics => protocol::BatchNormMode::BatchStatistics,
                types::BatchNorm::RunningStatistics => protocol::BatchNormMode::RunningStatistics,
                types::BatchNorm::Recalibrate(n) => protocol::BatchNormMode::Recalibrate(n),
            },
        }),
    }
}

fn host_step(step: types::SharedStep) -> protocol::SharedStep {
    protocol::SharedStep {
        architecture: host_architecture(step.architecture),
        split: step.split.into(),
        same_minibatch: step.same_minibatch,
        update: step.update.into(),
        gradient: step.gradient.into(),
    }
}

fn host_initial_weights(weights: types::InitialWeights) -> protocol::InitialWeights {
    match weights {
        types::InitialWeights::ByPolicy => protocol::InitialWeights::ByPolicy,
        types::InitialWeights::Fresh => protocol::InitialWeights::Fresh,
        types::InitialWeights::Inherit(inheritance) => protocol::InitialWeights::Inherit(protocol::Inheritance {
            job: inheritance.job,
            origins: inheritance
                .origins
                .into_iter()
                .map(|origin| protocol::NodeOrigin { to: host_place(origin.to), source: origin.source.map(host_place) })
                .collect(),
        }),
        types::InitialWeights::Resume(job) => protocol::InitialWeights::Resume(job),
        types::InitialWeights::Shared => protocol::InitialWeights::Shared,
    }
}

fn host_place(place: types::Place) -> space::Place {
    space::Place { cell: place.cell, node: place.node }
}
