//! The contract's types as the bindings generator makes them, to and from the protocol's.
//!
//! Two directions: `guest_*` functions lower the host's values for a guest, `host_*` functions take what a
//! guest handed over. Field by field and without judgement; [`crate::validate`] judges.

use nasd_protocol as protocol;
use nasd_space as space;

use crate::bindings::{costs, exported, history, log, types};
use crate::error::{Refusal, RestoreRefusal};

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

// ---- what a guest hands over

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
        exported::Answer::Work(proposals) => {
            protocol::Answer::Work(proposals.into_iter().map(host_proposal).collect())
        }
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

fn host_features(features: types::Features) -> protocol::Features {
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

fn host_proposal(proposal: types::Proposal) -> protocol::Proposal {
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
        types::Work::TrainShared(steps) => {
            protocol::Work::TrainShared(steps.into_iter().map(host_step).collect())
        }
        types::Work::EvaluateShared(evaluation) => {
            protocol::Work::EvaluateShared(protocol::SharedEvaluation {
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
            })
        }
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
        types::InitialWeights::Inherit(inheritance) => {
            protocol::InitialWeights::Inherit(protocol::Inheritance {
                job: inheritance.job,
                origins: inheritance
                    .origins
                    .into_iter()
                    .map(|origin| protocol::NodeOrigin {
                        to: host_place(origin.to),
                        source: origin.source.map(host_place),
                    })
                    .collect(),
            })
        }
        types::InitialWeights::Resume(job) => protocol::InitialWeights::Resume(job),
        types::InitialWeights::Shared => protocol::InitialWeights::Shared,
    }
}

fn host_place(place: types::Place) -> space::Place {
    space::Place { cell: place.cell, node: place.node }
}

// ---- what a guest is given

/// Argument of `start` and `restore`.
pub fn guest_setup(setup: &protocol::Setup) -> types::Setup {
    types::Setup {
        space: guest_space(&setup.space, &setup.space_digest),
        objectives: setup
            .objectives
            .iter()
            .map(|objective| types::Objective { metric: objective.metric.clone(), goal: objective.goal.into() })
            .collect(),
        constraints: setup
            .constraints
            .iter()
            .map(|bound| types::Bound {
                metric: bound.metric.clone(),
                at_least: bound.at_least,
                at_most: bound.at_most,
            })
            .collect(),
        max_fidelity: setup.max_fidelity,
        fidelities: setup.fidelities.clone(),
        offers: guest_features(&setup.offers),
        shared_weights: setup.shared_weights.as_ref().map(|shared| types::SharedWeights {
            train_batches: shared.train_batches,
            validation_batches: shared.validation_batches,
            scheduled_steps: shared.scheduled_steps,
            steps_done: shared.steps_done,
        }),
        parameters: setup.parameters.clone(),
    }
}

/// Argument of `restore`.
pub fn guest_snapshot(snapshot: &protocol::Snapshot) -> exported::Snapshot {
    exported::Snapshot {
        format: exported::SnapshotFormat {
            name: snapshot.format.name.clone(),
            version: snapshot.format.version,
        },
        bytes: snapshot.bytes.clone(),
        needs_weights: snapshot.needs_weights.clone(),
    }
}

/// Argument of `ask`.
pub fn guest_request(request: &protocol::Request) -> exported::Request {
    exported::Request {
        slots: request.slots,
        next_id: request.next_id,
        in_flight: request.in_flight.clone(),
        jobs_left: request.jobs_left,
        budget_used: request.budget_used,
    }
}

/// Argument of `tell` and `replay`; answer of `history`.
pub fn guest_job(job: &protocol::Job) -> types::Job {
    types::Job {
        id: job.id,
        proposal: guest_proposal(&job.proposal),
        outcome: job.outcome.as_ref().map(guest_outcome),
        cost: job.cost,
    }
}

/// Argument of `judge`.
pub fn guest_point(point: &protocol::Point) -> types::Point {
    types::Point { fidelity: point.fidelity, measures: guest_measures(&point.measures) }
}

/// Answer of `costs.of`.
pub fn guest_measures(measures: &[protocol::Measure]) -> Vec<types::Measure> {
    measures
        .iter()
        .map(|measure| types::Measure { name: measure.name.clone(), value: measure.value })
        .collect()
}

/// Answer of `space.check`.
pub fn guest_failure(failure: &protocol::Failure) -> types::Failure {
    types::Failure { kind: failure.kind.into(), message: failure.message.clone() }
}

/// Answer of `costs.expected`.
pub fn guest_expected_cost(cost: protocol::ExpectedCost) -> costs::ExpectedCost {
    costs::ExpectedCost { value: cost.value, gradients: cost.gradients }
}

/// Answer of `history.priors`.
pub fn guest_prior(prior: protocol::Prior) -> history::Prior {
    history::Prior {
        search: prior.search,
        task: prior.task,
        architecture: guest_architecture(&prior.architecture),
        fidelity: prior.fidelity,
        measures: guest_measures(&prior.measures),
    }
}

fn guest_features(features: &protocol::Features) -> types::Features {
    let mut flags = types::Features::empty();
    for (flag, has) in [
        (types::Features::SHARED_WEIGHTS, features.shared_weights),
        (types::Features::MIXTURES, features.mixtures),
        (types::Features::GRADIENTS, features.gradients),
        (types::Features::UNROLLED_GRADIENTS, features.unrolled_gradients),
        (types::Features::INHERITING, features.inheriting),
        (types::Features::RESUMING, features.resuming),
        (types::Features::JUDGING, features.judging),
    ] {
        if has {
            flags |= flag;
        }
    }
    flags
}

fn guest_space(space: &space::SearchSpace, digest: &str) -> types::SearchSpace {
    types::SearchSpace {
        name: space.name.clone(),
        digest: digest.to_owned(),
        decisions: space.decisions.iter().map(guest_decision).collect(),
        counts: space
            .counts
            .iter()
            .map(|rule| types::CountRule {
                decisions: rule.decisions.clone(),
                options: rule.options.clone(),
                at_least: rule.at_least,
                at_most: rule.at_most,
            })
            .collect(),
        forbidden: space.forbidden.iter().map(|conditions| guest_conditions(conditions)).collect(),
    }
}

fn guest_conditions(conditions: &[space::Condition]) -> Vec<types::Condition> {
    conditions
        .iter()
        .map(|condition| types::Condition {
            decision: condition.decision,
            options: condition.options.clone(),
        })
        .collect()
}

fn guest_decision(decision: &space::Decision) -> types::Decision {
    types::Decision {
        name: decision.name.clone(),
        role: decision.role.into(),
        domain: match &decision.domain {
            space::Domain::Choice(options) => types::Domain::Choice(options.clone()),
            space::Domain::Levels(levels) => types::Domain::Levels(levels.clone()),
            space::Domain::Integer(range) => types::Domain::Integer(types::IntegerRange {
                low: range.low,
                high: range.high,
                log_scale: range.log_scale,
            }),
            space::Domain::Real(range) => types::Domain::Real(types::RealRange {
                low: range.low,
                high: range.high,
                log_scale: range.log_scale,
            }),
        },
        place: guest_place(&decision.place),
        sources: decision.sources.clone(),
        active_when: guest_conditions(&decision.active_when),
    }
}

fn guest_place(place: &space::Place) -> types::Place {
    types::Place { cell: place.cell, node: place.node }
}

fn guest_proposal(proposal: &protocol::Proposal) -> types::Proposal {
    types::Proposal {
        work: guest_work(&proposal.work),
        parents: proposal.parents.clone(),
        note: proposal.note.clone(),
    }
}

fn guest_work(work: &protocol::Work) -> types::Work {
    match work {
        protocol::Work::Train(training) => types::Work::Train(types::Training {
            architecture: guest_architecture(&training.architecture),
            fidelity: training.fidelity,
            schedule: training.schedule,
            initial_weights: guest_initial_weights(&training.initial_weights),
            judge_every: training.judge_every,
        }),
        protocol::Work::TrainShared(steps) => {
            types::Work::TrainShared(steps.iter().map(guest_step).collect())
        }
        protocol::Work::EvaluateShared(evaluation) => types::Work::EvaluateShared(types::SharedEvaluation {
            architectures: evaluation
                .architectures
                .iter()
                .map(|architecture| guest_architecture(architecture))
                .collect(),
            batches: match evaluation.batches {
                protocol::EvaluationBatches::All => types::EvaluationBatches::All,
                protocol::EvaluationBatches::First(n) => types::EvaluationBatches::First(n),
                protocol::EvaluationBatches::Next(n) => types::EvaluationBatches::Next(n),
            },
            batch_norm: match evaluation.batch_norm {
                protocol::BatchNormMode::BatchStatistics => types::BatchNorm::BatchStatistics,
                protocol::BatchNormMode::RunningStatistics => types::BatchNorm::RunningStatistics,
                protocol::BatchNormMode::Recalibrate(n) => types::BatchNorm::Recalibrate(n),
            },
        }),
    }
}

fn guest_step(step: &protocol::SharedStep) -> types::SharedStep {
    types::SharedStep {
        architecture: guest_architecture(&step.architecture),
        split: step.split.into(),
        same_minibatch: step.same_minibatch,
        update: step.update.into(),
        gradient: step.gradient.into(),
    }
}

fn guest_initial_weights(weights: &protocol::InitialWeights) -> types::InitialWeights {
    match weights {
        protocol::InitialWeights::ByPolicy => types::InitialWeights::ByPolicy,
        protocol::InitialWeights::Fresh => types::InitialWeights::Fresh,
        protocol::InitialWeights::Inherit(inheritance) => {
            types::InitialWeights::Inherit(types::Inheritance {
                job: inheritance.job,
                origins: inheritance
                    .origins
                    .iter()
                    .map(|origin| types::NodeOrigin {
                        to: guest_place(&origin.to),
                        source: origin.source.as_ref().map(guest_place),
                    })
                    .collect(),
            })
        }
        protocol::InitialWeights::Resume(job) => types::InitialWeights::Resume(*job),
        protocol::InitialWeights::Shared => types::InitialWeights::Shared,
    }
}

fn guest_outcome(outcome: &protocol::Outcome) -> types::Outcome {
    match outcome {
        protocol::Outcome::Trained(trained) => types::Outcome::Trained(types::Trained {
            measures: guest_measures(&trained.measures),
            curve: trained.curve.iter().map(guest_point).collect(),
            ending: trained.ending.into(),
            predicted: trained.predicted,
        }),
        protocol::Outcome::SharedSteps(results) => types::Outcome::SharedSteps(
            results
                .iter()
                .map(|result| types::StepResult {
                    measures: guest_measures(&result.measures),
                    gradients: result.gradients.clone(),
                })
                .collect(),
        ),
        protocol::Outcome::SharedEvaluations(evaluations) => types::Outcome::SharedEvaluations(
            evaluations.iter().map(|measures| guest_measures(measures)).collect(),
        ),
        protocol::Outcome::Failed(failure) => types::Outcome::Failed(guest_failure(failure)),
    }
}

#[cfg(test)]
mod tests {
    use nasd_protocol::*;
    use nasd_space::{Gene, Place, WeightedOption};

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
        let origin =
            NodeOrigin { to: Place { cell: 1, node: 2 }, source: Some(Place { cell: 3, node: 4 }) };
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
