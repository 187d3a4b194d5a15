//! A search's space and task as the engine and the strategy see them: rules from `nasd-space`, costs from networks
//! or tables, constraints from the search file.

use std::sync::Arc;

use nasd_engine::{TaskModel, budget::updates_in};
use nasd_network::{CostMetric, SpaceDefinition};
use nasd_protocol::{Bound, ExpectedCost, Failure, FailureKind, Measure, Objective, SharedWeights, Trained, Work};
use nasd_space::{Architecture, Gene, Prepared, RandomSource, SearchSpace};
use nasd_strategy::services::SpaceService;

mod fixed;
mod method;

pub use fixed::FixedMethod;
pub use method::{Answer, KnownTable, Method, TableMethod};

/// Samples drawn until one lies within the bounds.
const SAMPLE_TRIES: u32 = 10_000;

/// The space, its costs and the search's constraints.
pub struct SearchTask {
    definition: SpaceDefinition,
    method: Method,
    prepared: Prepared<Arc<SearchSpace>>,
    constraints: Vec<Bound>,
    shared: Option<SharedWeights>,
    keeps_weights: bool,
    data_fraction: f64,
}

impl SearchTask {
    /// Of a space definition that is set to the task's input and classes.
    pub fn new(
        definition: SpaceDefinition,
        method: Method,
        constraints: Vec<Bound>,
        shared: Option<SharedWeights>,
        keeps_weights: bool,
        data_fraction: f64,
    ) -> Result<Self, nasd_space::SpaceError> {
        let prepared = Prepared::new(Arc::new(definition.space().clone()))?;
        Ok(Self { definition, method, prepared, constraints, shared, keeps_weights, data_fraction })
    }

    /// The definition.
    pub fn definition(&self) -> &SpaceDefinition {
        &self.definition
    }

    /// How results come about.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Add the costs that are objectives to a result.
    pub fn add_costs(&self, architecture: &Architecture, objectives: &[Objective], trained: &mut Trained) {
        let is_absent = |objective: &&Objective| Measure::find(&trained.measures, &objective.metric).is_none();
        let absent: Vec<&Objective> = objectives.iter().filter(is_absent).collect();
        if absent.is_empty() {
            return;
        }
        let costs = self.costs(architecture).unwrap_or_default();
        for cost in costs.into_iter().filter(|cost| absent.iter().any(|objective| objective.metric == cost.name)) {
            if let Some(last) = trained.curve.last_mut() {
                last.measures.push(cost.clone());
            }
            trained.measures.push(cost);
        }
    }

    /// The one-shot graph's facts, if the search has one.
    pub fn shared(&self) -> Option<&SharedWeights> {
        self.shared.as_ref()
    }

    /// Which of the bounds the architecture breaks.
    fn broken_bound(&self, architecture: &Architecture, bounds: &[Bound]) -> Result<Option<String>, String> {
        if bounds.is_empty() {
            return Ok(None);
        }
        let costs = self.costs(architecture)?;
        for bound in bounds {
            let value = Measure::find(&costs, &bound.metric).ok_or_else(|| {
                let known = costs.iter().map(|cost| cost.name.as_str()).collect::<Vec<_>>().join(", ");
                format!("there is no cost `{}` here; known are: {known}", bound.metric)
            })?;
            if bound.at_most.is_some_and(|limit| value > limit) || bound.at_least.is_some_and(|limit| value < limit) {
                return Ok(Some(format!("{} is {value}", bound.metric)));
            }
        }
        Ok(None)
    }
}

impl SpaceService for SearchTask {
    fn sample(&self, random: &mut dyn RandomSource, bounds: &[Bound]) -> Result<Architecture, String> {
        for _ in 0..SAMPLE_TRIES {
            let architecture = self.prepared.sample(random).map_err(|error| error.to_string())?;
            if self.broken_bound(&architecture, bounds)?.is_none() {
                return Ok(architecture);
            }
        }
        Err(format!("none of {SAMPLE_TRIES} samples lay within the bounds"))
    }

    fn open_options(&self, prefix: &[Gene]) -> Result<Vec<u32>, String> {
        self.prepared.open_options(prefix).map_err(|error| error.to_string())
    }

    fn mutate(
        &self,
        random: &mut dyn RandomSource,
        parent: &Architecture,
        changes: u32,
        among: &[u32],
    ) -> Result<Architecture, String> {
        self.prepared.mutate(random, parent, changes, among).map_err(|error| error.to_string())
    }

    fn crossover(
        &self,
        random: &mut dyn RandomSource,
        first: &Architecture,
        second: &Architecture,
    ) -> Result<Architecture, String> {
        self.prepared.crossover(random, first, second).map_err(|error| error.to_string())
    }

    fn repair(&self, random: &mut dyn RandomSource, architecture: &Architecture) -> Result<Architecture, String> {
        self.prepared.repair(random, architecture).map_err(|error| error.to_string())
    }

    fn neighbours(&self, of: &Architecture, among: &[u32]) -> Result<Vec<Architecture>, String> {
        self.prepared.neighbours(of, among).map_err(|error| error.to_string())
    }

    fn check(&self, architecture: &Architecture) -> Result<(), Failure> {
        if let Err(violation) = self.prepared.space().check(architecture) {
            return Err(Failure { kind: FailureKind::InvalidArchitecture, message: violation.to_string() });
        }
        match self.broken_bound(architecture, &self.constraints) {
            Ok(None) => Ok(()),
            Ok(Some(message)) => Err(Failure { kind: FailureKind::OverConstraint, message }),
            Err(message) => Err(Failure { kind: FailureKind::InvalidArchitecture, message }),
        }
    }

    fn identity(&self, architecture: &Architecture) -> Result<String, String> {
        self.definition.identity(architecture).map_err(|error| error.to_string())
    }

    fn costs(&self, architecture: &Architecture) -> Result<Vec<Measure>, String> {
        self.method.costs(&self.definition, architecture)
    }

    fn expected_cost(&self, architecture: &Architecture, metric: &str) -> Result<ExpectedCost, String> {
        let metric = match metric {
            "params" => CostMetric::Params,
            "flops" => CostMetric::Flops,
            other => return Err(format!("there is no expected `{other}` here: params and flops are known")),
        };
        let costs = self.definition.expected_costs(self.shared.is_some()).map_err(|error| error.to_string())?;
        let expected = costs.of(architecture, metric).map_err(|error| error.to_string())?;
        let narrow = |list: Vec<f64>| list.into_iter().map(|value| value as f32).collect();
        Ok(ExpectedCost { value: expected.value, gradients: expected.gradients.into_iter().map(narrow).collect() })
    }
}

impl TaskModel for SearchTask {
    /// In epochs of the whole training data, or what else the task's clock counts.
    fn duration(&self, work: &Work, resumed_from: u32) -> f64 {
        let per_epoch = self.shared.as_ref().map_or(1.0, |shared| f64::from(shared.train_batches.max(1)));
        match work {
            Work::Train(training) => {
                self.method.duration(&training.architecture, training.fidelity, resumed_from, self.data_fraction)
            }
            // An architecture step costs about as much as a weight step, an evaluation a third of it: what has
            // no weight update still takes time on the clock.
            Work::TrainShared(steps) => (updates_in(steps).max(1) as f64) / per_epoch * self.data_fraction,
            Work::EvaluateShared(evaluation) => evaluation.architectures.len().max(1) as f64 / per_epoch / 3.0,
        }
    }

    /// A table's clock counts seconds.
    fn epochs(&self, work: &Work, resumed_from: u32) -> f64 {
        match work {
            Work::Train(training) => f64::from(training.fidelity.saturating_sub(resumed_from)) * self.data_fraction,
            Work::TrainShared(_) | Work::EvaluateShared(_) => self.duration(work, resumed_from),
        }
    }

    fn check(&self, architecture: &Architecture) -> Result<(), Failure> {
        SpaceService::check(self, architecture)
    }

    fn check_shared(&self, architecture: &Architecture) -> Result<(), Failure> {
        self.prepared
            .space()
            .check_shared(architecture)
            .map_err(|violation| Failure { kind: FailureKind::InvalidArchitecture, message: violation.to_string() })
    }

    fn has_shared_weights(&self) -> bool {
        self.shared.is_some()
    }

    fn keeps_weights(&self) -> bool {
        self.keeps_weights
    }
}
