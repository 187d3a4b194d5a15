//! A task without a network: scores and losses are functions of an architecture's genes and of the jobs before.
//!
//! Every gene is worth a fixed amount, so that a strategy finds something to climb; training approaches the sum
//! of them, shared steps lower a loss, and gradients point where the worth is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use nasd_protocol::{
    Bound, Ending, ExpectedCost, Failure, FailureKind, Job, JobId, LogLevel, Measure, MixtureGradient, Outcome, Point,
    Prior, SharedStep, StepResult, Trained, Training, WeightUpdate, Work,
};
use nasd_space::{Architecture, Gene, Prepared, RandomSource, SearchSpace, architecture_digest};

use crate::services::{HistoryService, LogSink, SpaceService};

/// Tries of `sample` with bounds.
const MAX_TRIES: u32 = 1_000;

/// Space and costs of a simulated search.
pub(crate) struct SimulatedSpace {
    space: Prepared<SearchSpace>,
}

impl SimulatedSpace {
    pub(crate) fn new(space: SearchSpace) -> Result<Self, String> {
        Prepared::new(space).map(|space| Self { space }).map_err(|error| error.to_string())
    }

    fn invalid(message: String) -> Failure {
        Failure { kind: FailureKind::InvalidArchitecture, message }
    }

    /// Whether a job's architectures may be used as it uses them.
    pub(crate) fn check_work(&self, work: &Work) -> Result<(), Failure> {
        let shared = |architecture: &Architecture| {
            self.space.space().check_shared(architecture).map_err(|broken| Self::invalid(broken.to_string()))
        };
        match work {
            Work::Train(training) => self.check(&training.architecture),
            Work::TrainShared(steps) => steps.iter().try_for_each(|step| shared(&step.architecture)),
            Work::EvaluateShared(evaluation) => evaluation.architectures.iter().try_for_each(shared),
        }
    }
}

impl SpaceService for SimulatedSpace {
    fn sample(&self, random: &mut dyn RandomSource, bounds: &[Bound]) -> Result<Architecture, String> {
        for _ in 0..MAX_TRIES {
            let architecture = self.space.sample(random).map_err(|error| error.to_string())?;
            let costs = self.costs(&architecture)?;
            let within = bounds.iter().all(|bound| {
                Measure::find(&costs, &bound.metric).is_some_and(|cost| {
                    bound.at_least.is_none_or(|least| cost >= least) && bound.at_most.is_none_or(|most| cost <= most)
                })
            });
            if within {
                return Ok(architecture);
            }
        }
        Err(format!("no architecture within the bounds in {MAX_TRIES} tries"))
    }

    fn open_options(&self, prefix: &[Gene]) -> Result<Vec<u32>, String> {
        self.space.open_options(prefix).map_err(|error| error.to_string())
    }

    fn mutate(
        &self,
        random: &mut dyn RandomSource,
        parent: &Architecture,
        changes: u32,
        among: &[u32],
    ) -> Result<Architecture, String> {
        self.space.mutate(random, parent, changes, among).map_err(|error| error.to_string())
    }

    fn crossover(
        &self,
        random: &mut dyn RandomSource,
        first: &Architecture,
        second: &Architecture,
    ) -> Result<Architecture, String> {
        self.space.crossover(random, first, second).map_err(|error| error.to_string())
    }

    fn repair(&self, random: &mut dyn RandomSource, architecture: &Architecture) -> Result<Architecture, String> {
        self.space.repair(random, architecture).map_err(|error| error.to_string())
    }

    fn neighbours(&self, of: &Architecture, among: &[u32]) -> Result<Vec<Architecture>, String> {
        self.space.neighbours(of, among).map_err(|error| error.to_string())
    }

    fn check(&self, architecture: &Architecture) -> Result<(), Failure> {
        self.space.space().check(architecture).map_err(|broken| Self::invalid(broken.to_string()))
    }

    fn identity(&self, architecture: &Architecture) -> Result<String, String> {
        Ok(architecture_digest(architecture))
    }

    fn costs(&self, architecture: &Architecture) -> Result<Vec<Measure>, String> {
        let params: f64 = architecture.iter().map(|gene| 100.0 * (1.0 + magnitude(gene))).sum();
        Ok(vec![Measure::new("params", params), Measure::new("flops", 64.0 * params)])
    }

    fn expected_cost(&self, architecture: &Architecture, metric: &str) -> Result<ExpectedCost, String> {
        let scale = match metric {
            "params" => 100.0,
            "flops" => 6_400.0,
            _ => return Err(format!("no expectation of {metric}")),
        };
        let mut value = 0.0;
        let gradients = architecture
            .iter()
            .map(|gene| match gene {
                Gene::Mixture(options) => options
                    .iter()
                    .map(|option| {
                        let slope = scale * (1.0 + f64::from(option.index));
                        value += slope * f64::from(option.weight);
                        slope as f32
                    })
                    .collect(),
                other => {
                    value += scale * (1.0 + magnitude(other));
                    Vec::new()
                }
            })
            .collect();
        Ok(ExpectedCost { value, gradients })
    }
}

/// How large a gene is, for costs.
fn magnitude(gene: &Gene) -> f64 {
    match gene {
        Gene::Inactive => -1.0,
        Gene::Choice(index) => f64::from(*index),
        Gene::Integer(value) => *value as f64,
        Gene::Real(value) => *value,
        Gene::Mixture(options) => options.iter().map(|option| f64::from(option.index) * f64::from(option.weight)).sum(),
    }
}

/// What option `option` of decision `decision` is worth, in 0..1: fixed, and without a pattern.
fn worth(decision: usize, option: u32) -> f64 {
    let mixed = (decision as u64 + 1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(u64::from(option).wrapping_mul(0xBF58_476D_1CE4_E5B9));
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (mixed >> 40) as f64 / (1u64 << 24) as f64
}

/// The mean worth of an architecture's genes, in 0..1.
fn quality(architecture: &Architecture) -> f64 {
    let sum: f64 = architecture
        .iter()
        .enumerate()
        .map(|(decision, gene)| match gene {
            Gene::Inactive => 0.0,
            Gene::Choice(option) => worth(decision, *option),
            Gene::Integer(value) => worth(decision, *value as u32),
            Gene::Real(value) => worth(decision, (value * 1e3) as u32),
            Gene::Mixture(options) => {
                options.iter().map(|option| worth(decision, option.index) * f64::from(option.weight)).sum()
            }
        })
        .sum();
    (sum / architecture.len().max(1) as f64).clamp(0.0, 1.0)
}

/// The trainer of a simulated search.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimulatedTask {
    /// Weight updates on the shared weights so far.
    updates: u64,
}

impl SimulatedTask {
    /// Do a job.
    pub(crate) fn run(&mut self, id: JobId, work: &Work) -> Outcome {
        match work {
            Work::Train(training) => Outcome::Trained(trained(training, training.fidelity, Ending::Complete)),
            Work::TrainShared(steps) => Outcome::SharedSteps(steps.iter().map(|step| self.step(id, step)).collect()),
            Work::EvaluateShared(evaluation) => Outcome::SharedEvaluations(
                evaluation.architectures.iter().map(|architecture| self.measures(architecture)).collect(),
            ),
        }
    }

    fn progress(&self) -> f64 {
        1.0 - (-(self.updates as f64) / 50.0).exp()
    }

    fn measures(&self, architecture: &Architecture) -> Vec<Measure> {
        measures(quality(architecture), self.progress())
    }

    fn step(&mut self, id: JobId, step: &SharedStep) -> StepResult {
        let measures = self.measures(&step.architecture);
        let gradients = match step.gradient {
            MixtureGradient::None => Vec::new(),
            MixtureGradient::Direct | MixtureGradient::Unrolled => step
                .architecture
                .iter()
                .enumerate()
                .map(|(decision, gene)| match gene {
                    Gene::Mixture(options) => options
                        .iter()
                        .map(|option| {
                            let noise = worth(decision, option.index.wrapping_add(1_000 + id as u32)) - 0.5;
                            (0.1 * noise - worth(decision, option.index)) as f32
                        })
                        .collect(),
                    _ => Vec::new(),
                })
                .collect(),
        };
        if step.update == WeightUpdate::Apply {
            self.updates += 1;
        }
        StepResult { measures, gradients }
    }
}

fn measures(quality: f64, progress: f64) -> Vec<Measure> {
    let accuracy = 0.1 + 0.85 * progress * (0.5 + 0.5 * quality);
    vec![Measure::new("loss", 2.5 * (1.0 - accuracy)), Measure::new("accuracy", accuracy)]
}

/// A training that went as far as `reached`.
pub(crate) fn trained(training: &Training, reached: u32, ending: Ending) -> Trained {
    let curve: Vec<Point> = (1..=reached).map(|fidelity| point(training, fidelity)).collect();
    let measures = curve.last().map_or_else(|| measures(0.0, 0.0), |last| last.measures.clone());
    Trained { measures, curve, ending, predicted: None }
}

/// What a training measures after `fidelity` units.
pub(crate) fn point(training: &Training, fidelity: u32) -> Point {
    let progress = 1.0 - (-f64::from(fidelity) / 3.0).exp();
    Point { fidelity, measures: measures(quality(&training.architecture), progress) }
}

/// Jobs of a simulated search.
#[derive(Default)]
pub(crate) struct SimulatedHistory {
    jobs: Mutex<BTreeMap<JobId, Job>>,
}

impl SimulatedHistory {
    pub(crate) fn put(&self, job: Job) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(job.id, job);
    }
}

impl HistoryService for SimulatedHistory {
    fn get(&self, id: JobId) -> Option<Job> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    fn page(&self, start: JobId, limit: u32) -> Vec<Job> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.range(start..).take(limit as usize).map(|(_, job)| job.clone()).collect()
    }

    fn priors(&self, _: u64, _: u32) -> Vec<Prior> {
        Vec::new()
    }
}

/// Drops every line: a panic's message arrives with the error.
pub(crate) struct NoLog;

impl LogSink for NoLog {
    fn write(&self, _: LogLevel, _: &str) {}
    fn chart(&self, _: &str, _: f64) {}
}
