//! What the result store holds: small rows about runs and jobs, and their keys.
//!
//! | key | value |
//! |---|---|
//! | `c` | nothing: closed in good order |
//! | `f` | schema and number of rows |
//! | `p` run | [`Applied`]: how far the run's journal is applied |
//! | `r` run | [`RunRow`] |
//! | `j` run job | [`JobRow`] |
//! | `b` run metric 0 value job | nothing: jobs by a measure |
//! | `a` architecture run job | nothing: jobs by architecture |
//! | `g` architecture | the architecture's genes |
//!
//! A run in a key is its name, a zero byte and its number; numbers are big-endian so that keys sort by them, a
//! measure is its bits made to sort.

use nasd_protocol::{
    Ending, Failure, FailureKind, JobId, Measure, Objective,
    event::{RunEnding, StrategyIdentity},
};
use serde::{Deserialize, Serialize};

use crate::{scan::Span, state::RunId};

/// Version of rows and keys; another one on disk means: make anew.
pub(crate) const SCHEMA: u32 = 2;

pub(crate) const STAMP_KEY: &[u8] = b"f";

/// There while the store is closed in good order; counted as no row.
pub(crate) const CLOSED_KEY: &[u8] = b"c";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub schema: u32,
    /// All rows but this one.
    pub rows: u64,
}

/// How far a run's journal is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Number of the next record.
    pub sequence: u64,
    /// Where it begins or a mark before it.
    pub offset: u64,
}

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Which.
    pub run: RunId,
    /// Its strategy.
    pub strategy: StrategyIdentity,
    /// Digest of the search's configuration.
    pub configuration_digest: String,
    /// Name of the space.
    pub space: String,
    /// Digest of the space.
    pub space_digest: String,
    /// Objectives, the foremost first.
    pub objectives: Vec<Objective>,
    /// The seed.
    pub seed: u64,
    /// Unix seconds, where the journal says.
    pub begun_at: Option<f64>,
    /// How often it was taken up again.
    pub resumptions: u32,
    /// How it ended.
    pub ending: Option<RunEnding>,
    /// Unix seconds, where the journal says.
    pub ended_at: Option<f64>,
    /// Digests of the recommended architectures, best first; see [`crate::ResultStore::architecture`].
    pub recommended: Vec<String>,
    /// Trainings of recommended architectures by the final recipe.
    pub finals: Vec<FinalRow>,
    /// Changes of strategy, budget and slots, in order; the last 64 of them.
    pub changes: Vec<ChangeRow>,
}

/// Changes of a run kept in its row, which is written anew with each: the journal has them all.
pub(crate) const CHANGES: usize = 64;

/// A change of a run's strategy, budget or slots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// Number of its event.
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
    /// What went wrong, or what it is now.
    pub message: Option<String>,
}

/// A recommended architecture trained by the final recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinalRow {
    /// Rank among the recommended, from 0.
    pub rank: u32,
    /// The seed's number.
    pub repetition: u32,
    /// Measures of training and validation data.
    pub measures: Vec<Measure>,
    /// Held-out measures.
    pub test: Vec<Measure>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Digest of its weights.
    pub weights: Option<String>,
}

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Handed out.
    InFlight,
    /// Its outcome is there.
    Arrived,
    /// The strategy was told its outcome.
    Told,
    /// Told without having been tried: the engine refused it.
    Refused,
}

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum JobKind {
    Train,
    TrainShared,
    EvaluateShared,
}

/// A learning curve in few words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CurveSummary {
    /// Points reported.
    pub points: u32,
    /// Fidelity reached, in the search's units.
    pub reached: u32,
    /// How the training ended.
    pub ending: Option<Ending>,
    /// The first objective expected at full fidelity, where the host stopped the job.
    pub predicted: Option<f64>,
}

/// How a job came about, where the journal says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobProvenance {
    /// Unix seconds of its outcome.
    pub time: Option<f64>,
    /// Seconds of the device.
    pub device_seconds: Option<f64>,
    /// Device, `cpu` or `cuda:0`.
    pub device: Option<String>,
    /// Host name.
    pub host: Option<String>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobRow {
    /// Its number.
    pub job: JobId,
    /// What it does.
    pub kind: JobKind,
    /// Digest of the architecture trained; see [`crate::ResultStore::architecture`].
    pub architecture: Option<String>,
    /// Fidelity asked for; steps or architectures of shared work.
    pub amount: u32,
    /// Jobs it was derived from.
    pub parents: Vec<JobId>,
    /// The strategy's note, at most [`TEXT`] bytes of it.
    pub note: String,
    /// How far it is.
    pub state: JobState,
    /// Tries so far.
    pub attempts: u32,
    /// At the end of training, or of the last shared step; before, of the last report.
    pub measures: Vec<Measure>,
    /// Test measures.
    pub test: Vec<Measure>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// Its curve.
    pub curve: CurveSummary,
    /// What it was charged, in the search's budget unit.
    pub cost: f64,
    /// Digest of its weights.
    pub weights: Option<String>,
    /// How it came about.
    pub provenance: JobProvenance,
    /// Number of the record that handed it out.
    pub asked: u64,
    /// Number of the record that told it.
    pub told: Option<u64>,
    /// Where the record of its outcome lies in the journal; before, the one that handed it out.
    pub span: Span,
    /// A resumption took it back and it has not been handed out again.
    pub superseded: bool,
}

impl JobRow {
    /// A measure of its outcome.
    pub fn measure(&self, metric: &str) -> Option<f64> {
        Measure::find(&self.measures, metric)
    }

    /// Whether it is a finished training whose measures can be ranked.
    pub fn is_result(&self) -> bool {
        self.kind == JobKind::Train
            && matches!(self.state, JobState::Arrived | JobState::Told)
            && self.failure.is_none()
            && !self.superseded
    }
}

/// Longest text kept of a note or message, in bytes; longer ones are in the journal.
pub const TEXT: usize = 400;

/// Most measures kept of a job; more are in the journal.
pub(crate) const MEASURES: usize = 24;

/// The first bytes of a text, whole characters.
pub(crate) fn short(text: &str) -> String {
    let mut end = text.len().min(TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

pub(crate) fn short_failure(failure: &Failure) -> Failure {
    let kind: FailureKind = failure.kind;
    Failure { kind, message: short(&failure.message) }
}

/// A key that begins with a letter and a run.
pub(crate) fn run_key(letter: u8, run: &RunId) -> Vec<u8> {
    let mut key = vec![letter];
    push_run(&mut key, run);
    key
}

fn push_run(key: &mut Vec<u8>, run: &RunId) {
    key.extend_from_slice(run.name().as_bytes());
    key.push(0);
    key.extend_from_slice(&run.number().to_be_bytes());
}

pub(crate) fn job_key(run: &RunId, job: JobId) -> Vec<u8> {
    let mut key = run_key(b'j', run);
    key.extend_from_slice(&job.to_be_bytes());
    key
}

/// Prefix of the jobs of a run by a measure.
pub(crate) fn measure_prefix(run: &RunId, metric: &str) -> Vec<u8> {
    let mut key = run_key(b'b', run);
    key.extend_from_slice(metric.as_bytes());
    key.push(0);
    key
}

pub(crate) fn measure_key(run: &RunId, measure: &Measure, job: JobId) -> Vec<u8> {
    let mut key = measure_prefix(run, &measure.name);
    let bits = measure.value.to_bits();
    let sorted = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    key.extend_from_slice(&sorted.to_be_bytes());
    key.extend_from_slice(&job.to_be_bytes());
    key
}

pub(crate) fn architecture_prefix(digest: &str) -> Vec<u8> {
    let mut key = vec![b'a'];
    key.extend_from_slice(digest.as_bytes());
    key
}

pub(crate) fn architecture_key(digest: &str, run: &RunId, job: JobId) -> Vec<u8> {
    let mut key = architecture_prefix(digest);
    push_run(&mut key, run);
    key.extend_from_slice(&job.to_be_bytes());
    key
}

pub(crate) fn genes_key(digest: &str) -> Vec<u8> {
    let mut key = vec![b'g'];
    key.extend_from_slice(digest.as_bytes());
    key
}

/// The run in a key with `skip` bytes before it.
pub(crate) fn parse_run(key: &[u8], skip: usize) -> Option<RunId> {
    let rest = key.get(skip..)?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(rest.get(..end)?).ok()?;
    let number = rest.get(end + 1..)?.first_chunk::<4>()?;
    RunId::new(name, u32::from_be_bytes(*number)).ok()
}

/// The job at the end of a key.
pub(crate) fn parse_job(key: &[u8]) -> Option<JobId> {
    key.last_chunk::<8>().map(|job| JobId::from_be_bytes(*job))
}
