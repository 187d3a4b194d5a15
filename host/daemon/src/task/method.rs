//! How a job's result comes about: by a training, by a look-up, by a function, by a program.
//!
//! What is known at once ([`Method::answer`]) never meets a trainer. Everything a method says is a function of the
//! architecture, so the search's clock and its constraints are the same however often they are asked.

use std::{collections::BTreeMap, sync::Arc};

use nasd_functions::Function;
use nasd_network::SpaceDefinition;
use nasd_protocol::{
    Ending, Failure, FailureKind, Measure, Outcome, Point, Trained, Training,
    trainer::{CommandOrder, Recipe},
};
use nasd_space::{Architecture, SearchSpace};
use nasd_table::{DataSet, ResultTable};

use super::fixed::FixedMethod;
use crate::configuration::Setting;

/// Shortest time a job takes on the search's clock: the clock has to move.
const SHORTEST: f64 = 1e-9;

/// How a job's result comes about.
pub enum Method {
    /// The space's networks are trained.
    Networks,
    /// One network is trained, by recipes and in sizes that the space's parameters set.
    Fixed(FixedMethod),
    /// Known results.
    Table(TableMethod),
    /// A test function.
    Function(&'static Function),
    /// A program.
    Command {
        /// Program and arguments.
        command: Vec<String>,
        /// Where it runs: the search file's folder.
        folder: String,
        /// Killed after so many seconds.
        timeout_seconds: f64,
    },
}

/// A result that is known at once.
#[derive(Debug)]
pub struct Answer {
    /// What the strategy is told.
    pub outcome: Outcome,
    /// What it is not.
    pub test: Vec<Measure>,
}

/// Known results on one of a table's data sets.
#[derive(Clone)]
pub struct TableMethod {
    /// The table.
    pub table: Arc<ResultTable>,
    /// Its data set.
    pub data_set: String,
}

/// Known results that a search is looked up in once it is over.
#[derive(Clone)]
pub struct KnownTable {
    /// The table and its data set.
    pub method: TableMethod,
    /// Architectures with a better result than it are ranked for themselves, too.
    pub above: Option<f64>,
}

impl TableMethod {
    /// All data sets, the one searched by first.
    pub fn own_first(&self) -> impl Iterator<Item = &DataSet> {
        let of =
            |is_own: bool| self.table.data_sets().iter().filter(move |set| (set.name() == self.data_set) == is_own);
        of(true).chain(of(false))
    }

    /// The data set searched by.
    pub fn data_set(&self) -> Result<&DataSet, Failure> {
        self.table.data_set(&self.data_set).map_err(|error| failure(FailureKind::Unsupported, error.to_string()))
    }

    fn answer(&self, training: &Training) -> Result<Answer, Failure> {
        let set = self.data_set()?;
        let row = self.row(&training.architecture)?;
        let Some(measures) = set.validation(row, training.fidelity) else {
            let known = set.fidelities().iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
            let message = format!("the table knows trainings of {known} epochs, not of {}", training.fidelity);
            return Err(failure(FailureKind::Unsupported, message));
        };
        let test = set.test(row, training.fidelity).unwrap_or_default();
        Ok(Answer { outcome: trained(measures, training.fidelity), test })
    }

    fn row(&self, architecture: &Architecture) -> Result<nasd_table::Row, Failure> {
        self.table.row(architecture).ok_or_else(|| {
            let message = format!("the table `{}` has no row of this architecture", self.table.description().name);
            failure(FailureKind::InvalidArchitecture, message)
        })
    }

    /// The longest training's test result on the data set searched by.
    pub fn test_value(&self, architecture: &Architecture, metric: &str) -> Option<f64> {
        let set = self.data_set().ok()?;
        let epochs = set.fidelities().last().copied()?;
        Measure::find(&set.test(self.table.row(architecture)?, epochs)?, metric)
    }

    /// The longest trainings' results on all data sets, named `data-set/measure`: validation and test.
    pub fn final_results(&self, architecture: &Architecture) -> Result<Answer, Failure> {
        let row = self.row(architecture)?;
        let (mut validation, mut test, mut longest) = (Vec::new(), Vec::new(), 0);
        for set in self.table.data_sets() {
            let epochs = set.fidelities().last().copied().unwrap_or_default();
            let named = |measures: Option<Vec<Measure>>| {
                let named = |measure: Measure| Measure::new(format!("{}/{}", set.name(), measure.name), measure.value);
                measures.unwrap_or_default().into_iter().map(named).collect::<Vec<_>>()
            };
            validation.extend(named(set.validation(row, epochs)));
            test.extend(named(set.test(row, epochs)));
            longest = longest.max(epochs);
        }
        Ok(Answer { outcome: trained(validation, longest), test })
    }
}

impl Method {
    /// The result, where it is known at once.
    pub fn answer(&self, space: &SearchSpace, training: &Training) -> Option<Answer> {
        let answer = match self {
            Self::Networks | Self::Fixed(_) | Self::Command { .. } => return None,
            Self::Table(table) => table.answer(training),
            Self::Function(function) => evaluated(function, space, training),
        };
        Some(answer.unwrap_or_else(|failure| Answer { outcome: Outcome::Failed(failure), test: Vec::new() }))
    }

    /// Whether every result is known at once.
    pub fn is_instant(&self) -> bool {
        matches!(self, Self::Table(_) | Self::Function(_))
    }

    /// Time on the search's clock of training to `fidelity` from `resumed_from`, and the clock's unit.
    pub fn duration(&self, architecture: &Architecture, fidelity: u32, resumed_from: u32, data_fraction: f64) -> f64 {
        let units = fidelity.saturating_sub(resumed_from);
        match self {
            Self::Networks | Self::Fixed(_) => f64::from(units) * data_fraction,
            Self::Command { .. } | Self::Function(_) => f64::from(units),
            Self::Table(method) => {
                let seconds = method.data_set().ok().zip(method.table.row(architecture));
                seconds.map_or(0.0, |(set, row)| set.seconds(row, units)).max(SHORTEST)
            }
        }
    }

    /// What the search's clock counts.
    pub fn clock_unit(&self) -> &'static str {
        match self {
            Self::Networks | Self::Fixed(_) => "epochs",
            Self::Table(_) => "simulated seconds",
            Self::Command { .. } => "units",
            Self::Function(_) => "evaluations",
        }
    }

    /// What a training's length is counted in.
    pub fn fidelity_unit(&self) -> &'static str {
        match self {
            Self::Networks | Self::Fixed(_) | Self::Table(_) => "epochs",
            Self::Command { .. } => "units",
            Self::Function(_) => "evaluations",
        }
    }

    /// Costs of an architecture.
    pub fn costs(&self, definition: &SpaceDefinition, architecture: &Architecture) -> Result<Vec<Measure>, String> {
        let counted = |definition: &SpaceDefinition, architecture: &Architecture| {
            let costs = definition.costs(architecture).map_err(|error| error.to_string())?;
            Ok(vec![Measure::new("params", costs.params as f64), Measure::new("flops", costs.flops as f64)])
        };
        match self {
            Self::Networks => counted(definition, architecture),
            Self::Fixed(fixed) => {
                let (definition, architecture) = fixed.network(definition.space(), architecture)?;
                counted(&definition, &architecture)
            }
            Self::Table(method) => {
                let set = method.data_set().map_err(|failure| failure.message)?;
                let row = method.row(architecture).map_err(|failure| failure.message)?;
                Ok(set.costs(row))
            }
            Self::Command { .. } | Self::Function(_) => Ok(Vec::new()),
        }
    }

    /// Names of everything a result holds; none where only a program knows.
    pub fn measured(&self) -> Option<Vec<String>> {
        match self {
            Self::Networks | Self::Fixed(_) => Some(["accuracy", "loss"].map(str::to_owned).to_vec()),
            Self::Function(_) => Some(vec!["loss".to_owned()]),
            Self::Command { .. } => None,
            Self::Table(method) => {
                let set = method.data_set().ok()?;
                let results = set.fidelities().last().and_then(|epochs| set.validation(0, *epochs));
                Some(results.unwrap_or_default().into_iter().map(|measure| measure.name).collect())
            }
        }
    }

    /// Names of an architecture's costs, which are known before it is trained.
    pub fn cost_names(&self) -> Vec<String> {
        match self {
            Self::Networks | Self::Fixed(_) => ["params", "flops"].map(str::to_owned).to_vec(),
            Self::Function(_) | Self::Command { .. } => Vec::new(),
            Self::Table(method) => {
                let costs = method.data_set().map(|set| set.costs(0)).unwrap_or_default();
                costs.into_iter().map(|cost| cost.name).collect()
            }
        }
    }

    /// The program's order, of a task that runs one.
    pub fn command(&self, space: &SearchSpace, job: u64, training: &Training, seed: u64) -> Option<CommandOrder> {
        let Self::Command { command, folder, timeout_seconds } = self else { return None };
        Some(CommandOrder {
            job,
            command: command.clone(),
            folder: folder.clone(),
            parameters: super::fixed::json(space, &training.architecture).to_string(),
            seed,
            fidelity: training.fidelity,
            timeout_seconds: *timeout_seconds,
        })
    }

    /// The space for the networks trained in the end: of another task (`[channels, height, width]` and classes) where one
    /// is given, with settings; of a fixed network the method with them.
    pub fn for_final(
        &self,
        definition: &SpaceDefinition,
        task: Option<([u32; 3], u32)>,
        settings: &BTreeMap<String, Setting>,
    ) -> Result<(SpaceDefinition, Option<Self>), String> {
        let changed = |definition: &SpaceDefinition| -> Result<SpaceDefinition, String> {
            let mut definition = match task {
                Some((input, classes)) => definition.with_task(input, classes).map_err(|error| error.to_string())?,
                None => definition.clone(),
            };
            for (key, value) in settings {
                definition = definition.set(key, &value.to_string()).map_err(|error| error.to_string())?;
            }
            Ok(definition)
        };
        match self {
            Self::Fixed(fixed) => {
                let fixed =
                    FixedMethod { definition: changed(&fixed.definition)?, architecture: fixed.architecture.clone() };
                Ok((definition.clone(), Some(Self::Fixed(fixed))))
            }
            // Without settings nothing is built anew; a table's or a function's space has no networks to change.
            _ if task.is_none() && settings.is_empty() => Ok((definition.clone(), None)),
            _ => Ok((changed(definition)?, None)),
        }
    }

    /// Graph and recipe of a task that trains networks.
    pub fn network(
        &self,
        definition: &SpaceDefinition,
        recipe: &Recipe,
        architecture: &Architecture,
    ) -> Result<(nasd_network::Graph, Recipe), String> {
        let Self::Fixed(fixed) = self else {
            let graph = definition.network(architecture).map_err(|error| error.to_string())?;
            return Ok((graph, recipe.clone()));
        };
        let recipe = fixed.recipe(definition.space(), recipe, architecture)?;
        let (definition, network) = fixed.network(definition.space(), architecture)?;
        Ok((definition.network(&network).map_err(|error| error.to_string())?, recipe))
    }
}

fn failure(kind: FailureKind, message: String) -> Failure {
    Failure { kind, message }
}

/// A function's value is its loss; one that is not finite is a failure.
fn evaluated(function: &Function, space: &SearchSpace, training: &Training) -> Result<Answer, Failure> {
    let loss = function
        .evaluate_architecture(space, &training.architecture)
        .map_err(|error| failure(FailureKind::InvalidArchitecture, error.to_string()))?;
    if !loss.is_finite() {
        return Err(failure(FailureKind::Diverged, format!("the function's value is {loss}")));
    }
    Ok(Answer { outcome: trained(vec![Measure::new("loss", loss)], training.fidelity), test: Vec::new() })
}

fn trained(measures: Vec<Measure>, fidelity: u32) -> Outcome {
    let curve = vec![Point { fidelity, measures: measures.clone() }];
    Outcome::Trained(Trained { measures, curve, ending: Ending::Complete, predicted: None })
}
