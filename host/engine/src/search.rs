//! The state machine of one search.
//!
//! One strategy call is outstanding at most. Whenever none is, `Search::decide` picks the next thing, in this
//! order: a savepoint that is due, a request for work while slots are free, the next delivery, the end. That
//! order depends on nothing but what was asked and told, so in `virtual` order the whole deterministic lane of
//! the journal is a function of the configuration and the outcomes.
//!
//! Long, because inputs, what they change and what is decided next are one function of one state, read together;
//! swaps, delivery, budgets and resumption have files of their own.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use nasd_protocol::{
    Answer, Ending, Event, Failure, FailureKind, InitialWeights, JobId, Measure, Outcome, Point, Proposal, Request,
    Snapshot, Trained, Verdict, Work,
    event::{Judge, Observation, RunEnding, SharedCheckpoint},
    frame,
};

use crate::{
    budget::Usage,
    delivery::{Delivery, NextEvent, earliest, first_here, is_judged, next_event},
    ledger::{JobEntry, JobStatus, Ledger},
    plan::{Order, Plan, TaskModel},
    swap::{Adjustment, Change, SwapOrder, Swapping, TakenOver, TakeoverOrder, Tenure},
};

/// Answers of `busy` in a row before a strategy is taken to be stuck.
const MAX_BUSY: u32 = 1_000_000;
/// Refused proposals in a row before a strategy is taken to be stuck.
const MAX_REFUSED: u32 = 10_000;

/// A call of the strategy.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Call {
    Start,
    Ask(Request),
    Tell(JobId),
    Judge { job: JobId, point: Point },
    Recommend { limit: u32 },
    Save,
}

impl Call {
    /// The function's name in the contract.
    pub fn name(&self) -> &'static str {
        match self {
            Call::Start => "start",
            Call::Ask(_) => "ask",
            Call::Tell(_) => "tell",
            Call::Judge { .. } => "judge",
            Call::Recommend { .. } => "recommend",
            Call::Save => "save",
        }
    }
}

/// What a call returned.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Reply {
    Started,
    Answered(Answer),
    Told,
    Judged(Verdict),
    Recommended(Vec<nasd_space::Architecture>),
    Saved(Snapshot),
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Go: start the strategy, or go on after a resumption.
    Begin,
    /// The outstanding call returned, or failed for good.
    Returned {
        /// What it gave.
        reply: Result<Reply, String>,
        /// Position of the strategy's random stream afterwards.
        random: u64,
    },
    /// A trainer reported a point of a curve.
    Reported {
        /// The job.
        job: JobId,
        /// What was reached.
        point: Point,
    },
    /// A trainer finished a job.
    Arrived {
        /// The job.
        job: JobId,
        /// What came of it.
        outcome: Outcome,
        /// Checkpoint of its weights.
        weights: Option<String>,
        /// Held-out measures.
        test: Vec<Measure>,
        /// Times, devices.
        observed: BTreeMap<String, Observation>,
    },
    /// Everything journalled so far is durable.
    Durable,
    /// The job's trainer was lost.
    Lost {
        /// The job.
        job: JobId,
        /// For people.
        reason: String,
    },
    /// The shared weights are saved; none: there is no session yet.
    Checkpointed(Option<SharedCheckpoint>),
    /// Real time since the run began, for budgets that count it, and whether the deadline has passed.
    Elapsed {
        /// Seconds.
        seconds: f64,
        /// It is later than the budget allows.
        is_late: bool,
    },
    /// Stop asking, save, suspend.
    Interrupt,
    /// Put another strategy in place of the current one.
    Swap(SwapOrder),
    /// Return to the strategy before.
    RollBack {
        /// Who wants it.
        by: String,
    },
    /// Go on with another budget or another number of slots.
    Adjust(Adjustment),
    /// The answer to `TakeOver`.
    TookOver(Result<TakenOver, String>),
}

/// Something to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Append to the journal.
    Journal {
        /// The event.
        event: Event,
        /// Its observed lane.
        observed: BTreeMap<String, Observation>,
        /// Say `Durable` once it is on disk.
        durable: bool,
    },
    /// Call the strategy; answered by `Returned`.
    Call(Call),
    /// Hand the job to a trainer.
    Dispatch {
        /// The job; its proposal is in the ledger.
        job: JobId,
        /// 1 for the first try.
        attempt: u32,
    },
    /// The job's result is not needed any more.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Make an instance of another strategy and let it take over; answered by `TookOver`. The current instance
    /// stays.
    TakeOver(TakeoverOrder),
    /// Make the journal durable; from then on the instance that took over is the strategy.
    Adopt,
    /// Save the shared weights after all shared jobs dispatched so far; answered by `Checkpointed`.
    Checkpoint,
    /// The shared weights are lost: take the run up again from its journal.
    Rewind {
        /// For people.
        reason: String,
    },
    /// What was run again came out differently than the journal says.
    Diverged {
        /// In the journal.
        expected: Box<Event>,
        /// Now.
        found: Box<Event>,
    },
    /// Everything is told and handed over (`Recommended` is journalled).
    Finish(RunEnding),
    /// Suspended after `Interrupt`: a later resumption goes on from here.
    Suspended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Suspending,
    Recommending,
    Over,
}

enum Delivered {
    Nothing,
    /// The strategy was called.
    ByCall,
    /// The host judged.
    AtOnce,
}

/// A ledger that the strategy's `history` import reads too.
pub type SharedLedger = Arc<RwLock<Ledger>>;

/// Read access, whatever became of an earlier holder.
pub fn read_ledger(ledger: &SharedLedger) -> RwLockReadGuard<'_, Ledger> {
    ledger.read().unwrap_or_else(PoisonError::into_inner)
}

fn write_ledger(ledger: &SharedLedger) -> RwLockWriteGuard<'_, Ledger> {
    ledger.write().unwrap_or_else(PoisonError::into_inner)
}

/// An outcome that is durable already, from before a crash.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownOutcome {
    /// What was asked for then.
    pub proposal: Option<Proposal>,
    /// Points that were reported before.
    pub reports: Vec<Point>,
    /// What came of it.
    pub outcome: Outcome,
    /// Checkpoint of its weights.
    pub weights: Option<String>,
}

/// One search.
pub struct Search {
    pub(crate) plan: Plan,
    task: Arc<dyn TaskModel>,
    ledger: SharedLedger,
    pub(crate) usage: Usage,
    pub(crate) random: u64,
    in_flight: Vec<JobId>,
    /// Jobs whose outcome is here, in order of arrival.
    arrivals: Vec<JobId>,
    /// When the shared weights are next free, on the search's clock.
    shared_free_at: f64,
    phase: Phase,
    started: bool,
    /// The call whose return is waited for.
    outstanding: Option<Call>,
    is_checkpointing: bool,
    pub(crate) pending_checkpoint: Option<Option<SharedCheckpoint>>,
    /// The strategy answered `wait` and was told nothing since.
    pub(crate) is_waiting: bool,
    finished: Option<String>,
    n_busy: u32,
    n_refused: u32,
    last_savepoint_told: u64,
    /// What the journal says comes next, after a resumption.
    expected: VecDeque<Event>,
    known: BTreeMap<JobId, KnownOutcome>,
    /// Who had the search, the current strategy last.
    pub(crate) lineage: Vec<Tenure>,
    pub(crate) swapping: Swapping,
    /// A strategy took over and was not saved since.
    pub(crate) owes_savepoint: bool,
    /// Of the savepoint before a swap: the one after holds the same weights.
    pub(crate) swap_checkpoint: Option<SharedCheckpoint>,
}

impl Search {
    /// A new search.
    pub fn new(plan: Plan, task: Arc<dyn TaskModel>) -> Self {
        Self {
            plan,
            task,
            ledger: SharedLedger::default(),
            usage: Usage::default(),
            random: 0,
            in_flight: Vec::new(),
            arrivals: Vec::new(),
            shared_free_at: 0.0,
            phase: Phase::Running,
            started: false,
            outstanding: None,
            is_checkpointing: false,
            pending_checkpoint: None,
            is_waiting: false,
            finished: None,
            n_busy: 0,
            n_refused: 0,
            last_savepoint_told: 0,
            expected: VecDeque::new(),
            known: BTreeMap::new(),
            lineage: Vec::new(),
            swapping: Swapping::default(),
            owes_savepoint: false,
            swap_checkpoint: None,
        }
    }

    /// The jobs.
    pub fn ledger(&self) -> &SharedLedger {
        &self.ledger
    }

    /// What was used of the budget.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Jobs not told yet, in id order.
    pub fn in_flight(&self) -> &[JobId] {
        &self.in_flight
    }

    /// Share of the budget used.
    pub fn budget_used(&self) -> f64 {
        self.plan.budget.used(&self.usage)
    }

    /// Weight updates on shared weights handed out so far.
    pub fn updates(&self) -> u64 {
        self.usage.updates
    }

    /// Whether the strategy was started (in this process or one before).
    pub fn is_started(&self) -> bool {
        self.started
    }

    /// Take an input, say what to do.
    pub fn step(&mut self, input: Input) -> Vec<Command> {
        let mut out = Vec::new();
        if self.phase == Phase::Over {
            return out;
        }
        match input {
            Input::Begin => self.begin(&mut out),
            Input::Returned { reply, random } => {
                let Some(call) = self.outstanding.take() else { return out };
                match reply {
                    Ok(reply) => {
                        self.random = random;
                        self.returned(call, reply, &mut out);
                    }
                    // The random stream stays where the call began.
                    Err(message) => self.call_failed(&call, message, &mut out),
                }
            }
            Input::Reported { job, point } => self.reported(job, point, &mut out),
            Input::Arrived { job, outcome, weights, test, observed } => {
                self.arrived(job, outcome, weights, test, observed, &mut out);
            }
            Input::Durable => self.mark_durable(),
            Input::Lost { job, reason } => self.lost(job, reason, &mut out),
            Input::Checkpointed(checkpoint) => {
                self.is_checkpointing = false;
                self.pending_checkpoint = Some(checkpoint);
            }
            Input::Elapsed { seconds, is_late } => {
                self.usage.wall_seconds = seconds;
                self.usage.is_late = is_late;
            }
            Input::Interrupt => {
                if self.phase == Phase::Running {
                    self.phase = Phase::Suspending;
                    self.drop_wanted(&mut out);
                }
            }
            Input::Swap(order) => self.want(Change::Forward(order), &mut out),
            Input::RollBack { by } => self.want(Change::Back { by }, &mut out),
            Input::Adjust(adjustment) => self.want(Change::Adjust(adjustment), &mut out),
            Input::TookOver(result) => self.took_over(result, &mut out),
        }
        self.decide(&mut out);
        out
    }

    fn begin(&mut self, out: &mut Vec<Command>) {
        if !self.started {
            self.call(Call::Start, out);
            return;
        }
        // After a resumption: what is known already arrives at once, the rest is run again.
        for job in self.in_flight.clone() {
            self.dispatch_or_recall(job, out);
        }
    }

    fn call(&mut self, call: Call, out: &mut Vec<Command>) {
        self.outstanding = Some(call.clone());
        out.push(Command::Call(call));
    }

    /// Journal a deterministic event, comparing it with what a resumed journal says.
    fn record(&mut self, event: Event, out: &mut Vec<Command>) {
        self.record_observed(event, BTreeMap::new(), false, out);
    }

    pub(crate) fn record_observed(
        &mut self,
        event: Event,
        observed: BTreeMap<String, Observation>,
        durable: bool,
        out: &mut Vec<Command>,
    ) {
        if let Some(expected) = self.expected.pop_front()
            && expected != event
        {
            self.expected.clear();
            out.push(Command::Diverged { expected: Box::new(expected), found: Box::new(event.clone()) });
        }
        out.push(Command::Journal { event, observed, durable });
    }

    pub(crate) fn fail(&mut self, message: String, out: &mut Vec<Command>) {
        for job in &self.in_flight {
            out.push(Command::Cancel { job: *job });
        }
        self.phase = Phase::Over;
        out.push(Command::Finish(RunEnding::Failed(message)));
    }

    fn returned(&mut self, call: Call, reply: Reply, out: &mut Vec<Command>) {
        match (call, reply) {
            (Call::Start, Reply::Started) => {
                self.started = true;
                self.record(Event::Started { random: self.random }, out);
            }
            (Call::Ask(request), Reply::Answered(answer)) => {
                self.record(Event::Asked { request, answer: answer.clone(), random: self.random }, out);
                for job in self.apply_asked(answer) {
                    self.dispatch_or_recall(job, out);
                }
                if self.n_busy > MAX_BUSY {
                    self.fail(format!("the strategy answered `busy` {MAX_BUSY} times in a row"), out);
                } else if self.n_refused > MAX_REFUSED {
                    let message = format!("{MAX_REFUSED} proposals in a row were refused; the last: ");
                    let last = self.last_refusal();
                    self.fail(message + &last, out);
                }
            }
            (Call::Tell(job), Reply::Told) => {
                let (outcome_digest, cost) = self.apply_told(job);
                self.record(Event::Told { job, outcome_digest, cost, random: self.random }, out);
            }
            (Call::Judge { job, point }, Reply::Judged(verdict)) => {
                self.judge(job, point, Judge::Strategy, verdict, out);
            }
            (Call::Save, Reply::Saved(snapshot)) => {
                self.last_savepoint_told = self.n_told();
                let shared = self.take_checkpoint();
                self.owes_savepoint = false;
                let event = Event::Savepoint { snapshot: snapshot.clone(), random: self.random, shared };
                out.push(Command::Journal { event, observed: BTreeMap::new(), durable: true });
                if matches!(self.swapping, Swapping::Saving(_)) {
                    self.take_over(Some(snapshot), out);
                } else if self.phase == Phase::Suspending {
                    self.suspend(out);
                }
            }
            (Call::Recommend { .. }, Reply::Recommended(architectures)) => {
                let architectures = self.complete_recommendation(architectures);
                self.record(Event::Recommended { architectures }, out);
                self.phase = Phase::Over;
                let ending = match self.finished.take() {
                    Some(reason) => RunEnding::Strategy(reason),
                    None => RunEnding::Budget,
                };
                out.push(Command::Finish(ending));
            }
            (call, reply) => self.fail(format!("{call:?} was answered by {reply:?}"), out),
        }
    }

    fn n_told(&self) -> u64 {
        read_ledger(&self.ledger).told().len() as u64
    }

    fn last_refusal(&self) -> String {
        let ledger = read_ledger(&self.ledger);
        ledger
            .iter()
            .rev()
            .find_map(|(_, entry)| match &entry.status {
                JobStatus::Arrived { outcome: Outcome::Failed(failure), .. }
                | JobStatus::Told(Outcome::Failed(failure)) => Some(failure.message.clone()),
                _ => None,
            })
            .unwrap_or_default()
    }

    fn request(&self) -> Request {
        let free = self.plan.slots.saturating_sub(self.in_flight.len() as u32);
        let jobs_left = self.plan.budget.jobs_left(&self.usage);
        Request {
            slots: jobs_left.map_or(free, |left| u64::from(free).min(left) as u32),
            next_id: read_ledger(&self.ledger).next_id(),
            in_flight: self.in_flight.clone(),
            jobs_left,
            budget_used: self.budget_used(),
        }
    }

    /// Enter an answer; gives the jobs it made.
    pub(crate) fn apply_asked(&mut self, answer: Answer) -> Vec<JobId> {
        let mut jobs = Vec::new();
        self.n_busy = if answer == Answer::Busy { self.n_busy.saturating_add(1) } else { 0 };
        match answer {
            Answer::Busy => {}
            Answer::Wait => self.is_waiting = true,
            Answer::Finished(reason) => self.finished = Some(reason),
            Answer::Work(proposals) => {
                for proposal in proposals {
                    jobs.push(self.apply_proposal(proposal));
                }
            }
        }
        jobs
    }

    fn apply_proposal(&mut self, proposal: Proposal) -> JobId {
        let refusal = self.refusal(&proposal);
        let (resumed_from, duration, epochs) = if refusal.is_some() {
            (0, 0.0, 0.0)
        } else {
            let from = self.resumed_from(&proposal.work);
            (from, self.task.duration(&proposal.work, from), self.task.epochs(&proposal.work, from))
        };
        let is_shared = proposal.work.is_shared();
        let begun = if is_shared { self.usage.clock.max(self.shared_free_at) } else { self.usage.clock };
        self.usage.hand_out(&proposal.work, epochs);
        let mut entry = JobEntry::new(proposal, begun, duration, resumed_from);
        match refusal {
            Some(failure) => {
                self.n_refused = self.n_refused.saturating_add(1);
                entry.status = JobStatus::Arrived { outcome: Outcome::Failed(failure), durable: true };
            }
            None => {
                self.n_refused = 0;
                if is_shared {
                    self.shared_free_at = begun + duration;
                }
            }
        }
        let job = write_ledger(&self.ledger).push(entry);
        self.in_flight.push(job);
        job
    }

    fn resumed_from(&self, work: &Work) -> u32 {
        let Work::Train(training) = work else { return 0 };
        let InitialWeights::Resume(parent) = training.initial_weights else { return 0 };
        let ledger = read_ledger(&self.ledger);
        let entry = ledger.get(parent);
        let reached = entry.as_deref().and_then(JobEntry::trained).and_then(|trained| trained.curve.last());
        reached.map_or(0, |point| point.fidelity)
    }

    /// Why the work cannot be done, if so.
    fn refusal(&self, proposal: &Proposal) -> Option<Failure> {
        let refuse = |kind, message: String| Some(Failure { kind, message });
        let check_shared = |architectures: Vec<&nasd_space::Architecture>| {
            if !self.task.has_shared_weights() {
                return refuse(FailureKind::Unsupported, "the task has no shared weights".into());
            }
            architectures.into_iter().find_map(|architecture| self.task.check_shared(architecture).err())
        };
        match &proposal.work {
            Work::Train(training) => {
                if let Err(failure) = self.task.check(&training.architecture) {
                    return Some(failure);
                }
                if training.fidelity == 0 || training.fidelity > self.plan.max_fidelity {
                    let message =
                        format!("fidelity {} is not within 1 and {}", training.fidelity, self.plan.max_fidelity);
                    return refuse(FailureKind::Unsupported, message);
                }
                let parent = match &training.initial_weights {
                    InitialWeights::ByPolicy | InitialWeights::Fresh => return None,
                    InitialWeights::Shared if self.task.has_shared_weights() => return None,
                    InitialWeights::Shared => {
                        return refuse(FailureKind::Unsupported, "the task has no shared weights".into());
                    }
                    InitialWeights::Resume(parent) => *parent,
                    InitialWeights::Inherit(inheritance) => inheritance.job,
                };
                if !self.task.keeps_weights() {
                    let message = "the search keeps no weights: set `weights.keep = \"all\"`".into();
                    return refuse(FailureKind::Unsupported, message);
                }
                let ledger = read_ledger(&self.ledger);
                let Some(entry) = ledger.get(parent).filter(|entry| entry.weights.is_some()) else {
                    return refuse(FailureKind::MissingWeights, format!("job {parent} left no weights"));
                };
                let reached = entry.trained().and_then(|trained| trained.curve.last()).map_or(0, |p| p.fidelity);
                if matches!(training.initial_weights, InitialWeights::Resume(_)) && training.fidelity <= reached {
                    let message =
                        format!("job {parent} has reached fidelity {reached}, {} is asked for", training.fidelity);
                    return refuse(FailureKind::Unsupported, message);
                }
                None
            }
            Work::TrainShared(steps) => check_shared(steps.iter().map(|step| &step.architecture).collect()),
            Work::EvaluateShared(evaluation) => check_shared(evaluation.architectures.iter().collect()),
        }
    }

    /// Give a job to a trainer, unless its outcome is known from before a crash.
    fn dispatch_or_recall(&mut self, job: JobId, out: &mut Vec<Command>) {
        let mut ledger = write_ledger(&self.ledger);
        let Some(entry) = ledger.get_mut(job) else { return };
        match &entry.status {
            JobStatus::InFlight => {}
            JobStatus::Arrived { .. } | JobStatus::Told(_) => return,
        }
        if let Some(known) = self.known.remove(&job)
            && known.proposal.as_ref() == Some(&entry.proposal)
        {
            known.reports.into_iter().for_each(|point| {
                entry.push_report(point);
            });
            enter_outcome(entry, known.outcome, known.weights, true);
            self.arrivals.push(job);
            return;
        }
        entry.attempts = entry.attempts.saturating_add(1);
        let attempt = entry.attempts;
        out.push(Command::Journal {
            event: Event::Dispatched { job, attempt },
            observed: BTreeMap::new(),
            durable: false,
        });
        out.push(Command::Dispatch { job, attempt });
    }

    /// Points which are judged are journalled: the outcome behind them must find them there after a crash.
    fn reported(&mut self, job: JobId, point: Point, out: &mut Vec<Command>) {
        if let Some(entry) = write_ledger(&self.ledger).get_mut(job)
            && entry.status == JobStatus::InFlight
            && entry.push_report(point.clone())
            && is_judged(&entry.proposal.work, &self.plan)
        {
            let event = Event::Reported { job, point };
            out.push(Command::Journal { event, observed: BTreeMap::new(), durable: false });
        }
    }

    fn arrived(
        &mut self,
        job: JobId,
        outcome: Outcome,
        weights: Option<String>,
        test: Vec<Measure>,
        observed: BTreeMap<String, Observation>,
        out: &mut Vec<Command>,
    ) {
        let mut ledger = write_ledger(&self.ledger);
        let Some(entry) = ledger.get_mut(job).filter(|entry| entry.status == JobStatus::InFlight) else {
            return; // of a job that was stopped, or a second answer of a trainer thought lost
        };
        if let Some(Observation::Number(seconds)) = observed.get("device_seconds") {
            self.usage.device_seconds += seconds.max(0.0);
        }
        let is_shared = entry.proposal.work.is_shared();
        enter_outcome(entry, outcome.clone(), weights.clone(), is_shared);
        self.arrivals.push(job);
        let cost = entry.duration;
        out.push(Command::Journal {
            event: Event::Arrived { job, outcome, cost, weights, test },
            observed,
            durable: !is_shared,
        });
    }

    fn lost(&mut self, job: JobId, reason: String, out: &mut Vec<Command>) {
        let (is_shared, attempts) = {
            let ledger = read_ledger(&self.ledger);
            let Some(entry) = ledger.get(job).filter(|entry| entry.status == JobStatus::InFlight) else { return };
            (entry.proposal.work.is_shared(), entry.attempts)
        };
        if is_shared {
            self.phase = Phase::Over;
            out.push(Command::Rewind { reason });
        } else if attempts >= self.plan.max_attempts {
            let message = format!("{reason} (attempt {attempts} of {attempts})");
            let failure = Failure { kind: FailureKind::Infrastructure, message };
            self.arrived(job, Outcome::Failed(failure), None, Vec::new(), BTreeMap::new(), out);
        } else {
            self.dispatch_or_recall(job, out);
        }
    }

    /// Pick what to do next, if nothing is outstanding.
    fn decide(&mut self, out: &mut Vec<Command>) {
        let is_taking_over = matches!(self.swapping, Swapping::TakingOver(_));
        if self.phase == Phase::Over
            || self.outstanding.is_some()
            || self.is_checkpointing
            || !self.started
            || is_taking_over
        {
            return;
        }
        if self.pending_checkpoint.is_some() {
            self.call(Call::Save, out);
            return;
        }
        let is_suspending = self.phase == Phase::Suspending;
        let shared_in_flight = self.has_shared_in_flight();
        // By count of whole periods, so that a savepoint between (of an interruption, a swap) moves no other; it
        // stays due while shared jobs keep it waiting.
        let periods = |told: u64| told.checked_div(self.plan.savepoint_every);
        let is_regular = periods(self.n_told()) > periods(self.last_savepoint_told);
        let is_due = is_regular || self.owes_savepoint;
        // While what the journal says is done again, no new change comes between.
        let may_swap = !is_suspending && self.expected.is_empty() && !(shared_in_flight && self.has_shared_weights());
        if may_swap && self.begin_wanted(out) {
            return;
        }
        if is_suspending && shared_in_flight && self.plan.slots > 1 {
            self.suspend(out); // the last savepoint has to do: waiting for the others would change the order
            return;
        }
        if (is_due || is_suspending) && !shared_in_flight {
            self.begin_savepoint(out);
            return;
        }
        let is_held = is_due || is_suspending;
        if !is_held && self.can_ask() {
            let request = self.request();
            self.call(Call::Ask(request), out);
            return;
        }
        loop {
            match self.deliver(out) {
                Delivered::ByCall => return,
                Delivered::AtOnce => {}
                Delivered::Nothing => break,
            }
        }
        if !self.in_flight.is_empty() {
            return;
        }
        if self.phase == Phase::Recommending {
            return;
        }
        if self.is_waiting && self.finished.is_none() && !self.plan.budget.is_used_up(&self.usage) {
            self.fail("the strategy answered `wait` with no job in flight".into(), out);
            return;
        }
        self.drop_wanted(out);
        self.phase = Phase::Recommending;
        self.call(Call::Recommend { limit: self.plan.recommend }, out);
    }

    fn can_ask(&self) -> bool {
        self.finished.is_none()
            && !self.is_waiting
            && self.in_flight.len() < self.plan.slots as usize
            && !self.plan.budget.is_used_up(&self.usage)
    }

    fn has_shared_in_flight(&self) -> bool {
        let ledger = read_ledger(&self.ledger);
        self.in_flight
            .iter()
            .any(|&job| ledger.get(job).is_some_and(|entry| entry.proposal.work.is_shared() && entry.duration > 0.0))
    }

    pub(crate) fn has_shared_weights(&self) -> bool {
        self.task.has_shared_weights()
    }

    /// Nothing more will be asked for, whoever has the search.
    pub(crate) fn is_ending(&self) -> bool {
        self.phase != Phase::Running
    }

    /// What the last strategy said of its plans is not the next one's.
    pub(crate) fn forget_answers(&mut self) {
        self.is_waiting = false;
        self.finished = None;
        self.n_busy = 0;
        self.n_refused = 0;
        if self.phase == Phase::Recommending {
            self.phase = Phase::Running;
        }
    }

    pub(crate) fn begin_savepoint(&mut self, out: &mut Vec<Command>) {
        if let Some(checkpoint) = self.swap_checkpoint.take() {
            self.pending_checkpoint = Some(Some(checkpoint));
            self.call(Call::Save, out);
        } else if self.task.has_shared_weights() {
            self.is_checkpointing = true;
            out.push(Command::Checkpoint);
        } else {
            self.call(Call::Save, out);
        }
    }

    fn suspend(&mut self, out: &mut Vec<Command>) {
        for &job in &self.in_flight {
            out.push(Command::Cancel { job });
        }
        self.phase = Phase::Over;
        out.push(Command::Suspended);
    }

    /// The next delivery: by the search's clock, by arrival, or by what a resumed journal says.
    fn next_delivery(&self) -> Option<NextEvent> {
        let ledger = read_ledger(&self.ledger);
        match self.plan.order {
            Order::Virtual => earliest(&ledger, &self.in_flight, &self.plan),
            Order::Arrival => {
                let scripted = self.expected.iter().find_map(|event| match event {
                    Event::Told { job, .. } | Event::Judged { job, .. } => Some(*job),
                    _ => None,
                });
                match scripted {
                    Some(job) => next_event(job, ledger.get(job)?.as_ref(), &self.plan),
                    None => first_here(&ledger, &self.arrivals, &self.in_flight, &self.plan),
                }
            }
        }
    }

    /// Deliver what comes next, if it is here.
    fn deliver(&mut self, out: &mut Vec<Command>) -> Delivered {
        let Some(next) = self.next_delivery().filter(|next| next.is_here) else { return Delivered::Nothing };
        let fidelity = match next.delivery {
            Delivery::Outcome => {
                self.call(Call::Tell(next.job), out);
                return Delivered::ByCall;
            }
            Delivery::Report(fidelity) => fidelity,
        };
        let (point, judge_every) = {
            let ledger = read_ledger(&self.ledger);
            let Some(entry) = ledger.get(next.job) else { return Delivered::Nothing };
            let judge_every = match &entry.proposal.work {
                Work::Train(training) => training.judge_every,
                Work::TrainShared(_) | Work::EvaluateShared(_) => 0,
            };
            let Some(point) = entry.report(fidelity).cloned() else { return Delivered::Nothing };
            (point, judge_every)
        };
        if judge_every > 0 && fidelity.is_multiple_of(judge_every) {
            self.call(Call::Judge { job: next.job, point }, out);
            Delivered::ByCall
        } else {
            self.judge_by_host(next.job, point, out);
            Delivered::AtOnce
        }
    }

    fn judge_by_host(&mut self, job: JobId, point: Point, out: &mut Vec<Command>) {
        let verdict = {
            let ledger = read_ledger(&self.ledger);
            let own = ledger.get(job);
            let curve = own.as_deref().map(|entry| entry.reports.as_slice()).unwrap_or_default();
            let so_far: Vec<Point> = curve.iter().filter(|p| p.fidelity <= point.fidelity).cloned().collect();
            let told: Vec<_> = ledger.told().iter().filter_map(|&id| ledger.get(id)).collect();
            let finished = told.iter().filter_map(|entry| entry.trained());
            match (&self.plan.median_stop, self.plan.objectives.first()) {
                (Some(rule), Some(objective)) if rule.stops(&so_far, objective, finished) => Verdict::Stop,
                _ => Verdict::Proceed,
            }
        };
        self.judge(job, point, Judge::Host, verdict, out);
    }

    fn judge(&mut self, job: JobId, point: Point, by: Judge, verdict: Verdict, out: &mut Vec<Command>) {
        let event = Event::Judged { job, point: point.clone(), by, verdict, random: self.random };
        self.record(event, out);
        let host_rule = self.plan.median_stop.as_ref().is_some_and(|rule| point.fidelity.is_multiple_of(rule.every));
        let is_final = by == Judge::Host || verdict == Verdict::Stop || !host_rule;
        if !is_final {
            self.judge_by_host(job, point, out);
            return;
        }
        if let Some((outcome, cost)) = self.apply_judged(job, &point, by, verdict) {
            out.push(Command::Cancel { job });
            out.push(Command::Journal {
                event: Event::Arrived { job, outcome, cost, weights: None, test: Vec::new() },
                observed: BTreeMap::new(),
                durable: true,
            });
        }
    }

    /// Enter a verdict; a stop gives the outcome, cut back to the point judged, and its cost.
    pub(crate) fn apply_judged(
        &mut self,
        job: JobId,
        point: &Point,
        by: Judge,
        verdict: Verdict,
    ) -> Option<(Outcome, f64)> {
        let mut ledger = write_ledger(&self.ledger);
        let entry = ledger.get_mut(job)?;
        entry.judged_to = point.fidelity;
        if verdict == Verdict::Proceed {
            return None;
        }
        let ending = match by {
            Judge::Strategy => Ending::StoppedByStrategy,
            Judge::Host => Ending::StoppedByHost,
        };
        let mut curve: Vec<Point> = entry.reports.iter().filter(|p| p.fidelity <= point.fidelity).cloned().collect();
        if curve.is_empty() {
            curve.push(point.clone());
        }
        let outcome = Outcome::Trained(Trained { measures: point.measures.clone(), curve, ending, predicted: None });
        entry.stopped = Some((ending, point.clone()));
        entry.weights = None;
        entry.status = JobStatus::Arrived { outcome: outcome.clone(), durable: false };
        let cost = entry.end() - entry.begun;
        self.arrivals.retain(|&arrived| arrived != job);
        self.arrivals.push(job);
        Some((outcome, cost))
    }

    /// Enter that a job was told; gives its outcome's digest and what it was charged.
    pub(crate) fn apply_told(&mut self, job: JobId) -> (String, f64) {
        let mut ledger = write_ledger(&self.ledger);
        let Some(entry) = ledger.get_mut(job) else { return (String::new(), 0.0) };
        let JobStatus::Arrived { outcome, .. } = &entry.status else { return (String::new(), 0.0) };
        let outcome = outcome.clone();
        let digest = outcome_digest(&outcome);
        let cost = entry.end() - entry.begun;
        if entry.duration > 0.0 {
            let epochs = self.task.epochs(&entry.proposal.work, entry.resumed_from);
            self.usage.epochs -= epochs * (1.0 - cost / entry.duration);
        }
        self.usage.clock = self.usage.clock.max(entry.end());
        ledger.mark_told(job, outcome, cost);
        self.in_flight.retain(|&other| other != job);
        self.arrivals.retain(|&other| other != job);
        self.is_waiting = false;
        (digest, cost)
    }

    /// The strategy's recommendation; where it makes none, the best trained architectures.
    pub(crate) fn complete_recommendation(
        &self,
        architectures: Vec<nasd_space::Architecture>,
    ) -> Vec<nasd_space::Architecture> {
        let limit = self.plan.recommend as usize;
        let valid: Vec<_> = architectures.into_iter().filter(|a| self.task.check(a).is_ok()).take(limit).collect();
        if !valid.is_empty() {
            return valid;
        }
        let ledger = read_ledger(&self.ledger);
        let Some(objective) = self.plan.objectives.first() else { return Vec::new() };
        let longest = ledger.iter().filter_map(|(_, e)| Some(e.trained()?.curve.last()?.fidelity)).max();
        let mut best: Vec<nasd_space::Architecture> = Vec::new();
        for (job, _) in ledger.best(objective, longest.unwrap_or(0)) {
            let entry = ledger.get(job);
            if let Some(JobEntry { proposal: Proposal { work: Work::Train(training), .. }, .. }) = entry.as_deref()
                && !best.contains(&training.architecture)
                && best.len() < limit
            {
                best.push(training.architecture.clone());
            }
        }
        best
    }

    /// Take over what a journal says comes next. `random` is the stream's position at the savepoint; none: the
    /// strategy is started anew.
    pub(crate) fn set_resumed(
        &mut self,
        random: Option<u64>,
        expected: VecDeque<Event>,
        known: BTreeMap<JobId, KnownOutcome>,
    ) {
        self.started = random.is_some();
        self.random = random.unwrap_or(0);
        self.expected = expected;
        self.known = known;
        self.last_savepoint_told = self.n_told();
    }

    /// Outcomes that are here survive a crash.
    pub(crate) fn mark_durable(&mut self) {
        let mut ledger = write_ledger(&self.ledger);
        for &job in &self.arrivals {
            if let Some(JobEntry { status: JobStatus::Arrived { durable, .. }, .. }) = ledger.get_mut(job) {
                *durable = true;
            }
        }
    }

    /// Enter reported points from the journal.
    pub(crate) fn apply_reports(&mut self, job: JobId, points: &[Point]) {
        if let Some(entry) = write_ledger(&self.ledger).get_mut(job) {
            for point in points {
                entry.push_report(point.clone());
            }
        }
    }

    /// Enter an outcome from the journal.
    pub(crate) fn apply_outcome(&mut self, job: JobId, outcome: Outcome, weights: Option<String>) {
        let mut ledger = write_ledger(&self.ledger);
        if let Some(entry) = ledger.get_mut(job)
            && entry.status == JobStatus::InFlight
        {
            enter_outcome(entry, outcome, weights, true);
            self.arrivals.push(job);
        }
    }
}

fn enter_outcome(entry: &mut JobEntry, outcome: Outcome, weights: Option<String>, durable: bool) {
    if let Outcome::Trained(trained) = &outcome {
        for point in &trained.curve {
            entry.push_report(point.clone());
        }
    }
    entry.weights = weights;
    entry.status = JobStatus::Arrived { outcome, durable };
}

/// BLAKE3 of an outcome's encoding.
pub fn outcome_digest(outcome: &Outcome) -> String {
    match frame::encode_body(outcome) {
        Ok(body) => blake3::hash(&body).to_hex().to_string(),
        Err(_) => String::new(),
    }
}
