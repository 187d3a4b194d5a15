//! Drives one instance through a simulated search and writes down what it answered.

use std::collections::VecDeque;
use std::sync::Arc;

use nasd_protocol::{
    Answer, Ending, Failure, FailureKind, InitialWeights, Job, JobId, Outcome, Proposal, Request, Snapshot, Training,
    Verdict, Work,
};
use nasd_space::{Architecture, StreamRandom};

use super::cases::Case;
use super::simulation::{NoLog, SimulatedHistory, SimulatedSpace, SimulatedTask, point, trained};
use crate::error::CallError;
use crate::host::Services;
use crate::instance::Instance;
use crate::limits::Limits;
use crate::runtime::Component;
use crate::services::HistoryService;

/// Answers of `busy` in a row after which a strategy is taken to be stuck.
const MAX_BUSY: u32 = 10_000;

/// How a search differs from the plain one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Work in flight at once.
    pub(super) slots: u32,
    /// Before every call: save, make a new instance, restore.
    pub(super) restart: bool,
    /// Before every call: recommend and save, and nothing else.
    pub(super) asides: bool,
    /// Tell the newest of the jobs in flight first.
    pub(super) newest_first: bool,
    /// Jobs that fail, in place of their result.
    pub(super) failures: Failures,
    /// Before every second `ask`: tell a job that somebody else asked for.
    pub(super) foreign: bool,
}

/// Which jobs fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failures {
    None,
    /// Every second one, with each kind of failure in turn.
    EverySecond,
    /// The first so many.
    First(u64),
}

impl Manner {
    /// One slot, in order, undisturbed.
    pub(super) fn plain() -> Self {
        Self { slots: 1, restart: false, asides: false, newest_first: false, failures: Failures::None, foreign: false }
    }
}

/// One answer of the strategy; what two searches are compared by.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Entry {
    Asked { next_id: JobId, answer: Answer, random: u64 },
    Told { job: JobId, random: u64 },
    Judged { job: JobId, verdict: Verdict, random: u64 },
    Recommended(Vec<Architecture>),
}

/// Why a search ended before its time.
#[derive(Debug)]
pub(super) enum Breach {
    /// A call failed.
    Call(CallError),
    /// It proposed what cannot be done.
    Proposal(String),
    /// It answers `busy` for ever.
    Busy,
}

impl std::fmt::Display for Breach {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Breach::Call(error) => error.fmt(formatter),
            Breach::Proposal(problem) => formatter.write_str(problem),
            Breach::Busy => write!(formatter, "answers `busy` {MAX_BUSY} times in a row"),
        }
    }
}

impl From<CallError> for Breach {
    fn from(error: CallError) -> Self {
        Breach::Call(error)
    }
}

/// A simulated search under way.
pub(super) struct Driver<'a> {
    component: &'a Component,
    case: &'a Case,
    limits: &'a Limits,
    seed: u64,
    manner: Manner,
    space: Arc<SimulatedSpace>,
    history: Arc<SimulatedHistory>,
    task: SimulatedTask,
    next_id: JobId,
    in_flight: VecDeque<JobId>,
    pub(super) instance: Instance,
    /// Jobs in the order they were told.
    pub(super) told: Vec<Job>,
    pub(super) transcript: Vec<Entry>,
}

impl<'a> Driver<'a> {
    /// A search that has just started.
    pub(super) async fn start(
        component: &'a Component,
        case: &'a Case,
        limits: &'a Limits,
        seed: u64,
        manner: Manner,
    ) -> Result<Self, CallError> {
        let space = SimulatedSpace::new(case.setup.space.clone())
            .map(Arc::new)
            .map_err(|message| CallError::Host { message })?;
        let history = Arc::new(SimulatedHistory::default());
        let mut instance = component.instantiate(services(&space, &history, seed), limits).await?;
        instance.start(&case.setup).await?;
        Ok(Self {
            component,
            case,
            limits,
            seed,
            manner,
            space,
            history,
            task: SimulatedTask::default(),
            next_id: 0,
            in_flight: VecDeque::new(),
            instance,
            told: Vec::new(),
            transcript: Vec::new(),
        })
    }

    /// Another instance over the same space and history, not started.
    pub(super) async fn another(&self) -> Result<Instance, CallError> {
        self.component.instantiate(services(&self.space, &self.history, self.seed), self.limits).await
    }

    /// Exchange the instance.
    pub(super) fn continue_with(&mut self, instance: Instance) {
        self.instance = instance;
    }

    /// Search until `n_jobs` in all were told, or the strategy has finished. Ends with a recommendation.
    pub(super) async fn run(&mut self, n_jobs: u64) -> Result<(), Breach> {
        let mut finished = false;
        while !finished && (self.told.len() as u64) < n_jobs {
            finished = self.fill(n_jobs).await?;
            self.tell_one().await?;
        }
        while !self.in_flight.is_empty() {
            self.tell_one().await?;
        }
        self.before_call().await?;
        let recommended = self.instance.recommend(3).await?;
        self.transcript.push(Entry::Recommended(recommended));
        Ok(())
    }

    /// Ask until all slots are taken, or it waits; true: it has finished.
    async fn fill(&mut self, n_jobs: u64) -> Result<bool, Breach> {
        let mut busy = 0;
        while self.in_flight.len() < self.manner.slots as usize {
            if self.manner.foreign && self.next_id.is_multiple_of(2) {
                self.tell_foreign().await?;
            }
            let free = self.manner.slots - self.in_flight.len() as u32;
            let request = Request {
                slots: free,
                next_id: self.next_id,
                in_flight: self.in_flight.iter().copied().collect(),
                jobs_left: Some(n_jobs.saturating_sub(self.told.len() as u64 + self.in_flight.len() as u64)),
                budget_used: (self.told.len() as f64 / n_jobs as f64).min(1.0),
            };
            self.before_call().await?;
            let answer = self.instance.ask(&request).await?;
            self.transcript.push(Entry::Asked {
                next_id: self.next_id,
                answer: answer.clone(),
                random: self.instance.random_position(),
            });
            match answer {
                Answer::Work(proposals) => {
                    for proposal in proposals {
                        self.take(proposal)?;
                    }
                    busy = 0;
                }
                Answer::Wait => return Ok(false),
                Answer::Busy if busy == MAX_BUSY => return Err(Breach::Busy),
                Answer::Busy => busy += 1,
                Answer::Finished(_) => return Ok(true),
            }
        }
        Ok(false)
    }

    fn take(&mut self, proposal: Proposal) -> Result<(), Breach> {
        let id = self.next_id;
        self.space
            .check_work(&proposal.work)
            .map_err(|failure| Breach::Proposal(format!("job {id}: {}", failure.message)))?;
        if proposal.work.is_shared() && !self.case.setup.offers.shared_weights {
            return Err(Breach::Proposal(format!("job {id}: shared work where the task has no shared weights")));
        }
        self.next_id += 1;
        self.in_flight.push_back(id);
        self.history.put(Job { id, proposal, outcome: None, cost: 0.0 });
        Ok(())
    }

    async fn tell_one(&mut self) -> Result<(), Breach> {
        let next = if self.manner.newest_first { self.in_flight.pop_back() } else { self.in_flight.pop_front() };
        let Some(mut job) = next.and_then(|id| self.history.get(id)) else { return Ok(()) };
        let outcome = match self.failure(job.id) {
            Some(kind) => Outcome::Failed(Failure { kind, message: "a failure of the conformance suite".to_owned() }),
            None => self.outcome(&job).await?,
        };
        job.cost = cost(&job.proposal.work);
        job.outcome = Some(outcome);
        self.before_call().await?;
        // The job counts as told in the call itself; `history` shows its outcome then.
        self.history.put(job.clone());
        self.instance.tell(&job).await?;
        self.transcript.push(Entry::Told { job: job.id, random: self.instance.random_position() });
        self.told.push(job);
        Ok(())
    }

    /// Do a job, asking for verdicts on the way.
    async fn outcome(&mut self, job: &Job) -> Result<Outcome, Breach> {
        if let Work::Train(training) = &job.proposal.work
            && training.judge_every > 0
        {
            let mut reached = training.judge_every;
            while reached < training.fidelity {
                self.before_call().await?;
                let verdict = self.instance.judge(job.id, &point(training, reached)).await?;
                let random = self.instance.random_position();
                self.transcript.push(Entry::Judged { job: job.id, verdict, random });
                if verdict == Verdict::Stop {
                    return Ok(Outcome::Trained(trained(training, reached, Ending::StoppedByStrategy)));
                }
                reached = reached.saturating_add(training.judge_every);
            }
        }
        Ok(self.task.run(job.id, &job.proposal.work))
    }

    fn failure(&self, id: JobId) -> Option<FailureKind> {
        use FailureKind::*;
        let kinds = [
            Diverged,
            Infrastructure,
            OutOfMemory,
            InvalidArchitecture,
            OverConstraint,
            TimedOut,
            Unsupported,
            MissingWeights,
            Cancelled,
        ];
        let kind = kinds.get((id / 2) as usize % kinds.len()).copied();
        match self.manner.failures {
            Failures::EverySecond if id % 2 == 1 => kind,
            Failures::First(n) if id < n => kind,
            _ => None,
        }
    }

    /// A finished job that this strategy never asked for, and a report of one. Not part of the transcript.
    async fn tell_foreign(&mut self) -> Result<(), Breach> {
        let mut random = StreamRandom::new(self.seed, &format!("foreign {}", self.next_id));
        let architecture = self
            .case
            .setup
            .space
            .sample(&mut random)
            .map_err(|error| CallError::Host { message: error.to_string() })?;
        let training =
            Training { architecture, fidelity: 1, schedule: 0, initial_weights: InitialWeights::Fresh, judge_every: 1 };
        let reached = point(&training, 1);
        let outcome = Outcome::Trained(trained(&training, 1, Ending::Complete));
        let proposal = Proposal {
            work: Work::Train(training),
            parents: Vec::new(),
            note: "somebody else's note, and no JSON".to_owned(),
        };
        let job = Job { id: self.next_id, proposal, outcome: Some(outcome), cost: 1.0 };
        self.next_id += 1;
        self.history.put(job.clone());
        let verdict = self.instance.judge(job.id, &reached).await?;
        if verdict != Verdict::Proceed {
            return Err(Breach::Proposal(format!("says `stop` of job {}, which it does not know", job.id)));
        }
        self.instance.tell(&job).await?;
        self.told.push(job);
        Ok(())
    }

    async fn before_call(&mut self) -> Result<(), CallError> {
        if self.manner.asides {
            self.instance.recommend(2).await?;
            self.instance.save().await?;
        }
        if self.manner.restart {
            let snapshot = self.instance.save().await?;
            self.instance = self.restored(&snapshot).await?;
        }
        Ok(())
    }

    /// A new instance that goes on from `snapshot` at the present position of the random stream.
    async fn restored(&self, snapshot: &Snapshot) -> Result<Instance, CallError> {
        let mut next = self.another().await?;
        next.seek_random(self.instance.random_position());
        next.restore(&self.case.setup, snapshot).await?;
        Ok(next)
    }
}

fn services(space: &Arc<SimulatedSpace>, history: &Arc<SimulatedHistory>, seed: u64) -> Services {
    Services {
        random: StreamRandom::new(seed, "strategy"),
        space: space.clone(),
        history: history.clone(),
        log: Arc::new(NoLog),
    }
}

/// In units of training.
fn cost(work: &Work) -> f64 {
    match work {
        Work::Train(training) => f64::from(training.fidelity),
        Work::TrainShared(steps) => steps.len() as f64,
        Work::EvaluateShared(evaluation) => evaluation.architectures.len() as f64,
    }
}
