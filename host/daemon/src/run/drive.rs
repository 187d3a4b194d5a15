//! The run loop: feeds the engine what happened and carries out what it says, in order.
//!
//! Arrivals that are here are taken together before one sync makes them durable (group commit); only then is the
//! strategy told.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use nasd_engine::{Adjustment, Call, Command, Input, Reply, SwapOrder, search::read_ledger};
use nasd_protocol::{
    Failure, FailureKind, JobId, Measure, Objective, Outcome, Work,
    event::{Event, Observation, RunEnding, SharedCheckpoint, SwapCause},
    trainer::FromTrainer,
};
use nasd_strategy::{Component, Instance};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    onlooker::{Called, Onlooker},
    orders::{self, Todo},
    placement::Placement,
    pool::{Events, Heard},
    recorder::Recorder,
    strategist::Strategist,
    superseding::Superseding,
};
use crate::{
    configuration::Share,
    failure::{Failed, chain},
    search::Search,
};

/// Trainers in a row that end before they are ready, beyond which starting more is no use.
const MAX_STILLBORN: u32 = 3;

/// How driving a run ended.
pub enum Ended {
    /// Everything is told; what is left is the final training.
    Finished(RunEnding),
    /// Interrupted; a later resumption goes on.
    Suspended,
    /// The shared weights are lost: take the run up again from its journal.
    Rewound {
        /// For people.
        reason: String,
        /// The first shared job that is not done, or the next to come.
        job: JobId,
    },
}

/// What becomes of an order: the swap's event, or why there was none.
pub type Answer = oneshot::Sender<Result<Box<Event>, String>>;

/// Something an operator wants of a running search.
pub enum Order {
    /// Another strategy, build or parameters.
    Swap {
        /// Loaded, checked and kept in the state folder.
        component: Component,
        /// For the engine.
        order: SwapOrder,
        /// What became of it.
        answer: Answer,
    },
    /// Another budget, another number of slots.
    Adjust {
        /// For the engine.
        adjustment: Adjustment,
        /// What became of it.
        answer: Answer,
    },
    /// The strategy before.
    RollBack {
        /// Who wants it.
        by: String,
        /// What became of it.
        answer: Answer,
    },
}

/// Orders as they come.
pub type Orders = mpsc::UnboundedReceiver<Order>;

/// An order under way.
#[derive(Default)]
pub struct UnderWay {
    answer: Option<Answer>,
    /// The swap's event, until it is durable.
    event: Option<Box<Event>>,
    /// The instance that took over, until it is the strategy.
    candidate: Option<Instance>,
    /// When the last call of the strategy returned.
    last_call: Option<Instant>,
    /// When the last call of a strategy that left returned.
    left: Option<Instant>,
}

/// Everything a run is driven with.
pub struct Drive<'a> {
    /// What is searched.
    pub search: &'a Search,
    /// The state machine.
    pub engine: nasd_engine::Search,
    /// The strategy.
    pub instance: Instance,
    /// Makes other instances.
    pub strategist: Strategist,
    /// What operators want.
    pub orders: &'a mut Orders,
    /// The order under way.
    pub under_way: UnderWay,
    /// Journal and result store.
    pub recorder: &'a mut Recorder,
    /// Trainers.
    pub placement: &'a Placement,
    /// What trainers say.
    pub events: &'a mut Events,
    /// Becomes true when the run is to be interrupted.
    pub interrupt: watch::Receiver<bool>,
    /// Its share of the trainers.
    pub share: watch::Receiver<Share>,
    /// Who watches.
    pub onlooker: &'a mut dyn Onlooker,
    /// Shared weights to open the session with.
    pub checkpoint: Option<SharedCheckpoint>,
    /// Trainers are real: what they say of a session is checked.
    pub is_real: bool,
    /// Seconds that the run was driven before.
    pub driven_before: f64,
    /// Trainers in a row that ended before they were ready.
    pub n_stillborn: u32,
    /// Removes superseded checkpoints; none: all are kept.
    pub superseding: Option<Superseding>,
    /// Digest of what imports answered in the last call, until its event is journalled.
    pub answers: Option<u64>,
}

/// Key of the observed lane: a digest of all that imports answered in a call.
pub const ANSWERS: &str = "answers";

/// Whether an event is a call's.
fn is_call(event: &Event) -> bool {
    matches!(
        event,
        Event::Started { .. }
            | Event::Asked { .. }
            | Event::Told { .. }
            | Event::Judged { .. }
            | Event::Recommended { .. }
    )
}

impl Drive<'_> {
    /// Drive until the end.
    pub async fn run(mut self) -> Result<Ended, Failed> {
        let begun = Instant::now();
        let mut inputs = VecDeque::from([Input::Begin]);
        let mut is_interrupted = false;
        loop {
            // Trainers that are fast enough never let the loop wait for these below.
            if self.under_way.answer.is_none()
                && let Ok(order) = self.orders.try_recv()
            {
                inputs.push_back(self.take(order));
            }
            if !is_interrupted && *self.interrupt.borrow() {
                is_interrupted = true;
                inputs.push_back(Input::Interrupt);
            }
            // An operator may change the budget, so it is looked at each time.
            let budget = &self.engine.plan().budget;
            if budget.depends_on_time() {
                let deadline = budget.deadline.as_deref().and_then(|deadline| deadline.parse::<jiff::Timestamp>().ok());
                let is_late = deadline.is_some_and(|deadline| jiff::Timestamp::now() >= deadline);
                inputs.push_front(Input::Elapsed {
                    seconds: self.driven_before + begun.elapsed().as_secs_f64(),
                    is_late,
                });
            }
            while let Some(input) = inputs.pop_front() {
                let input = self.completed(input);
                let commands = self.engine.step(input);
                for command in commands {
                    if let Some(ended) = self.carry_out(command, &mut inputs).await? {
                        return Ok(ended);
                    }
                }
                while let Ok(event) = self.events.try_recv() {
                    if let Some(rewound) = self.heard(event, &mut inputs)? {
                        return Ok(rewound);
                    }
                }
            }
            if self.recorder.is_waited_for() {
                self.recorder.settle()?;
                self.onlooker.durable(self.recorder.durable());
                if let Some(superseding) = self.superseding.as_mut().filter(|_| self.recorder.is_synced()) {
                    superseding.durable();
                }
                inputs.push_back(Input::Durable);
                continue;
            }
            self.onlooker.show(&self.engine);
            tokio::select! {
                event = self.events.recv() => {
                    if let Some(event) = event
                        && let Some(rewound) = self.heard(event, &mut inputs)?
                    {
                        return Ok(rewound);
                    }
                }
                Some(order) = self.orders.recv(), if self.under_way.answer.is_none() => {
                    inputs.push_back(self.take(order));
                }
                Ok(()) = self.share.changed() => {
                    let Share { weight, priority } = *self.share.borrow_and_update();
                    self.placement.set_share(weight, priority);
                }
                Ok(()) = self.interrupt.changed(), if !is_interrupted => {}
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    async fn carry_out(&mut self, command: Command, inputs: &mut VecDeque<Input>) -> Result<Option<Ended>, Failed> {
        match command {
            Command::Journal { event, mut observed, durable } => {
                if is_call(&event)
                    && let Some(answers) = self.answers.take()
                {
                    observed.insert(ANSWERS.into(), Observation::Text(format!("{answers:016x}")));
                }
                self.onlooker.heard(&event, &observed);
                if let Some(superseding) = self.superseding.as_mut() {
                    superseding.heard(&event);
                }
                self.heed(&event, &observed);
                self.recorder.append(event, observed, durable)?;
            }
            Command::Call(call) => {
                let reply = self.call(call).await;
                let random = self.instance.random_position();
                for event in self.strategist.log().take() {
                    self.recorder.append(event, BTreeMap::new(), false)?;
                }
                inputs.push_front(Input::Returned { reply, random });
            }
            Command::TakeOver(order) => {
                self.under_way.left = self.under_way.last_call;
                let ledger = self.engine.ledger().clone();
                let result = self.strategist.take_over(&order, &ledger).await.map(|(instance, taken)| {
                    self.under_way.candidate = Some(instance);
                    taken
                });
                inputs.push_front(Input::TookOver(result));
            }
            Command::Adopt => {
                self.recorder.sync()?;
                inputs.push_back(Input::Durable);
                if let Some(instance) = self.under_way.candidate.take() {
                    self.instance = instance;
                }
                if let (Some(answer), Some(event)) = (self.under_way.answer.take(), self.under_way.event.take()) {
                    let _ = answer.send(Ok(event));
                }
            }
            Command::Dispatch { job, .. } => self.dispatch(job, inputs),
            Command::Cancel { job } => self.placement.cancel(job),
            Command::Checkpoint => {
                if self.placement.has_session() {
                    self.placement.checkpoint();
                } else {
                    inputs.push_back(Input::Checkpointed(self.checkpoint.clone()));
                }
            }
            Command::Rewind { reason } => {
                let job = self.first_shared_in_flight().unwrap_or_default();
                return Ok(Some(Ended::Rewound { reason, job }));
            }
            Command::Diverged { expected, found } => {
                tracing::warn!(?expected, ?found, "what was run again came out differently than the journal says");
            }
            Command::Finish(ending) => {
                self.recorder.sync()?;
                return Ok(Some(Ended::Finished(ending)));
            }
            Command::Suspended => {
                self.recorder.sync()?;
                return Ok(Some(Ended::Suspended));
            }
        }
        Ok(None)
    }

    /// Hand an order on to the engine.
    fn take(&mut self, order: Order) -> Input {
        match order {
            Order::Swap { component, order, answer } => {
                self.strategist.keep(component);
                self.under_way.answer = Some(answer);
                Input::Swap(order)
            }
            Order::Adjust { adjustment, answer } => {
                self.under_way.answer = Some(answer);
                Input::Adjust(adjustment)
            }
            Order::RollBack { by, answer } => {
                self.under_way.answer = Some(answer);
                Input::RollBack { by }
            }
        }
    }

    /// What follows from a change of strategy, outside the journal.
    fn heed(&mut self, event: &Event, observed: &BTreeMap<String, Observation>) {
        match event {
            Event::Swapped { from, to, cause, via, .. } => {
                let message = match observed.get("message") {
                    Some(Observation::Text(message)) => message.as_str(),
                    _ => "",
                };
                tracing::info!(from = %from.digest, to = %to.digest, ?cause, ?via, message, "the strategy was replaced");
                if matches!(cause, SwapCause::Trap(_)) {
                    self.onlooker.say(&format!("{} failed and gave way to {}: {message}", from.name, to.name));
                    self.strategist.quarantine(from, message);
                } else {
                    self.under_way.event = Some(Box::new(event.clone()));
                }
            }
            Event::Adjusted { budget, slots, .. } => {
                tracing::info!(budget, slots, "budget or slots were changed");
                self.under_way.event = Some(Box::new(event.clone()));
            }
            Event::SwapRefused { to, message } => {
                tracing::warn!(to = %to.digest, message, "a strategy did not take over");
                if let Some(answer) = self.under_way.answer.take() {
                    let _ = answer.send(Err(message.clone()));
                }
            }
            _ => {}
        }
    }

    async fn call(&mut self, call: Call) -> Result<Reply, String> {
        if let Some(left) = self.under_way.left.filter(|_| self.under_way.candidate.is_none()) {
            self.under_way.left = None;
            self.onlooker.gap(left.elapsed());
        }
        let (name, begun) = (call.name(), Instant::now());
        let reply = self.call_strategy(call).await;
        let ended = Instant::now();
        self.under_way.last_call = Some(ended);
        let statistics = self.instance.last_call();
        self.answers = statistics.answers;
        let called = Called { name, duration: ended - begun, statistics: &statistics, is_ok: reply.is_ok() };
        self.onlooker.called(&called);
        reply
    }

    async fn call_strategy(&mut self, call: Call) -> Result<Reply, String> {
        let returned = match call {
            Call::Start => self.instance.start(&self.search.setup).await.map(|()| Reply::Started),
            Call::Ask(request) => self.instance.ask(&request).await.map(Reply::Answered),
            Call::Tell(id) => {
                let job = {
                    let ledger = read_ledger(self.engine.ledger());
                    ledger.arrived_job(id)
                };
                let job = job.ok_or_else(|| format!("job {id} has no outcome to tell"))?;
                self.instance.tell(&job).await.map(|()| Reply::Told)
            }
            Call::Judge { job, point } => self.instance.judge(job, &point).await.map(Reply::Judged),
            Call::Recommend { limit } => self.instance.recommend(limit).await.map(Reply::Recommended),
            Call::Save => self.instance.save().await.map(Reply::Saved),
        };
        returned.map_err(|error| chain(&error))
    }

    /// An outcome with the costs that are objectives; one that lacks an objective is a failure.
    fn completed(&self, mut input: Input) -> Input {
        let Input::Arrived { job, outcome, .. } = &mut input else { return input };
        if let Outcome::Trained(trained) = outcome
            && let Some(entry) = read_ledger(self.engine.ledger()).get(*job)
            && let Work::Train(training) = &entry.proposal.work
        {
            let objectives = &self.engine.plan().objectives;
            self.search.task.add_costs(&training.architecture, objectives, trained);
            let is_absent = |objective: &&Objective| Measure::find(&trained.measures, &objective.metric).is_none();
            if let Some(absent) = objectives.iter().find(is_absent) {
                let known = trained.measures.iter().map(|measure| measure.name.as_str()).collect::<Vec<_>>().join(", ");
                let message = format!("the result has no measure `{}`; it has: {known}", absent.metric);
                *outcome = Outcome::Failed(Failure { kind: FailureKind::Unsupported, message });
            }
        }
        input
    }

    /// Have a job done.
    fn dispatch(&mut self, job: JobId, inputs: &mut VecDeque<Input>) {
        let ledger = read_ledger(self.engine.ledger());
        let Some(entry) = ledger.get(job) else { return };
        let duration = entry.duration;
        let todo = orders::todo(self.search, &ledger, job, &entry.proposal.work);
        drop(ledger);
        match todo {
            Ok(Todo::Answered(answer)) => {
                inputs.push_back(Input::Arrived {
                    job,
                    outcome: answer.outcome,
                    weights: None,
                    test: answer.test,
                    observed: BTreeMap::new(),
                });
            }
            Ok(Todo::Train(order)) => self.placement.submit(job, order, duration),
            Ok(Todo::Shared(order)) => {
                if !self.placement.has_session() {
                    match orders::open(self.search, self.checkpoint.as_ref()) {
                        Ok(open) => self.placement.open_session(open),
                        Err(failure) => return inputs.push_back(failed(job, failure)),
                    }
                }
                self.placement.submit(job, order, duration);
            }
            Err(failure) => inputs.push_back(failed(job, failure)),
        }
    }

    fn first_shared_in_flight(&self) -> Option<JobId> {
        let ledger = read_ledger(self.engine.ledger());
        let is_shared = |id: &&JobId| ledger.get(**id).is_some_and(|entry| entry.proposal.work.is_shared());
        self.engine.in_flight().iter().find(is_shared).copied()
    }

    /// A trainer is gone. Without the one-shot graph's session nothing that follows from the shared weights can be
    /// had, so the run goes back to its savepoint at once.
    fn lost(
        &mut self,
        job: Option<JobId>,
        was_ready: bool,
        reason: String,
        inputs: &mut VecDeque<Input>,
    ) -> Result<Option<Ended>, Failed> {
        tracing::warn!(job, reason, "a trainer was lost");
        if !was_ready {
            self.n_stillborn += 1;
            if self.n_stillborn >= MAX_STILLBORN {
                self.recorder.sync()?;
                return Err(Failed::Other(format!(
                    "{MAX_STILLBORN} trainers in a row ended before they were ready: {reason}; the run is saved, the same command goes on with it"
                )));
            }
        }
        let Some(job) = job else {
            // Not by way of the engine: it may know, or be about to hear, the outcome of every job it would ask after.
            let next = || read_ledger(self.engine.ledger()).next_id();
            let job = self.first_shared_in_flight().unwrap_or_else(next);
            return Ok(Some(Ended::Rewound { reason, job }));
        };
        inputs.push_back(Input::Lost { job, reason });
        Ok(None)
    }

    /// Something came from a trainer; an end only where the session was lost between two jobs.
    fn heard(&mut self, heard: Heard, inputs: &mut VecDeque<Input>) -> Result<Option<Ended>, Failed> {
        let said = match heard {
            Heard::Lost { job, was_ready, reason } => return self.lost(job, was_ready, reason, inputs),
            Heard::Said(said) => *said,
        };
        self.n_stillborn = 0;
        let arrived = |job, outcome, device_seconds: f64| Input::Arrived {
            job,
            outcome,
            weights: None,
            test: Vec::new(),
            observed: BTreeMap::from([("device_seconds".to_owned(), Observation::Number(device_seconds))]),
        };
        match said {
            FromTrainer::Ready { .. } => {}
            FromTrainer::Heartbeat { job, progress } => self.onlooker.heartbeat(job, progress),
            // Of a final training; none is under way here.
            FromTrainer::Saved { .. } => {}
            FromTrainer::Reported { job, point, .. } => inputs.push_back(Input::Reported { job, point }),
            FromTrainer::Trained { job, trained, test, weights, device_seconds } => {
                let mut input = arrived(job, Outcome::Trained(trained), device_seconds);
                if let Input::Arrived { weights: w, test: t, .. } = &mut input {
                    (*w, *t) = (weights, test);
                }
                inputs.push_back(input);
            }
            FromTrainer::SharedSteps { job, results, device_seconds } => {
                inputs.push_back(arrived(job, Outcome::SharedSteps(results), device_seconds));
            }
            FromTrainer::SharedEvaluated { job, results, device_seconds } => {
                inputs.push_back(arrived(job, Outcome::SharedEvaluations(results), device_seconds));
            }
            FromTrainer::SessionOpened { train_batches, validation_batches, .. } => {
                let expected =
                    self.search.task.shared().map(|shared| (shared.train_batches, shared.validation_batches));
                if self.is_real && expected != Some((train_batches, validation_batches)) {
                    return Err(Failed::Other(format!(
                        "the trainer counts {train_batches} and {validation_batches} minibatches an epoch, the search {expected:?}"
                    )));
                }
            }
            FromTrainer::Checkpointed { digest, steps_done } => {
                let after_job = read_ledger(self.engine.ledger()).told().last().copied();
                let checkpoint = SharedCheckpoint { digest, after_job, steps_done };
                self.checkpoint = Some(checkpoint.clone());
                inputs.push_back(Input::Checkpointed(Some(checkpoint)));
            }
            FromTrainer::Failed { job: 0, failure } => {
                return Err(Failed::Other(format!("the one-shot graph: {}", failure.message)));
            }
            FromTrainer::Failed { job, failure } => match failure.kind {
                FailureKind::Cancelled => {}
                FailureKind::Infrastructure => inputs.push_back(Input::Lost { job, reason: failure.message }),
                _ => inputs.push_back(arrived(job, Outcome::Failed(failure), 0.0)),
            },
        }
        Ok(None)
    }
}

fn failed(job: JobId, failure: Failure) -> Input {
    Input::Arrived {
        job,
        outcome: Outcome::Failed(failure),
        weights: None,
        test: Vec::<Measure>::new(),
        observed: BTreeMap::new(),
    }
}

/// Journal an event that the engine does not know of.
pub fn note(recorder: &mut Recorder, event: Event) -> Result<(), Failed> {
    recorder.append(event, BTreeMap::new(), true)
}
