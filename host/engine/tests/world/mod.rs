//! A simulated world for whole searches: strategies whose every answer depends on everything they were told and
//! in which order, trainers that finish in any order, crashes after any journal record, swaps at chosen moments.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, dead_code)]

use std::{collections::BTreeMap, sync::Arc};

use nasd_engine::{
    Adjustment, Budget, Call, Command, Input, Order, Plan, Reply, Search, SwapOrder, TakenOver, TakeoverOrder,
    TaskModel, approximation::MedianStop, search::read_ledger,
};
use nasd_protocol::{
    Answer, Ending, Event, Failure, FailureKind, Goal, InitialWeights, JobId, Lane, Measure, Objective, Outcome, Point,
    Proposal, Record, Setup, SharedStep, Snapshot, SnapshotFormat, Split, StepResult, Trained, Training, Verdict,
    WeightUpdate, Work,
    event::{SharedCheckpoint, StrategyIdentity, SwapCause, Takeover},
};
use nasd_space::{Architecture, Gene, RandomSource, StreamRandom};

pub fn mix(state: u64, value: u64) -> u64 {
    let z = (state ^ value.rotate_left(17)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What the task does.
pub struct Task {
    pub shared: bool,
}

impl TaskModel for Task {
    fn duration(&self, work: &Work, resumed_from: u32) -> f64 {
        match work {
            Work::Train(training) => f64::from(training.fidelity - resumed_from),
            Work::TrainShared(steps) => steps.len() as f64 * 0.125,
            Work::EvaluateShared(_) => 0.125,
        }
    }
    fn check(&self, architecture: &Architecture) -> Result<(), Failure> {
        match architecture.first() {
            Some(Gene::Choice(4)) => {
                Err(Failure { kind: FailureKind::InvalidArchitecture, message: "option 4 is invalid".into() })
            }
            _ => Ok(()),
        }
    }
    fn check_shared(&self, _: &Architecture) -> Result<(), Failure> {
        Ok(())
    }
    fn has_shared_weights(&self) -> bool {
        self.shared
    }
    fn keeps_weights(&self) -> bool {
        true
    }
}

/// A strategy that forgets nothing and gives away any difference. Its kind's first letter is what snapshots it
/// writes and reads; `a-trap3` fails in its third call after it took over, savings not counted, `a-trapsave` when it
/// is saved, `a-refuse` does not take over.
#[derive(Clone)]
struct Strategy {
    kind: String,
    state: u64,
    random: StreamRandom,
    last: Option<JobId>,
    shared: bool,
    n_calls: u64,
}

impl Strategy {
    fn new(kind: &str, shared: bool) -> Self {
        let random = StreamRandom::new(5, "strategy");
        Self { kind: kind.to_owned(), state: 1, random, last: None, shared, n_calls: 0 }
    }

    fn format(&self) -> SnapshotFormat {
        SnapshotFormat { name: self.kind[..1].to_owned(), version: 1 }
    }

    /// Where the random stream stands when it fails is nowhere useful.
    fn call(&mut self, call: &Call) -> Result<(), String> {
        let traps_at = self.kind.split_once("-trap").map_or("", |(_, at)| at);
        let at = match call {
            Call::Save => "save".to_owned(),
            Call::Start | Call::Ask(_) | Call::Tell(_) | Call::Judge { .. } | Call::Recommend { .. } => {
                self.n_calls += 1;
                self.n_calls.to_string()
            }
        };
        if traps_at == at {
            self.random.next_u64();
            return Err(format!("{} trapped in call {}", self.kind, self.n_calls));
        }
        Ok(())
    }

    fn salt(&self, kind: &str) -> u64 {
        kind.bytes().fold(0, |salt, byte| mix(salt, u64::from(byte)))
    }

    fn ask(&mut self, slots: u32) -> Vec<Proposal> {
        let salt = self.salt(self.kind.split('-').next().unwrap_or_default());
        let n = 1 + self.random.below(u64::from(slots)) as usize;
        (0..n)
            .map(|_| {
                let drawn = mix(self.state ^ salt, self.random.next_u64());
                let architecture: Architecture = (0..3).map(|i| Gene::Choice((drawn >> (8 * i)) as u32 % 5)).collect();
                let work = if self.shared && !drawn.is_multiple_of(7) {
                    let step = SharedStep {
                        architecture,
                        split: Split::Train,
                        same_minibatch: false,
                        update: WeightUpdate::Apply,
                        gradient: nasd_protocol::MixtureGradient::None,
                    };
                    Work::TrainShared(vec![step; 1 + (drawn % 3) as usize])
                } else {
                    let initial_weights = match self.last {
                        Some(job) if drawn.is_multiple_of(3) => InitialWeights::Resume(job),
                        _ => InitialWeights::Fresh,
                    };
                    Work::Train(Training {
                        architecture,
                        fidelity: 1 + (drawn >> 32) as u32 % 9,
                        schedule: 0,
                        initial_weights,
                        judge_every: (drawn >> 40) as u32 % 3,
                    })
                };
                Proposal { work, parents: vec![], note: String::new() }
            })
            .collect()
    }

    fn save(&self) -> Snapshot {
        let words = [self.state, self.last.unwrap_or(0), self.n_calls, self.salt(&self.kind)];
        let bytes = words.into_iter().flat_map(u64::to_le_bytes).collect();
        Snapshot { format: self.format(), bytes, needs_weights: vec![] }
    }

    /// Take a search over as an order says, refusing as the kind does.
    fn take_over(order: &TakeoverOrder, shared: bool, search: &Search) -> Result<(Self, Takeover), String> {
        let mut strategy = Self::new(&order.to.name, shared);
        if strategy.kind.ends_with("-refuse") {
            return Err(format!("{} does not take over", strategy.kind));
        }
        strategy.random.seek(order.random);
        let ledger = read_ledger(search.ledger());
        let outcome = |id: JobId| match &ledger.get(id).unwrap().status {
            nasd_engine::JobStatus::Told(outcome) => outcome.clone(),
            other => panic!("job {id} is replayed while {other:?}"),
        };
        let fits = order.snapshot.as_ref().is_some_and(|snapshot| snapshot.format == strategy.format());
        let via = order.via.unwrap_or(if fits { Takeover::Restore } else { Takeover::Replay });
        match via {
            Takeover::Restore => {
                let bytes = &order.snapshot.as_ref().unwrap().bytes;
                let word = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap());
                strategy.state = word(0);
                strategy.last = Some(word(1)).filter(|&id| id > 0);
                if word(3) == strategy.salt(&strategy.kind) {
                    strategy.n_calls = word(2);
                }
                for &id in &order.missed {
                    strategy.tell(id, &outcome(id));
                }
            }
            Takeover::Replay => {
                strategy.state = mix(strategy.state, strategy.random.next_u64());
                for &id in ledger.told() {
                    strategy.learn(id, &outcome(id));
                }
            }
        }
        Ok((strategy, via))
    }

    fn tell(&mut self, id: JobId, outcome: &Outcome) {
        if id.is_multiple_of(5) {
            self.state = mix(self.state, self.random.next_u64());
        }
        self.learn(id, outcome);
    }

    fn learn(&mut self, id: JobId, outcome: &Outcome) {
        self.state = mix(self.state, id);
        for byte in nasd_engine::search::outcome_digest(outcome).bytes() {
            self.state = self.state.wrapping_mul(31).wrapping_add(u64::from(byte));
        }
        if let Outcome::Trained(trained) = outcome
            && trained.ending == Ending::Complete
        {
            self.last = Some(id);
        }
    }
}

fn curve_of(id: JobId, from: u32, to: u32) -> Vec<Point> {
    (from + 1..=to)
        .map(|fidelity| Point {
            fidelity,
            measures: vec![Measure::new("accuracy", (mix(id, u64::from(fidelity)) % 1000) as f64 / 1000.0)],
        })
        .collect()
}

fn outcome_of(id: JobId, work: &Work, from: u32) -> Outcome {
    match work {
        Work::Train(_) if mix(id, 0).is_multiple_of(11) => {
            Outcome::Failed(Failure { kind: FailureKind::Diverged, message: "loss is NaN".into() })
        }
        Work::Train(training) => {
            let curve = curve_of(id, from, training.fidelity);
            let measures = curve.last().unwrap().measures.clone();
            Outcome::Trained(Trained { measures, curve, ending: Ending::Complete, predicted: None })
        }
        Work::TrainShared(steps) => Outcome::SharedSteps(
            steps.iter().map(|_| StepResult { measures: vec![Measure::new("loss", 1.0)], gradients: vec![] }).collect(),
        ),
        Work::EvaluateShared(evaluation) => Outcome::SharedEvaluations(vec![vec![]; evaluation.architectures.len()]),
    }
}

pub fn plan(slots: u32, order: Order, median: bool) -> Plan {
    Plan {
        objectives: vec![Objective { metric: "accuracy".into(), goal: Goal::Maximize }],
        budget: Budget { jobs: Some(40), ..Budget::default() },
        slots,
        order,
        max_fidelity: 9,
        savepoint_every: 7,
        max_attempts: 100,
        recommend: 2,
        median_stop: median.then_some(MedianStop { after_jobs: 3, from_fidelity: 2, every: 2 }),
    }
}

pub struct World {
    pub records: Vec<Record>,
    shared: bool,
    plan: Plan,
    /// Order in which results happen to arrive, and which trainers are lost.
    pub chance: StreamRandom,
    pub losses: bool,
    pub n_rewound: u32,
    /// When so many jobs were told, what is wanted.
    pub wants: Vec<(usize, Want)>,
}

/// A change of strategy that somebody orders.
#[derive(Clone, Debug)]
pub enum Want {
    To(&'static str),
    Back,
    Adjust { jobs: u64, slots: u32 },
}

pub fn identity(kind: &str) -> StrategyIdentity {
    StrategyIdentity { name: kind.into(), version: "1".into(), digest: kind.into() }
}

#[derive(Debug, PartialEq)]
pub enum Stop {
    Finished,
    Suspended,
    Crashed,
}

impl World {
    pub fn new(plan: Plan, shared: bool, chance: u64) -> Self {
        Self {
            records: vec![],
            shared,
            plan,
            chance: StreamRandom::new(chance, "chance"),
            losses: false,
            n_rewound: 0,
            wants: vec![],
        }
    }

    fn append(&mut self, event: Event) {
        let sequence = self.records.len() as u64;
        self.records.push(Record { sequence, event, observed: BTreeMap::new() });
    }

    /// Run until the end, or until the journal has `crash_at` records, or interrupt at `interrupt_at`.
    pub fn run(&mut self, crash_at: usize, interrupt_at: usize) -> Stop {
        loop {
            match self.run_once(crash_at, interrupt_at) {
                Some(stop) => return stop,
                None => {
                    self.n_rewound += 1;
                    assert!(self.n_rewound < 1_000, "the run goes back to its savepoint for ever");
                }
            }
        }
    }

    fn run_once(&mut self, crash_at: usize, interrupt_at: usize) -> Option<Stop> {
        let task = Arc::new(Task { shared: self.shared });
        let (mut search, mut strategy) = if self.records.is_empty() {
            let setup = Setup {
                space: nasd_space::SearchSpace {
                    name: "s".into(),
                    decisions: vec![],
                    counts: vec![],
                    forbidden: vec![],
                },
                space_digest: String::new(),
                objectives: vec![],
                constraints: vec![],
                max_fidelity: 9,
                fidelities: vec![],
                offers: Default::default(),
                shared_weights: None,
                parameters: "{}".into(),
            };
            self.append(Event::Begun {
                configuration: "{}".into(),
                configuration_digest: String::new(),
                seed: 5,
                strategy: identity("a"),
                setup: Box::new(setup),
            });
            (
                Search::new(self.plan.clone(), task).with_strategy(identity("a"), "{}".into()),
                Strategy::new("a", self.shared),
            )
        } else {
            let resumption = Search::resume(self.plan.clone(), task, &self.records).unwrap();
            let strategy = match &resumption.takeover {
                Some(order) => {
                    let (strategy, via) = Strategy::take_over(order, self.shared, &resumption.search).unwrap();
                    assert!(order.via.is_none_or(|expected| expected == via));
                    strategy
                }
                None => Strategy::new("a", self.shared),
            };
            assert_eq!(resumption.strategy.name, strategy.kind);
            self.append(resumption.event);
            (resumption.search, strategy)
        };
        let mut inputs = vec![Input::Begin];
        let mut running: Vec<JobId> = vec![];
        let mut interrupted = false;
        let mut idle = 0;
        let mut candidate = None;
        let mut n_wanted = self.n_answered();
        loop {
            if let Some((n_told, want)) = self.wants.get(n_wanted)
                && read_ledger(search.ledger()).told().len() >= *n_told
                && !search.is_swapping()
            {
                n_wanted += 1;
                let cause = SwapCause::Strategy;
                let by = "test".to_owned();
                inputs.insert(
                    0,
                    match want {
                        Want::To(kind) => {
                            Input::Swap(SwapOrder { to: identity(kind), parameters: "{}".into(), cause, by })
                        }
                        Want::Back => Input::RollBack { by },
                        Want::Adjust { jobs, slots } => {
                            let budget = Budget { jobs: Some(*jobs), ..Budget::default() };
                            Input::Adjust(Adjustment { budget, slots: *slots, by })
                        }
                    },
                );
            }
            if inputs.is_empty() {
                inputs.push(Input::Durable);
                idle += 1;
                assert!(idle < 10_000, "stuck with {running:?} running, {:?} in flight", search.in_flight());
                if !running.is_empty() {
                    // Any training may finish first; shared work goes in id order.
                    let ledger = read_ledger(search.ledger());
                    let first_shared = running.iter().position(|&id| ledger.get(id).unwrap().proposal.work.is_shared());
                    let mut pick = self.chance.below(running.len() as u64) as usize;
                    if ledger.get(running[pick]).unwrap().proposal.work.is_shared() {
                        pick = first_shared.unwrap();
                    }
                    let id = running[pick];
                    let entry = ledger.get(id).unwrap();
                    let reached = self.chance.below(4) as u32 + entry.resumed_from;
                    if let Work::Train(training) = &entry.proposal.work
                        && self.chance.below(2) == 0
                    {
                        let failed = matches!(outcome_of(id, &entry.proposal.work, 0), Outcome::Failed(_));
                        let to = if failed { training.fidelity / 2 } else { training.fidelity };
                        for point in curve_of(id, entry.resumed_from, reached.min(to)) {
                            inputs.push(Input::Reported { job: id, point });
                        }
                    } else if self.losses && self.chance.below(6) == 0 {
                        running.remove(pick);
                        inputs.push(Input::Lost { job: id, reason: "killed".into() });
                    } else {
                        running.remove(pick);
                        if let Work::Train(training) = &entry.proposal.work {
                            // A trainer reports every epoch before it says how the job ended.
                            let failed = matches!(outcome_of(id, &entry.proposal.work, 0), Outcome::Failed(_));
                            let to = if failed { training.fidelity / 2 } else { training.fidelity };
                            for point in curve_of(id, entry.resumed_from, to) {
                                inputs.push(Input::Reported { job: id, point });
                            }
                        }
                        inputs.push(Input::Arrived {
                            job: id,
                            outcome: outcome_of(id, &entry.proposal.work, entry.resumed_from),
                            weights: entry.proposal.work.is_shared().then(String::new).or(Some(format!("w{id}"))),
                            test: vec![],
                            observed: BTreeMap::new(),
                        });
                    }
                }
            }
            if self.records.len() >= interrupt_at && !interrupted {
                interrupted = true;
                inputs.push(Input::Interrupt);
            }
            let input = inputs.remove(0);
            for command in search.step(input) {
                match command {
                    Command::Journal { event, .. } => {
                        self.append(event);
                        if self.records.len() >= crash_at {
                            return Some(Stop::Crashed);
                        }
                    }
                    Command::Call(call) => {
                        let reply = strategy.call(&call).map(|()| match call {
                            Call::Start => Reply::Started,
                            Call::Ask(request) => Reply::Answered(Answer::Work(strategy.ask(request.slots))),
                            Call::Tell(id) => {
                                let outcome = match &read_ledger(search.ledger()).get(id).unwrap().status {
                                    nasd_engine::JobStatus::Arrived { outcome, durable: true } => outcome.clone(),
                                    other => panic!("told {other:?}"),
                                };
                                strategy.tell(id, &outcome);
                                Reply::Told
                            }
                            Call::Judge { job, point } => Reply::Judged(
                                if mix(strategy.state, job ^ u64::from(point.fidelity)).is_multiple_of(4) {
                                    Verdict::Stop
                                } else {
                                    Verdict::Proceed
                                },
                            ),
                            Call::Recommend { .. } => Reply::Recommended(vec![]),
                            Call::Save => Reply::Saved(strategy.save()),
                        });
                        inputs.push(Input::Returned { reply, random: strategy.random.position() });
                    }
                    Command::TakeOver(order) => {
                        let result = Strategy::take_over(&order, self.shared, &search).map(|(strategy, via)| {
                            let random = strategy.random.position();
                            candidate = Some(strategy);
                            TakenOver { via, random }
                        });
                        inputs.push(Input::TookOver(result));
                    }
                    Command::Adopt => strategy = candidate.take().unwrap_or(strategy),
                    Command::Dispatch { job, .. } => running.push(job),
                    Command::Cancel { job } => running.retain(|&other| other != job),
                    Command::Checkpoint => inputs.push(Input::Checkpointed(Some(SharedCheckpoint {
                        digest: "c".into(),
                        after_job: None,
                        steps_done: 0,
                    }))),
                    Command::Rewind { .. } => return None,
                    Command::Diverged { expected, found } => panic!("expected {expected:?}\nfound {found:?}"),
                    Command::Finish(ending) => {
                        self.append(Event::Ended { ending });
                        return Some(Stop::Finished);
                    }
                    Command::Suspended => return Some(Stop::Suspended),
                }
            }
        }
    }

    /// Wanted changes that were made or refused.
    fn n_answered(&self) -> usize {
        let ordered = |event: &&Event| {
            matches!(
                event,
                Event::Swapped { cause: SwapCause::Strategy | SwapCause::RollBack, .. } | Event::Adjusted { .. }
            )
        };
        // What an interruption came before is ordered again.
        let is_final =
            |r: &&Record| matches!(&r.event, Event::SwapRefused { message, .. } if !message.contains("suspended"));
        let refused = self.records.iter().filter(is_final).count();
        self.lane().iter().filter(ordered).count() + refused
    }

    /// The deterministic lane, superseded events left out.
    pub fn lane(&self) -> Vec<Event> {
        let ranges: Vec<(u64, u64)> = self
            .records
            .iter()
            .filter_map(|record| match record.event {
                Event::Resumed { supersedes, .. } => Some(supersedes),
                _ => None,
            })
            .collect();
        self.records
            .iter()
            .filter(|r| !ranges.iter().any(|&(from, to)| (from..to).contains(&r.sequence)))
            .filter(|r| r.event.lane() == Lane::Deterministic)
            .map(|r| r.event.clone())
            .collect()
    }
}

/// Compare two lanes by their first difference.
#[track_caller]
pub fn assert_same(found: &[Event], expected: &[Event], context: String) {
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert_eq!(a, b, "{context}, event {i}");
    }
    assert_eq!(
        found.len(),
        expected.len(),
        "{context}: number of events; last {:?} {:?}",
        found.last(),
        expected.last()
    );
}

pub const NEVER: usize = usize::MAX;

pub fn uninterrupted(plan: &Plan, shared: bool) -> Vec<Event> {
    let mut world = World::new(plan.clone(), shared, 1);
    assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
    world.lane()
}
