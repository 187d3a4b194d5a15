//! The strategy contract (`wit/strategy.wit`) as the host's own types.
//!
//! The journal stores these and never what a bindings generator made, so that a change of the generator or
//! a new version of the contract cannot make old journals unreadable.

use nasd_space::{Architecture, Place, SearchSpace};
use serde::{Deserialize, Serialize};

/// Unique within a search, never reused, given in the order work is handed out.
pub type JobId = u64;

/// One number of a result. Never NaN. Standard names: `loss` (nats), `accuracy` (0 to 1), `perplexity`,
/// `params`, `flops`, `latency` (seconds).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: f64,
}

impl Measure {
    /// A measure.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value }
    }

    /// The value called `name` among `measures`.
    pub fn find(measures: &[Measure], name: &str) -> Option<f64> {
        measures.iter().find(|measure| measure.name == name).map(|measure| measure.value)
    }
}

/// Direction of an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Goal {
    Maximize,
    Minimize,
}

/// What a search is after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Objective {
    /// Name of a measure.
    pub metric: String,
    /// Its direction.
    pub goal: Goal,
}

/// Limits on a cost, inclusive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bound {
    /// Name of a cost.
    pub metric: String,
    /// Lower limit.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Upper limit.
    #[serde(default)]
    pub at_most: Option<f64>,
}

/// What a strategy needs and a task offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[allow(missing_docs)]
pub struct Features {
    pub shared_weights: bool,
    pub mixtures: bool,
    pub gradients: bool,
    pub unrolled_gradients: bool,
    pub inheriting: bool,
    pub resuming: bool,
    pub judging: bool,
}

impl Features {
    /// Names of what `self` has and `offered` lacks.
    pub fn missing_from(&self, offered: &Features) -> Vec<&'static str> {
        [
            ("shared-weights", self.shared_weights, offered.shared_weights),
            ("mixtures", self.mixtures, offered.mixtures),
            ("gradients", self.gradients, offered.gradients),
            ("unrolled-gradients", self.unrolled_gradients, offered.unrolled_gradients),
            ("inheriting", self.inheriting, offered.inheriting),
            ("resuming", self.resuming, offered.resuming),
            ("judging", self.judging, offered.judging),
        ]
        .into_iter()
        .filter(|(_, needed, offered)| *needed && !*offered)
        .map(|(name, _, _)| name)
        .collect()
    }
}

/// Where a node's weights come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOrigin {
    /// The node of the child.
    pub to: Place,
    /// The parent's node; none: a new node.
    pub source: Option<Place>,
}

/// Weights taken over from a finished job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inheritance {
    /// The parent.
    pub job: JobId,
    /// Nodes not listed take the parent's node at the same place.
    pub origins: Vec<NodeOrigin>,
}

/// Where training starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitialWeights {
    /// The search's weight-reuse policy decides; without one, fresh.
    #[default]
    ByPolicy,
    /// Freshly initialised.
    Fresh,
    /// Copy or morph a finished job's weights, then begin the recipe anew.
    Inherit(Inheritance),
    /// Go on with a finished job's training to the fidelity asked for.
    Resume(JobId),
    /// The shared weights as all shared jobs with a lower id left them.
    Shared,
}

/// Train one architecture by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Training {
    /// What to train; no mixtures.
    pub architecture: Architecture,
    /// Units of training in all, resumed ones included.
    pub fidelity: u32,
    /// Units the recipe's schedules span; 0: `fidelity`.
    pub schedule: u32,
    /// Where it starts from.
    pub initial_weights: InitialWeights,
    /// Ask `judge` after every so many units; 0: never.
    pub judge_every: u32,
}

/// A part of the training data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Split {
    Train,
    Validation,
}

/// What a shared step does to the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightUpdate {
    /// Nothing.
    None,
    /// Keeps the gradient for the next `Apply`, which steps along the mean.
    Accumulate,
    /// One optimiser step.
    Apply,
}

/// d loss / d mixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MixtureGradient {
    /// Not asked for.
    None,
    /// As it stands, before any update of this step.
    Direct,
    /// Through one virtual weight step on the training minibatch which the next training step will take.
    Unrolled,
}

/// One minibatch on the shared weights, in training mode.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SharedStep {
    /// Genes may be mixtures.
    pub architecture: Architecture,
    /// Which stream the minibatch comes from.
    pub split: Split,
    /// The split's last minibatch once more instead of its next one.
    pub same_minibatch: bool,
    /// What happens to the weights.
    pub update: WeightUpdate,
    /// What gradient comes back.
    pub gradient: MixtureGradient,
}

/// Statistics used by batch-norm in a shared evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchNormMode {
    /// Of the minibatch.
    BatchStatistics,
    /// Of training so far.
    RunningStatistics,
    /// Of this architecture over the same so many training minibatches.
    Recalibrate(u32),
}

/// Minibatches of the validation split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvaluationBatches {
    /// All.
    All,
    /// The same so many in every evaluation.
    First(u32),
    /// The stream's next so many.
    Next(u32),
}

/// Evaluation with the shared weights; changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SharedEvaluation {
    /// Genes may be mixtures.
    pub architectures: Vec<Architecture>,
    /// On what.
    pub batches: EvaluationBatches,
    /// Batch-norm statistics.
    pub batch_norm: BatchNormMode,
}

/// What a job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Train one architecture by itself.
    Train(Training),
    /// Steps on the one-shot graph, in order.
    TrainShared(Vec<SharedStep>),
    /// Evaluate with the shared weights.
    EvaluateShared(SharedEvaluation),
}

impl Work {
    /// Whether it needs the shared weights as they stand at its turn.
    pub fn is_shared(&self) -> bool {
        match self {
            Work::Train(training) => training.initial_weights == InitialWeights::Shared,
            Work::TrainShared(_) | Work::EvaluateShared(_) => true,
        }
    }
}

/// Work asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Proposal {
    /// The work.
    pub work: Work,
    /// Finished jobs it was derived from.
    pub parents: Vec<JobId>,
    /// The strategy's own.
    pub note: String,
}

/// Result of one shared step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StepResult {
    /// Of this minibatch; `loss` is always among them.
    pub measures: Vec<Measure>,
    /// For each decision, aligned with its mixture's list; no lists at all if not asked for.
    pub gradients: Vec<Vec<f32>>,
}

/// Why a job failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum FailureKind {
    InvalidArchitecture,
    Unsupported,
    OverConstraint,
    MissingWeights,
    OutOfMemory,
    Diverged,
    TimedOut,
    Infrastructure,
    Cancelled,
}

/// A failed job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its kind.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Ending {
    Complete,
    StoppedByStrategy,
    StoppedByHost,
}

/// All measures after so many units of training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Units of training, resumed ones included.
    pub fidelity: u32,
    /// Of training and validation data only.
    pub measures: Vec<Measure>,
}

/// A finished training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// At the end of training.
    pub measures: Vec<Measure>,
    /// Ascending; the last one's fidelity is the fidelity reached.
    pub curve: Vec<Point>,
    /// How it ended.
    pub ending: Ending,
    /// What the host expects the first objective to be at full fidelity, where it stopped the job.
    pub predicted: Option<f64>,
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Of `Work::Train`.
    Trained(Trained),
    /// Of `Work::TrainShared`.
    SharedSteps(Vec<StepResult>),
    /// Of `Work::EvaluateShared`.
    SharedEvaluations(Vec<Vec<Measure>>),
    /// Of any.
    Failed(Failure),
}

/// A job as a strategy sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What was asked for.
    pub proposal: Proposal,
    /// None until the strategy was told.
    pub outcome: Option<Outcome>,
    /// What it was charged, in the search's budget unit.
    pub cost: f64,
}

/// The one-shot graph's facts that a strategy plans by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SharedWeights {
    /// Minibatches of an epoch of the training split.
    pub train_batches: u32,
    /// Minibatches of an epoch of the validation split.
    pub validation_batches: u32,
    /// Weight updates the recipe's schedules span.
    pub scheduled_steps: u64,
    /// Weight updates made before this instance took over.
    pub steps_done: u64,
}

/// What a strategy is started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Setup {
    /// The space.
    pub space: SearchSpace,
    /// Its digest.
    pub space_digest: String,
    /// First is foremost.
    pub objectives: Vec<Objective>,
    /// The host refuses architectures beyond them.
    pub constraints: Vec<Bound>,
    /// Full training.
    pub max_fidelity: u32,
    /// The only fidelities the task answers; empty: every one.
    pub fidelities: Vec<u32>,
    /// What the task offers.
    pub offers: Features,
    /// If the task has shared weights.
    pub shared_weights: Option<SharedWeights>,
    /// The strategy's own parameters as JSON.
    pub parameters: String,
}

/// Name and version of a snapshot's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFormat {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// What a strategy says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Descriptor {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// One line.
    pub summary: String,
    /// JSON Schema of its parameters.
    pub parameters_schema: Option<String>,
    /// Snapshot formats it reads, best first.
    pub reads: Vec<SnapshotFormat>,
    /// What it cannot do without.
    pub needs: Features,
}

/// A strategy's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Snapshot {
    /// Its format.
    pub format: SnapshotFormat,
    /// Opaque.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// Jobs this state may still inherit from or resume.
    pub needs_weights: Vec<JobId>,
}

/// A request for work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// At most so many items.
    pub slots: u32,
    /// The id the first item will get.
    pub next_id: JobId,
    /// Jobs not yet told.
    pub in_flight: Vec<JobId>,
    /// Jobs left in the budget, where it counts jobs.
    pub jobs_left: Option<u64>,
    /// Share of the budget that ends first; 0 to 1.
    pub budget_used: f64,
}

/// What a strategy answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// One to `slots` items.
    Work(Vec<Proposal>),
    /// Nothing until something is told.
    Wait,
    /// More to compute: ask again at once.
    Busy,
    /// No more work.
    Finished(String),
}

/// Verdict on a training under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Verdict {
    Proceed,
    Stop,
}

/// A result of an earlier search, put into this search's space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    /// Which search.
    pub search: String,
    /// On which task.
    pub task: String,
    /// What was trained.
    pub architecture: Architecture,
    /// For how long.
    pub fidelity: u32,
    /// With what result.
    pub measures: Vec<Measure>,
}

/// A cost expected over independent decisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpectedCost {
    /// The expectation.
    pub value: f64,
    /// d value / d mixture, laid out as [`StepResult::gradients`].
    pub gradients: Vec<Vec<f32>>,
}

/// Level of a strategy's log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}
