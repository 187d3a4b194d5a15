//! The journal's events, in two lanes.
//!
//! The *deterministic* lane is what "the same run" means: `nasd journal digest` hashes it alone, in order,
//! leaving out what a later [`Event::Resumed`] supersedes. The *observed* lane says how it came about: times,
//! devices, retries, the order in which results happened to arrive. An outcome's arrival is observed (two
//! trainers may finish in either order); that it was told, and after what, is deterministic.

use std::collections::BTreeMap;
use std::fmt;

use nasd_space::Architecture;
use serde::{Deserialize, Serialize};

use crate::contract::{Answer, JobId, LogLevel, Measure, Outcome, Point, Request, Setup, Snapshot, Verdict};

/// Which lane an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Hashed by the journal's digest.
    Deterministic,
    /// How it came about.
    Observed,
}

/// Which strategy a run uses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrategyIdentity {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// BLAKE3 of the component.
    pub digest: String,
}

/// Who gave a verdict on a training under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judge {
    /// The strategy's `judge`.
    Strategy,
    /// The search's `[approximation]` table.
    Host,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunEnding {
    /// The budget was used up.
    Budget,
    /// The strategy had no more work.
    Strategy(String),
    /// It cannot go on.
    Failed(String),
    /// An operator ended it.
    Stopped(String),
}

/// In a line, for people.
impl fmt::Display for RunEnding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget => out.write_str("done: the budget is used up"),
            Self::Strategy(reason) => write!(out, "done: {reason}"),
            Self::Failed(reason) => write!(out, "failed: {reason}"),
            Self::Stopped(by) => write!(out, "stopped by {by}"),
        }
    }
}

/// Why the strategy of a running search was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SwapCause {
    /// Its component has a new build.
    Build,
    /// Another strategy was chosen.
    Strategy,
    /// Its parameters were changed.
    Parameters,
    /// The one before was wanted back.
    RollBack,
    /// It failed in this call; the observed lane says how.
    Trap(String),
}

/// How a strategy takes over a running search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Takeover {
    /// From a snapshot, and told what that misses.
    Restore,
    /// Started anew, and shown all told jobs.
    Replay,
}

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// First of every journal.
    Begun {
        /// The search's canonical configuration as JSON.
        configuration: String,
        /// Its BLAKE3 digest.
        configuration_digest: String,
        /// The run's seed.
        seed: u64,
        /// The strategy.
        strategy: StrategyIdentity,
        /// What it is started with.
        setup: Box<Setup>,
    },
    /// `start` returned.
    Started {
        /// Position of the strategy's random stream afterwards.
        random: u64,
    },
    /// `ask` returned.
    Asked {
        /// The request.
        request: Request,
        /// The answer; its proposals are jobs `request.next_id ..`.
        answer: Answer,
        /// Position of the strategy's random stream afterwards.
        random: u64,
    },
    /// A job was handed to a trainer (observed).
    Dispatched {
        /// The job.
        job: JobId,
        /// 1 for the first try.
        attempt: u32,
    },
    /// A trainer reported a point of a curve (observed).
    Reported {
        /// The job.
        job: JobId,
        /// What was reached.
        point: Point,
    },
    /// A training under way was judged.
    Judged {
        /// The job.
        job: JobId,
        /// At what point.
        point: Point,
        /// Who judged.
        by: Judge,
        /// The verdict.
        verdict: Verdict,
        /// Position of the strategy's random stream afterwards.
        random: u64,
    },
    /// An outcome arrived (observed: it counts when told). Durable before anything follows from it.
    Arrived {
        /// The job.
        job: JobId,
        /// What came of it.
        outcome: Outcome,
        /// In the search's budget unit.
        cost: f64,
        /// Checkpoint of the trained weights, if kept.
        weights: Option<String>,
        /// Test measures, which no strategy sees.
        test: Vec<Measure>,
    },
    /// `tell` returned.
    Told {
        /// The job.
        job: JobId,
        /// BLAKE3 of the outcome's encoding.
        outcome_digest: String,
        /// What it was charged.
        cost: f64,
        /// Position of the strategy's random stream afterwards.
        random: u64,
    },
    /// A state to resume from (observed).
    Savepoint {
        /// The strategy.
        snapshot: Snapshot,
        /// Position of its random stream.
        random: u64,
        /// Checkpoint of the shared weights after all shared jobs told so far, and how many weight updates it holds.
        shared: Option<SharedCheckpoint>,
    },
    /// Another strategy, build or set of parameters took the search over. Durable before the first call of it.
    Swapped {
        /// Who had it.
        from: StrategyIdentity,
        /// Who has it now.
        to: StrategyIdentity,
        /// The parameters now, as JSON.
        parameters: String,
        /// Why.
        cause: SwapCause,
        /// How.
        via: Takeover,
        /// Strategies given up on: 0 for a new one, 1 for a return to the one before, more if that one failed too.
        back: u32,
        /// Position of the random stream before.
        random_before: u64,
        /// And after.
        random: u64,
        /// Whether the run can be taken up from here. The state handed over is the savepoint just before, or on a
        /// return the savepoint at which that strategy left.
        is_savepoint: bool,
    },
    /// A strategy did not take over; the one before goes on (observed).
    SwapRefused {
        /// Who.
        to: StrategyIdentity,
        /// Why not.
        message: String,
    },
    /// An operator changed what the search is to do. The run can be taken up again from here; the strategy's state is
    /// that of the savepoint just before.
    Adjusted {
        /// The budget now, as JSON.
        budget: String,
        /// Jobs in flight at most, from now on.
        slots: u32,
        /// Position of the strategy's random stream.
        random: u64,
    },
    /// The events before are those of another run (observed).
    Forked {
        /// `name/17`.
        run: String,
        /// Sequence number of the last event shared.
        at: u64,
    },
    /// The run was taken up again (observed).
    Resumed {
        /// Sequence number of the savepoint (or swap that is one); none: from the beginning.
        savepoint: Option<u64>,
        /// Deterministic events with a sequence number in `from .. to` (to exclusive) happen again.
        supersedes: (u64, u64),
    },
    /// What the run hands over, best first.
    Recommended {
        /// The architectures.
        architectures: Vec<Architecture>,
    },
    /// A recommended architecture was trained by the final recipe (observed).
    FinallyTrained {
        /// Rank among the recommended, from 0.
        rank: u32,
        /// The seed's number.
        repetition: u32,
        /// What came of it.
        outcome: Outcome,
        /// Held-out measures.
        test: Vec<Measure>,
        /// Checkpoint of its weights.
        weights: Option<String>,
    },
    /// A checkpoint of a final training under way (observed).
    FinallySaved {
        /// Rank among the recommended, from 0.
        rank: u32,
        /// The seed's number.
        repetition: u32,
        /// Epochs done.
        fidelity: u32,
        /// The checkpoint, which goes once there is a later one.
        weights: String,
    },
    /// A strategy's log line (observed).
    Logged {
        /// Level.
        level: LogLevel,
        /// Text.
        message: String,
    },
    /// A scalar charted by the strategy (observed).
    Charted {
        /// Name of the chart.
        name: String,
        /// Value.
        value: f64,
    },
    /// The run ended.
    Ended {
        /// Why.
        ending: RunEnding,
    },
}

impl Event {
    /// Its kind, as in the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Begun { .. } => "begun",
            Event::Started { .. } => "started",
            Event::Asked { .. } => "asked",
            Event::Dispatched { .. } => "dispatched",
            Event::Reported { .. } => "reported",
            Event::Judged { .. } => "judged",
            Event::Arrived { .. } => "arrived",
            Event::Told { .. } => "told",
            Event::Savepoint { .. } => "savepoint",
            Event::Swapped { .. } => "swapped",
            Event::SwapRefused { .. } => "swap-refused",
            Event::Adjusted { .. } => "adjusted",
            Event::Forked { .. } => "forked",
            Event::Resumed { .. } => "resumed",
            Event::Recommended { .. } => "recommended",
            Event::FinallyTrained { .. } => "finally-trained",
            Event::FinallySaved { .. } => "finally-saved",
            Event::Logged { .. } => "logged",
            Event::Charted { .. } => "charted",
            Event::Ended { .. } => "ended",
        }
    }

    /// The event's lane.
    pub fn lane(&self) -> Lane {
        match self {
            Event::Begun { .. }
            | Event::Started { .. }
            | Event::Asked { .. }
            | Event::Judged { .. }
            | Event::Told { .. }
            | Event::Swapped { .. }
            | Event::Adjusted { .. }
            | Event::Recommended { .. }
            | Event::Ended { .. } => Lane::Deterministic,
            Event::Dispatched { .. }
            | Event::Reported { .. }
            | Event::Arrived { .. }
            | Event::Savepoint { .. }
            | Event::SwapRefused { .. }
            | Event::Forked { .. }
            | Event::Resumed { .. }
            | Event::FinallyTrained { .. }
            | Event::FinallySaved { .. }
            | Event::Logged { .. }
            | Event::Charted { .. } => Lane::Observed,
        }
    }
}

/// A checkpoint of shared weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedCheckpoint {
    /// BLAKE3 of the file.
    pub digest: String,
    /// The last shared job it holds.
    pub after_job: Option<JobId>,
    /// Weight updates made.
    pub steps_done: u64,
}

/// One entry of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 0, by ones.
    pub sequence: u64,
    /// What happened.
    pub event: Event,
    /// How it came about: `time` (Unix seconds), `device_seconds`, `host`, `device`, `threads`, `libtorch`, `nasd` ...
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<String, Observation>,
}

/// A value of the observed lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Observation {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}
