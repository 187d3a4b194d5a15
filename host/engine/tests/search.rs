//! Whole searches on a simulated world: a strategy whose every answer depends on everything it was told and
//! in which order, trainers that finish in any order, crashes after any journal record.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{collections::BTreeMap, sync::Arc};

use nasd_engine::{
    Budget, Call, Command, Input, Order, Plan, Reply, Search, TaskModel, approximation::MedianStop, search::read_ledger,
};
use nasd_protocol::{
    Answer, Ending, Event, Failure, FailureKind, Goal, InitialWeights, JobId, Lane, Measure, Objective, Outcome, Point,
    Proposal, Record, Setup, SharedStep, Snapshot, SnapshotFormat, Split, StepResult, Trained, Training, Verdict,
    WeightUpdate, Work,
    event::{SharedCheckpoint, StrategyIdentity},
};
use nasd_space::{Architecture, Gene, RandomSource, StreamRandom};
use proptest::prelude::*;

fn mix(state: u64, value: u64) -> u64 {
    let z = (state ^ value.rotate_left(17)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What the task does.
struct Task {
    shared: bool,
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

/// A strategy that forgets nothing and gives away any difference.
#[derive(Clone)]
struct Strategy {
    state: u64,
    random: StreamRandom,
    last: Option<JobId>,
    shared: bool,
}

impl Strategy {
    fn new(shared: bool) -> Self {
        Self { state: 1, random: StreamRandom::new(5, "strategy"), last: None, shared }
    }

    fn ask(&mut self, slots: u32) -> Vec<Proposal> {
        let n = 1 + self.random.below(u64::from(slots)) as usize;
        (0..n)
            .map(|_| {
                let drawn = mix(self.state, self.random.next_u64());
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
        let bytes = [self.state, self.last.unwrap_or(0)].into_iter().flat_map(u64::to_le_bytes).collect();
        Snapshot { format: SnapshotFormat { name: "fake".into(), version: 1 }, bytes, needs_weights: vec![] }
    }

    fn restore(snapshot: &Snapshot, random: u64, shared: bool) -> Self {
        let word = |i: usize| u64::from_le_bytes(snapshot.bytes[8 * i..8 * i + 8].try_into().unwrap());
        let mut strategy = Self { state: word(0), last: Some(word(1)).filter(|&id| id > 0), ..Self::new(shared) };
        strategy.random.seek(random);
        strategy
    }

    fn tell(&mut self, id: JobId, outcome: &Outcome) {
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

fn plan(slots: u32, order: Order, median: bool) -> Plan {
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

struct World {
    records: Vec<Record>,
    shared: bool,
    plan: Plan,
    /// Order in which results happen to arrive, and which trainers are lost.
    chance: StreamRandom,
    losses: bool,
}

#[derive(Debug, PartialEq)]
enum Stop {
    Finished,
    Suspended,
    Crashed,
}

impl World {
    fn new(plan: Plan, shared: bool, chance: u64) -> Self {
        Self { records: vec![], shared, plan, chance: StreamRandom::new(chance, "chance"), losses: false }
    }

    fn append(&mut self, event: Event) {
        let sequence = self.records.len() as u64;
        self.records.push(Record { sequence, event, observed: BTreeMap::new() });
    }

    /// Run until the end, or until the journal has `crash_at` records, or interrupt at `interrupt_at`.
    fn run(&mut self, crash_at: usize, interrupt_at: usize) -> Stop {
        loop {
            match self.run_once(crash_at, interrupt_at) {
                Some(stop) => return stop,
                None => continue, // rewound
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
                strategy: StrategyIdentity { name: "fake".into(), version: "1".into(), digest: String::new() },
                setup: Box::new(setup),
            });
            (Search::new(self.plan.clone(), task), Strategy::new(self.shared))
        } else {
            let resumption = Search::resume(self.plan.clone(), task, &self.records).unwrap();
            let strategy = match &resumption.snapshot {
                Some(snapshot) => Strategy::restore(snapshot, resumption.random, self.shared),
                None => Strategy::new(self.shared),
            };
            self.append(resumption.event);
            (resumption.search, strategy)
        };
        let mut inputs = vec![Input::Begin];
        let mut running: Vec<JobId> = vec![];
        let mut interrupted = false;
        let mut idle = 0;
        loop {
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
                        let reply = match call {
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
                        };
                        inputs.push(Input::Returned { reply: Ok(reply), random: strategy.random.position() });
                    }
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

    /// The deterministic lane, superseded events left out.
    fn lane(&self) -> Vec<Event> {
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
fn assert_same(found: &[Event], expected: &[Event], context: String) {
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

const NEVER: usize = usize::MAX;

fn uninterrupted(plan: &Plan, shared: bool) -> Vec<Event> {
    let mut world = World::new(plan.clone(), shared, 1);
    assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
    world.lane()
}

#[test]
fn every_job_is_told_once_and_the_run_ends_with_a_recommendation() {
    let mut n_stopped = 0;
    for shared in [false, true] {
        let lane = uninterrupted(&plan(4, Order::Virtual, true), shared);
        let told: Vec<JobId> =
            lane.iter().filter_map(|e| if let Event::Told { job, .. } = e { Some(*job) } else { None }).collect();
        let mut sorted = told.clone();
        sorted.sort();
        assert_eq!(sorted, (1..=40).collect::<Vec<_>>());
        assert!(told != sorted, "with several slots, results come out of id order");
        assert!(lane.iter().any(|e| matches!(e, Event::Recommended { architectures } if !architectures.is_empty())));
        n_stopped += lane.iter().filter(|e| matches!(e, Event::Judged { verdict: Verdict::Stop, .. })).count();
    }
    assert!(n_stopped > 0, "some trainings are stopped");
}

#[test]
fn in_virtual_order_the_run_does_not_depend_on_which_trainer_is_fast() {
    for (slots, shared) in [(1, false), (4, false), (3, true)] {
        let plan = plan(slots, Order::Virtual, true);
        let reference = uninterrupted(&plan, shared);
        for chance in 2..30 {
            let mut world = World::new(plan.clone(), shared, chance);
            world.losses = chance % 2 == 0;
            assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
            assert_same(&world.lane(), &reference, format!("slots {slots}, chance {chance}"));
        }
    }
}

#[test]
fn a_crash_after_any_record_changes_nothing() {
    for (slots, shared, order) in
        [(1, false, Order::Virtual), (4, false, Order::Virtual), (1, true, Order::Virtual), (3, true, Order::Virtual)]
    {
        let plan = plan(slots, order, true);
        let reference = uninterrupted(&plan, shared);
        let mut whole = World::new(plan.clone(), shared, 1);
        whole.run(NEVER, NEVER);
        for crash in 1..whole.records.len() {
            let mut world = World::new(plan.clone(), shared, 1);
            assert_eq!(world.run(crash.max(2), NEVER), Stop::Crashed);
            world.chance = StreamRandom::new(crash as u64, "after the crash");
            let second = world.records.len() + 1 + crash % 40;
            if world.run(second, NEVER) == Stop::Crashed {
                assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
            }
            assert_same(&world.lane(), &reference, format!("slots {slots}, shared {shared}, crash {crash}"));
        }
    }
}

#[test]
fn an_interruption_anywhere_changes_nothing() {
    for (slots, shared) in [(1, false), (4, false), (1, true), (3, true)] {
        let plan = plan(slots, Order::Virtual, false);
        let reference = uninterrupted(&plan, shared);
        for at in (2..120).step_by(3) {
            let mut world = World::new(plan.clone(), shared, 1);
            if world.run(NEVER, at) == Stop::Suspended {
                assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
            }
            assert_same(&world.lane(), &reference, format!("slots {slots}, shared {shared}, at {at}"));
        }
    }
}

#[test]
fn in_arrival_order_a_crash_keeps_the_order_that_was() {
    let plan = plan(4, Order::Arrival, true);
    for crash in (2..150).step_by(5) {
        let mut world = World::new(plan.clone(), false, 3);
        if world.run(crash, NEVER) != Stop::Crashed {
            break;
        }
        let before = world.lane();
        world.chance = StreamRandom::new(crash as u64, "after the crash");
        assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
        assert_eq!(&world.lane()[..before.len()], before.as_slice(), "crash {crash}");
    }
}

#[test]
fn a_strategy_that_waits_with_nothing_in_flight_fails_the_run() {
    let mut search = Search::new(plan(2, Order::Virtual, false), Arc::new(Task { shared: false }));
    search.step(Input::Begin);
    search.step(Input::Returned { reply: Ok(Reply::Started), random: 0 });
    let commands = search.step(Input::Returned { reply: Ok(Reply::Answered(Answer::Wait)), random: 0 });
    let Some(Command::Finish(ending)) = commands.last() else { panic!("{commands:?}") };
    assert!(format!("{ending:?}").contains("`wait` with no job in flight"), "{ending:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn any_number_of_crashes_and_interruptions_gives_the_same_run(
        slots in 1u32..6, shared: bool, median: bool, chance: u64,
        stops in proptest::collection::vec((1usize..60, any::<bool>()), 0..6),
    ) {
        let plan = plan(slots, Order::Virtual, median);
        let reference = uninterrupted(&plan, shared);
        let mut world = World::new(plan, shared, chance);
        world.losses = true;
        let mut finished = false;
        for (after, by_crash) in stops {
            let at = world.records.len().max(1) + after;
            let (crash, interrupt) = if by_crash { (at, NEVER) } else { (NEVER, at) };
            if world.run(crash, interrupt) == Stop::Finished {
                finished = true;
                break;
            }
        }
        if !finished {
            prop_assert_eq!(world.run(NEVER, NEVER), Stop::Finished);
        }
        assert_same(&world.lane(), &reference, String::new());
    }
}
