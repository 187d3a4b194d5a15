//! What a guest is given: arguments of its calls, answers of its imports.

use nasd_protocol as protocol;
use nasd_space as space;

use super::guest_architecture;
use crate::bindings::{costs, exported, history, types};

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
        format: exported::SnapshotFormat { name: snapshot.format.name.clone(), version: snapshot.format.version },
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
    measures.iter().map(|measure| types::Measure { name: measure.name.clone(), value: measure.value }).collect()
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

pub(super) fn guest_features(features: &protocol::Features) -> types::Features {
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
        .map(|condition| types::Condition { decision: condition.decision, options: condition.options.clone() })
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
            space::Domain::Real(range) => {
                types::Domain::Real(types::RealRange { low: range.low, high: range.high, log_scale: range.log_scale })
            }
        },
        place: guest_place(&decision.place),
        sources: decision.sources.clone(),
        active_when: guest_conditions(&decision.active_when),
    }
}

fn guest_place(place: &space::Place) -> types::Place {
    types::Place { cell: place.cell, node: place.node }
}

pub(super) fn guest_proposal(proposal: &protocol::Proposal) -> types::Proposal {
    types::Proposal { work: guest_work(&proposal.work), parents: proposal.parents.clone(), note: proposal.note.clone() }
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
        protocol::Work::TrainShared(steps) => types::Work::TrainShared(steps.iter().map(guest_step).collect()),
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
        protocol::InitialWeights::Inherit(inheritance) => types::InitialWeights::Inherit(types::Inheritance {
            job: inheritance.job,
            origins: inheritance
                .origins
                .iter()
                .map(|origin| types::NodeOrigin {
                    to: guest_place(&origin.to),
                    source: origin.source.as_ref().map(guest_place),
                })
                .collect(),
        }),
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
        protocol::Outcome::SharedEvaluations(evaluations) => {
            types::Outcome::SharedEvaluations(evaluations.iter().map(|measures| guest_measures(measures)).collect())
        }
        protocol::Outcome::Failed(failure) => types::Outcome::Failed(guest_failure(failure)),
    }
}
