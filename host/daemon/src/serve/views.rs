//! What clients of a daemon see and send: documents of the API, each a plain record.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How far a run is, as the daemon drives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// It waits for its search's component, its data, or to be resolved.
    Starting,
    /// It searches, or trains what it found.
    Running,
    /// An operator suspended it.
    Paused,
    /// It could not go on; it is tried again later.
    Waiting,
    /// It is over.
    Ended,
    /// It is no run of this daemon: `nasd run` began it and did not end it.
    Foreign,
}

/// A search that the daemon knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SearchView {
    /// Its name.
    pub name: String,
    /// For people.
    pub summary: String,
    /// Its file; none: it was submitted.
    pub file: Option<String>,
    /// The file is gone: it starts no more.
    pub is_removed: bool,
    /// Why the file as it is now is not used; the last good one stays.
    pub error: Option<String>,
    /// Cron expressions.
    pub schedule: Vec<String>,
    /// When it starts next, RFC 3339.
    pub next_start: Option<String>,
    /// Its latest run.
    pub last_run: Option<String>,
    /// Changed keys that act on the next run.
    pub pending: Vec<String>,
}

/// A search to submit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    /// The search file's text.
    pub text: String,
    /// Absolute path of the folder that relative paths in it start from; none: the daemon's folder of searches.
    #[serde(default)]
    pub beside: Option<String>,
    /// Who submits it.
    #[serde(default)]
    pub by: Option<String>,
}

/// The strategy of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StrategyView {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// BLAKE3 of its component.
    pub digest: String,
    /// Its parameters, as JSON.
    pub parameters: String,
}

/// A run, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// `name/17`.
    pub run: String,
    /// How far it is.
    pub state: RunState,
    /// Why it waits, or how it ended.
    pub reason: Option<String>,
    /// Its strategy.
    pub strategy: StrategyView,
    /// Its space.
    pub space: String,
    /// Name of its first objective.
    pub objective: String,
    /// The best value of that so far.
    pub best: Option<f64>,
    /// Jobs handed out.
    pub jobs: u64,
    /// Share of the budget used, 0 to 1; none: it is not driven now.
    pub budget_used: Option<f64>,
    /// Unix seconds.
    pub begun_at: Option<f64>,
    /// Unix seconds.
    pub ended_at: Option<f64>,
}

/// A job under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct InFlightView {
    /// Its number.
    pub job: u64,
    /// Share done, 0 to 1, where its trainer says.
    pub progress: f64,
}

/// A change of a run's strategy, budget or slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeView {
    /// Number of its event in the journal.
    pub event: u64,
    /// Unix seconds.
    pub time: Option<f64>,
    /// Who ordered it.
    pub by: String,
    /// `build`, `strategy`, `parameters`, `roll-back`, `trap`, `adjusted`, `refused`.
    pub cause: String,
    /// Digest of the strategy before.
    pub from: Option<String>,
    /// Digest of the strategy after.
    pub to: Option<String>,
    /// `restore` or `replay`.
    pub via: Option<String>,
    /// What went wrong.
    pub message: Option<String>,
}

/// A run with all that is known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunDetails {
    /// In short.
    #[serde(flatten)]
    pub run: RunView,
    /// Jobs under way.
    pub in_flight: Vec<InFlightView>,
    /// The best jobs, best first.
    pub top: Vec<JobView>,
    /// Changes of strategy, budget and slots, in order: the audit trail.
    pub changes: Vec<ChangeView>,
    /// Handed over, best first, in the space's notation where the run is driven here, else as digests.
    pub recommended: Vec<String>,
    /// Events that are durable.
    pub events: u64,
    /// Of its share of the trainers.
    pub weight: f64,
    /// Higher ones go first.
    pub priority: i32,
    /// Its report, once it is written.
    pub report: Option<String>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// Its number.
    pub job: u64,
    /// `in-flight`, `arrived`, `told`, `refused`.
    pub state: String,
    /// `train`, `train-shared`, `evaluate-shared`.
    pub kind: String,
    /// Digest of the architecture trained.
    pub architecture: Option<String>,
    /// Fidelity asked for; steps or architectures of shared work.
    pub amount: u32,
    /// Jobs it was derived from.
    pub parents: Vec<u64>,
    /// Measures.
    pub measures: BTreeMap<String, f64>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What it was charged, in the unit of the search's clock.
    pub cost: f64,
    /// The strategy's note.
    pub note: String,
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// In order of their numbers.
    pub jobs: Vec<JobView>,
    /// Ask for jobs from this one on to go on; none: this is the last page.
    pub next: Option<u64>,
}

/// A page of runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// By name and number.
    pub runs: Vec<RunView>,
    /// Ask for runs after this one to go on; none: this is the last page.
    pub next: Option<String>,
}

/// A point of the best so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CurvePoint {
    /// The job it came with.
    pub job: u64,
    /// The best value of the first objective since.
    pub best: f64,
}

/// A strategy that takes over a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SwapOrderView {
    /// A strategy's name, or the digest of a kept component; none: the same one with other parameters.
    #[serde(default)]
    pub strategy: Option<String>,
    /// Its parameters, as JSON; none: as they are.
    #[serde(default)]
    pub parameters: Option<serde_json::Value>,
    /// Only say what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// Who orders it.
    #[serde(default)]
    pub by: Option<String>,
}

/// What a swap did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SwapView {
    /// The strategy that takes over.
    pub to: StrategyView,
    /// `restore`: it goes on from the state of the one before; `replay`: it is shown all jobs so far.
    pub via: String,
    /// Jobs it is shown.
    pub jobs: u64,
    /// What it took to load and check, in seconds.
    pub seconds: f64,
    /// Promises of the contract that it kept in a simulated search.
    pub checks: Vec<String>,
    /// Nothing was changed.
    pub dry_run: bool,
}

/// Where to fork a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkOrder {
    /// The last event shared.
    pub at: u64,
    /// Another strategy for the new run.
    #[serde(default)]
    pub strategy: Option<String>,
    /// Its parameters, as JSON.
    #[serde(default)]
    pub parameters: Option<serde_json::Value>,
    /// Who orders it.
    #[serde(default)]
    pub by: Option<String>,
}

/// Another run of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RerunOrder {
    /// Another seed than the file's.
    #[serde(default)]
    pub seed: Option<u64>,
    /// Who orders it.
    #[serde(default)]
    pub by: Option<String>,
}

/// Who orders something that needs no more words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlainOrder {
    /// Who.
    #[serde(default)]
    pub by: Option<String>,
}

/// A component that the daemon can run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ComponentView {
    /// Its name.
    pub name: String,
    /// Its file.
    pub file: String,
    /// BLAKE3 of it.
    pub digest: String,
    /// Why it is kept out of runs.
    pub quarantined: Option<String>,
}

/// A component in quarantine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuarantineView {
    /// BLAKE3 of it.
    pub digest: String,
    /// Its strategy's name.
    pub name: String,
    /// The run it failed in.
    pub run: String,
    /// How.
    pub message: String,
}

/// Another log level.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogLevelOrder {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives like `nasd=debug,info`.
    #[schema(pattern = "^[A-Za-z0-9_:=,-]+$", max_length = 1000)]
    pub level: String,
}

/// How a daemon is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// `live` or `ready`.
    pub status: String,
}

/// A line that a strategy logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Number of its event in the journal.
    pub event: u64,
    /// Unix seconds.
    pub time: Option<f64>,
    /// `error`, `warn`, `info`, `debug`, `trace`.
    pub level: String,
    /// Text.
    pub message: String,
}

/// A page of log lines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogPage {
    /// In order.
    pub lines: Vec<LogLine>,
    /// Ask for lines after this event to go on; none: there are no more now.
    pub next: Option<u64>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// What, where, what to do, in one line.
    pub error: String,
}
