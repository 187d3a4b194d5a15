//! `[task]`: what is done with an architecture. Four kinds, each with keys of its own:
//!
//! - `network` (the default): train a network on a data set. With `[task.network]` the network is fixed and the
//!   space's parameters are settings of its recipe and stack.
//! - `table`: look a training up among known results.
//! - `function`: a test function of numerical optimisation.
//! - `command`: an external program.

use std::collections::BTreeMap;

use nasd_protocol::trainer::{Precision, Recipe, Schedule};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Setting;

/// What is done with an architecture.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", untagged)]
#[allow(clippy::large_enum_variant)] // one a search
pub enum Task {
    /// Train a network.
    Network(NetworkTask),
    /// Look it up.
    Table(TableTask),
    /// Compute a function.
    Function(FunctionTask),
    /// Run a program.
    Command(CommandTask),
}

/// A kind's name, which is all that the key says.
macro_rules! kind {
    ($name:ident, $text:literal) => {
        #[doc = concat!("`kind = \"", $text, "\"`.")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name {
            /// The only one.
            #[default]
            #[serde(rename = $text)]
            Kind,
        }
    };
}
kind!(NetworkKind, "network");
kind!(TableKind, "table");
kind!(FunctionKind, "function");
kind!(CommandKind, "command");

/// Data and training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct NetworkTask {
    /// Which kind of task.
    #[serde(default)]
    pub kind: NetworkKind,
    /// Name of a data set (`nasd data list`).
    pub data: String,
    /// Share of the training images kept for validation.
    #[serde(default = "default_validation")]
    pub validation: f64,
    /// Full training, in epochs.
    #[serde(default = "default_fidelity")]
    pub fidelity: u32,
    /// Epochs of weight updates that the schedules of shared weights span.
    #[serde(default = "default_fidelity")]
    pub shared_epochs: u32,
    /// How networks are trained.
    #[serde(default)]
    pub recipe: Recipe,
    /// How shared weights are trained; default: `recipe`.
    #[serde(default)]
    pub shared_recipe: Option<Recipe>,
    /// Number format.
    #[serde(default)]
    pub precision: Precision,
    /// The one network whose recipe and stack the space's parameters set.
    #[serde(default)]
    pub network: Option<FixedNetwork>,
}

/// A network that is not searched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FixedNetwork {
    /// A preset's name, or a space file beside the search file.
    pub space: String,
    /// In the space's notation.
    pub architecture: String,
    /// Settings of the space.
    #[serde(default)]
    pub settings: BTreeMap<String, Setting>,
}

/// Known results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TableTask {
    /// Which kind of task.
    pub kind: TableKind,
    /// A table's name, or a TOML file beside the search file.
    pub table: String,
    /// One of the table's data sets.
    pub data_set: String,
    /// Length of the trainings searched by, in epochs; default: the table's longest.
    #[serde(default)]
    pub fidelity: Option<u32>,
}

/// A test function of numerical optimisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FunctionTask {
    /// Which kind of task.
    pub kind: FunctionKind,
    /// Its name.
    pub function: String,
}

/// An external program. It gets the parameters as one JSON object on its standard input, with `NASD_SEED` and
/// `NASD_FIDELITY` in its environment, and prints its measures as one JSON object on its last line:
/// `{"accuracy": 0.93, "test": {"accuracy": 0.91}}`. It runs in the search file's folder. Options of a `choice` reach it
/// as texts, exactly as written (`"3.10"`, `"true"`); numbers belong into `levels`, `integer` or `real`. An exit status other than 0 is a failed job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CommandTask {
    /// Which kind of task.
    pub kind: CommandKind,
    /// Program and arguments; a program with a `/` is relative to the search file.
    pub command: Vec<String>,
    /// The program's own unit of training, told to it.
    #[serde(default = "one")]
    pub fidelity: u32,
    /// A program that takes longer is killed and its job has failed.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: f64,
}

fn default_validation() -> f64 {
    0.2
}

fn default_fidelity() -> u32 {
    10
}

fn one() -> u32 {
    1
}

fn default_timeout() -> f64 {
    3600.0
}

/// The kinds, for whoever reads a file: the key decides what else may be there.
pub(super) const KINDS: &[&str] = &["network", "table", "function", "command"];

/// Types that `[task]` can have.
pub(super) trait TaskKind: DeserializeOwned + Into<Task> {}
impl TaskKind for NetworkTask {}
impl TaskKind for TableTask {}
impl TaskKind for FunctionTask {}
impl TaskKind for CommandTask {}

impl From<NetworkTask> for Task {
    fn from(task: NetworkTask) -> Self {
        Self::Network(task)
    }
}
impl From<TableTask> for Task {
    fn from(task: TableTask) -> Self {
        Self::Table(task)
    }
}
impl From<FunctionTask> for Task {
    fn from(task: FunctionTask) -> Self {
        Self::Function(task)
    }
}
impl From<CommandTask> for Task {
    fn from(task: CommandTask) -> Self {
        Self::Command(task)
    }
}

impl Task {
    /// Of a task that trains networks.
    pub fn network(&self) -> Option<&NetworkTask> {
        match self {
            Self::Network(task) => Some(task),
            _ => None,
        }
    }

    /// What types alone do not say; an error names the key.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        match self {
            Self::Network(task) => task.check(),
            Self::Table(task) if task.fidelity == Some(0) => {
                Err(("fidelity", "fidelity = 0: a training takes at least 1 epoch".into()))
            }
            Self::Command(task) if task.command.is_empty() => {
                Err(("command", "command is empty: name a program, [\"python3\", \"train.py\"]".into()))
            }
            Self::Command(task) if task.fidelity == 0 => Err(("fidelity", "fidelity = 0: give at least 1".into())),
            Self::Command(task) if !(task.timeout_seconds > 0.0 && task.timeout_seconds.is_finite()) => {
                Err(("timeout-seconds", format!("timeout-seconds = {}: give seconds above 0", task.timeout_seconds)))
            }
            Self::Table(_) | Self::Function(_) | Self::Command(_) => Ok(()),
        }
    }
}

impl NetworkTask {
    /// How shared weights are trained.
    pub fn shared_recipe(&self) -> &Recipe {
        self.shared_recipe.as_ref().unwrap_or(&self.recipe)
    }

    fn check(&self) -> Result<(), (&'static str, String)> {
        if !(self.validation >= 0.0 && self.validation < 1.0) {
            return Err(("validation", format!("validation = {}: give a share from 0 to below 1", self.validation)));
        }
        if self.fidelity == 0 {
            return Err(("fidelity", "fidelity = 0: full training takes at least 1 epoch".into()));
        }
        [Some(&self.recipe), self.shared_recipe.as_ref()].into_iter().flatten().try_for_each(check_recipe)
    }
}

/// Whether a recipe can be followed; an error names the key.
pub fn check_recipe(recipe: &Recipe) -> Result<(), (&'static str, String)> {
    if recipe.batch_size == 0 {
        return Err(("batch-size", "batch-size = 0: a minibatch has at least one example".into()));
    }
    let numbers = [
        recipe.learning_rate,
        recipe.final_learning_rate,
        recipe.momentum,
        recipe.weight_decay,
        recipe.clip,
        recipe.label_smoothing,
        recipe.drop_path,
        recipe.auxiliary_weight,
        recipe.average,
    ];
    if numbers.iter().any(|number| !number.is_finite() || *number < 0.0) {
        let message = "a recipe's rates, momentum, decay and clip are finite and not negative";
        return Err(("[task.recipe]", message.into()));
    }
    for (key, share) in
        [("label-smoothing", recipe.label_smoothing), ("drop-path", recipe.drop_path), ("average", recipe.average)]
    {
        if share >= 1.0 {
            return Err((key, format!("{key} = {share}: give a share below 1")));
        }
    }
    if recipe.schedule == Schedule::Exponential && (recipe.learning_rate <= 0.0 || recipe.final_learning_rate <= 0.0) {
        let message = "an exponential schedule needs learning-rate and final-learning-rate above 0";
        return Err(("schedule", message.into()));
    }
    if recipe.restart_epochs > 0 && recipe.restart_factor == 0 {
        return Err(("restart-factor", "restart-factor = 0: periods grow by a factor of 1 or more".into()));
    }
    Ok(())
}
