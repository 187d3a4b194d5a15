//! Whether a strategy's answer keeps to the contract in what can be judged without the space: counts, sizes,
//! numbers, references to jobs. An answer that does not is an error of the strategy.
//!
//! Whether an architecture obeys the space is not judged here: the contract makes an invalid one a failed
//! job, which the strategy is told.

use nasd_protocol::{Answer, Descriptor, InitialWeights, JobId, Proposal, Request, Setup, SharedStep, Training, Work};
use nasd_space::{Architecture, Gene};

use crate::error::{Call, CallError};
use crate::limits::Limits;

/// What of a setup answers are judged by.
#[derive(Clone, Debug)]
pub(crate) struct SetupFacts {
    max_fidelity: u32,
    fidelities: Vec<u32>,
}

impl SetupFacts {
    pub(crate) fn new(setup: &Setup) -> Self {
        Self { max_fidelity: setup.max_fidelity, fidelities: setup.fidelities.clone() }
    }
}

/// The problem of a strategy that waits for ever.
pub(crate) const WAITS_FOR_NOTHING: &str = "it waits although nothing is in flight, so nothing will ever be told";

type Verdict = Result<(), String>;

/// Of `describe`.
pub(crate) fn descriptor(descriptor: &Descriptor, limits: &Limits) -> Result<(), CallError> {
    let problem = if descriptor.name.is_empty() {
        Some("the name is empty".to_owned())
    } else if descriptor.name.len() + descriptor.version.len() + descriptor.summary.len() > limits.note_bytes {
        Some(format!("name, version and summary take more than {} bytes", limits.note_bytes))
    } else {
        descriptor.parameters_schema.as_ref().and_then(|schema| {
            serde_json::from_str::<serde_json::Value>(schema)
                .err()
                .map(|error| format!("the parameters' schema is no JSON: {error}"))
        })
    };
    named(Call::Describe, problem.map_or(Ok(()), Err))
}

/// Of `ask`.
pub(crate) fn answer(
    answer: &Answer,
    request: &Request,
    facts: Option<&SetupFacts>,
    limits: &Limits,
) -> Result<(), CallError> {
    let verdict = match answer {
        Answer::Work(proposals) => work(proposals, request, facts, limits),
        Answer::Wait if request.in_flight.is_empty() => Err(WAITS_FOR_NOTHING.to_owned()),
        Answer::Finished(reason) if reason.len() > limits.note_bytes => {
            Err(format!("its reason to finish takes {} bytes, at most {} are allowed", reason.len(), limits.note_bytes))
        }
        Answer::Wait | Answer::Busy | Answer::Finished(_) => Ok(()),
    };
    named(Call::Ask, verdict)
}

/// Of `recommend`.
pub(crate) fn recommendation(architectures: &[Architecture], limit: u32) -> Result<(), CallError> {
    let verdict = if architectures.len() as u64 > u64::from(limit) {
        Err(format!("{} architectures where at most {limit} were asked for", architectures.len()))
    } else {
        architectures.iter().enumerate().try_for_each(|(rank, architecture)| {
            if architecture.iter().any(|gene| matches!(gene, Gene::Mixture(_))) {
                return Err(format!("architecture {rank} contains a mixture"));
            }
            finite(architecture).map_err(|problem| format!("architecture {rank}: {problem}"))
        })
    };
    named(Call::Recommend, verdict)
}

fn named(call: Call, verdict: Verdict) -> Result<(), CallError> {
    verdict.map_err(|problem| CallError::InvalidAnswer { call, problem })
}

fn work(proposals: &[Proposal], request: &Request, facts: Option<&SetupFacts>, limits: &Limits) -> Verdict {
    if proposals.is_empty() {
        return Err("work without items; without work to give it answers wait, busy or finished".to_owned());
    }
    if proposals.len() as u64 > u64::from(request.slots) {
        return Err(format!("{} items where {} slots are free", proposals.len(), request.slots));
    }
    proposals.iter().enumerate().try_for_each(|(item, proposal)| {
        one(proposal, request.next_id, facts, limits).map_err(|problem| format!("item {item}: {problem}"))
    })
}

fn one(proposal: &Proposal, next_id: JobId, facts: Option<&SetupFacts>, limits: &Limits) -> Verdict {
    if proposal.note.len() > limits.note_bytes {
        return Err(format!("its note takes {} bytes, at most {} are allowed", proposal.note.len(), limits.note_bytes));
    }
    for parent in &proposal.parents {
        exists(*parent, next_id, "parent")?;
    }
    match &proposal.work {
        Work::Train(training) => train(training, next_id, facts),
        Work::TrainShared(steps) if steps.is_empty() => Err("no shared steps".to_owned()),
        Work::TrainShared(steps) => steps
            .iter()
            .enumerate()
            .try_for_each(|(number, step)| shared_step(step).map_err(|problem| format!("step {number}: {problem}"))),
        Work::EvaluateShared(evaluation) if evaluation.architectures.is_empty() => {
            Err("nothing to evaluate".to_owned())
        }
        Work::EvaluateShared(evaluation) => {
            evaluation.architectures.iter().enumerate().try_for_each(|(number, architecture)| {
                finite(architecture).map_err(|problem| format!("architecture {number}: {problem}"))
            })
        }
    }
}

fn train(training: &Training, next_id: JobId, facts: Option<&SetupFacts>) -> Verdict {
    if let Some(facts) = facts {
        if training.fidelity > facts.max_fidelity {
            return Err(format!("fidelity {}, at most {} is possible", training.fidelity, facts.max_fidelity));
        }
        if !facts.fidelities.is_empty() && !facts.fidelities.contains(&training.fidelity) {
            return Err(format!("fidelity {}, the task answers {:?} only", training.fidelity, facts.fidelities));
        }
    }
    match &training.initial_weights {
        InitialWeights::Inherit(inheritance) => exists(inheritance.job, next_id, "job to inherit from")?,
        InitialWeights::Resume(job) => exists(*job, next_id, "job to resume")?,
        InitialWeights::ByPolicy | InitialWeights::Fresh | InitialWeights::Shared => {}
    }
    finite(&training.architecture)
}

fn shared_step(step: &SharedStep) -> Verdict {
    finite(&step.architecture)
}

fn exists(job: JobId, next_id: JobId, what: &str) -> Verdict {
    if job < next_id {
        return Ok(());
    }
    Err(format!("{what} {job} does not exist yet; the next job is {next_id}"))
}

/// Numbers are numbers, and mixtures list options in ascending order.
fn finite(architecture: &[Gene]) -> Verdict {
    architecture.iter().enumerate().try_for_each(|(position, gene)| match gene {
        Gene::Real(value) if !value.is_finite() => Err(format!("gene {position} is {value}")),
        Gene::Mixture(options) => {
            if let Some(option) = options.iter().find(|option| !option.weight.is_finite()) {
                return Err(format!("gene {position}: option {} has weight {}", option.index, option.weight));
            }
            let ascending = options.iter().zip(options.iter().skip(1)).all(|(first, next)| first.index < next.index);
            if ascending { Ok(()) } else { Err(format!("gene {position}: options are not in ascending order")) }
        }
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use nasd_protocol::{
        BatchNormMode, EvaluationBatches, Inheritance, MixtureGradient, SharedEvaluation, Split, WeightUpdate,
    };
    use nasd_space::WeightedOption;

    use super::*;

    fn training() -> Training {
        Training {
            architecture: vec![Gene::Choice(1)],
            fidelity: 4,
            schedule: 0,
            initial_weights: InitialWeights::ByPolicy,
            judge_every: 0,
        }
    }

    fn item(work: Work) -> Proposal {
        Proposal { work, parents: Vec::new(), note: String::new() }
    }

    fn step(architecture: Architecture) -> Work {
        Work::TrainShared(vec![SharedStep {
            architecture,
            split: Split::Train,
            same_minibatch: false,
            update: WeightUpdate::Apply,
            gradient: MixtureGradient::None,
        }])
    }

    fn mixture(options: &[(u32, f32)]) -> Gene {
        Gene::Mixture(options.iter().map(|&(index, weight)| WeightedOption { index, weight }).collect())
    }

    /// The problem with an answer to a request for two items, job 10 being the next.
    fn problem(answer: Answer) -> Option<String> {
        let request = Request { slots: 2, next_id: 10, in_flight: vec![9], jobs_left: None, budget_used: 0.0 };
        let facts = SetupFacts { max_fidelity: 8, fidelities: vec![2, 4, 8] };
        match super::answer(&answer, &request, Some(&facts), &Limits::default()) {
            Ok(()) => None,
            Err(CallError::InvalidAnswer { call: Call::Ask, problem }) => Some(problem),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn answers_within_the_contract_pass() {
        let inherit = InitialWeights::Inherit(Inheritance { job: 9, origins: Vec::new() });
        for answer in [
            Answer::Wait,
            Answer::Busy,
            Answer::Finished("done".to_owned()),
            Answer::Work(vec![item(Work::Train(training())); 2]),
            Answer::Work(vec![Proposal { parents: vec![0, 9], ..item(Work::Train(training())) }]),
            Answer::Work(vec![item(Work::Train(Training { initial_weights: inherit, ..training() }))]),
            Answer::Work(vec![item(step(vec![mixture(&[(0, 0.25), (2, 0.75)]), mixture(&[])]))]),
        ] {
            assert_eq!(problem(answer.clone()), None, "{answer:?}");
        }
    }

    #[test]
    fn answers_beyond_the_contract_are_named() {
        let train = |training: Training| Answer::Work(vec![item(Work::Train(training))]);
        let evaluation = SharedEvaluation {
            architectures: Vec::new(),
            batches: EvaluationBatches::All,
            batch_norm: BatchNormMode::BatchStatistics,
        };
        for (answer, expected) in [
            (Answer::Work(Vec::new()), "work without items"),
            (Answer::Work(vec![item(Work::Train(training())); 3]), "3 items where 2 slots are free"),
            (Answer::Finished("x".repeat(5_000)), "reason to finish takes 5000 bytes"),
            (Answer::Work(vec![Proposal { note: "x".repeat(5_000), ..item(step(vec![])) }]), "note takes 5000 bytes"),
            (Answer::Work(vec![Proposal { parents: vec![10], ..item(step(vec![])) }]), "parent 10 does not exist yet"),
            (train(Training { fidelity: 9, ..training() }), "fidelity 9, at most 8"),
            (train(Training { fidelity: 3, ..training() }), "fidelity 3, the task answers [2, 4, 8]"),
            (train(Training { initial_weights: InitialWeights::Resume(11), ..training() }), "job to resume 11"),
            (train(Training { architecture: vec![Gene::Real(f64::NAN)], ..training() }), "gene 0 is NaN"),
            (Answer::Work(vec![item(Work::TrainShared(Vec::new()))]), "no shared steps"),
            (Answer::Work(vec![item(Work::EvaluateShared(evaluation))]), "nothing to evaluate"),
            (Answer::Work(vec![item(step(vec![mixture(&[(0, f32::INFINITY)])]))]), "option 0 has weight inf"),
            (Answer::Work(vec![item(step(vec![mixture(&[(1, 0.5), (1, 0.5)])]))]), "ascending"),
        ] {
            let found = problem(answer.clone());
            assert!(found.as_ref().is_some_and(|found| found.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn recommendations_are_few_and_without_mixtures() {
        let choice = vec![Gene::Choice(0)];
        assert_eq!(recommendation(&[choice.clone(), choice.clone()], 2), Ok(()));
        assert!(recommendation(&[choice.clone(), choice], 1).is_err());
        assert!(recommendation(&[vec![mixture(&[(0, 1.0)])]], 1).is_err());
    }
}
