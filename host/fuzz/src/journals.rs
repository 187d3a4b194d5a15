//! Journals: read, digested, printed, opened to go on, applied to a result store, and folded to go on from.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use nasd_engine::{Budget, Order, Plan, Search, TaskModel, resume};
use nasd_network::SpaceDefinition;
use nasd_protocol::{
    Answer, Ending, Event, Failure, FailureKind, Features, Goal, InitialWeights, LogLevel, Measure, Objective, Outcome,
    Point, Proposal, Record, Request, Setup, Snapshot, SnapshotFormat, Trained, Training, Verdict, Work,
    event::{Judge, Observation, RunEnding, SharedCheckpoint, StrategyIdentity, SwapCause, Takeover},
};
use nasd_space::{Architecture, Gene, SearchSpace};
use nasd_store::{Files, Journal, JournalReader, ResultStore, RunId, StateFolder, fault::FaultyFiles};

use crate::frames::repaired;

/// Length of a journal's first line, before its first frame.
pub const MAGIC_LEN: usize = 15;

/// The target.
pub fn read(bytes: &[u8]) {
    let repaired = repaired(bytes, MAGIC_LEN);
    if repaired != bytes {
        open(bytes);
    }
    let Some((state, records)) = open(&repaired) else { return };
    let _ = nasd_store::digest(&records);
    let _ = nasd_store::record::print(&records, &mut std::io::sink());
    let _ = ResultStore::in_memory(&state);
    take_up(&records);
}

/// Read, opened to go on, and opened once more; what was read, and where.
fn open(bytes: &[u8]) -> Option<(StateFolder, Vec<Record>)> {
    let run = RunId::new("s", 1).expect("a run's name");
    let files: Files = FaultyFiles::new().shared();
    let state = StateFolder::open_with(files.clone(), Path::new("/state")).expect("a state folder in memory");
    let path = state.journal_path(&run);
    files.create_dir_all(path.parent().expect("a run's folder")).expect("a folder in memory");
    let mut file = files.create_new(&path).expect("a file in memory");
    file.write_all(bytes).and_then(|()| file.sync_data()).expect("a write in memory");

    let reader = JournalReader::open(&files, &path).ok()?;
    let records: Vec<Record> = reader.map_while(Result::ok).collect();
    if let Ok((journal, found, torn)) = Journal::open(files.clone(), &path) {
        drop(journal);
        assert!(same(&found, &records), "another reader finds other records");
        if torn.is_some() {
            // The torn end was cut off: what is there now is sound.
            let (_, again, torn) = Journal::open(files, &path).expect("a journal just opened opens again");
            assert!(torn.is_none() && same(&again, &records), "opened again, a journal is another one");
        }
    }
    Some((state, records))
}

/// Compared as they are written, since a NaN differs from itself.
fn same(some: &[Record], others: &[Record]) -> bool {
    let body = |record| nasd_protocol::frame::encode_body(record).expect("what was read can be written");
    some.iter().map(body).eq(others.iter().map(body))
}

/// What a run does with the records of the process before it.
fn take_up(records: &[Record]) {
    let _ = (resume::is_over(records), resume::recommended(records), resume::ending_of(records));
    let _ = resume::seconds_driven(records);
    let Some(Event::Begun { setup, .. }) = records.first().map(|record| &record.event) else { return };
    // A run's space is that of its search, which was validated.
    if setup.space.validate().is_err() {
        return;
    }
    let task = Arc::new(Task { space: setup.space.clone(), is_shared: setup.shared_weights.is_some() });
    let plan = Plan {
        objectives: vec![Objective { metric: "accuracy".into(), goal: Goal::Maximize }],
        budget: Budget::default(),
        slots: 2,
        order: Order::Virtual,
        max_fidelity: 10,
        savepoint_every: 2,
        max_attempts: 3,
        recommend: 1,
        median_stop: None,
    };
    let _ = resume::ledger_of(plan.clone(), task.clone(), records);
    let _ = Search::resume_afresh(plan.clone(), task.clone(), records);
    let _ = Search::resume(plan, task, records);
}

/// A journal with an event of every kind, such as no single run has, and one cut short.
pub fn specimens() -> Vec<Vec<u8>> {
    let path = Path::new("/run/journal");
    let files: Files = FaultyFiles::new().shared();
    files.create_dir_all(Path::new("/run")).expect("a folder in memory");
    let mut journal = Journal::create(files.clone(), path).expect("a journal in memory");
    let observed = || BTreeMap::from([("time".to_owned(), Observation::Number(1.5))]);
    for (sequence, event) in (0..).zip(events()) {
        journal.append_record(&Record { sequence, event, observed: observed() }).expect("records follow each other");
        if sequence % 4 == 3 {
            journal.sync().expect("a write in memory");
        }
    }
    let whole = files.read(path).expect("a file in memory");
    let torn = whole.get(..whole.len() - 3).unwrap_or_default().to_vec();
    vec![whole, torn]
}

fn events() -> Vec<Event> {
    let who = |name: &str| StrategyIdentity { name: name.into(), version: "1".into(), digest: "ab".into() };
    let space = SpaceDefinition::preset("nas-bench-201").expect("a preset");
    let setup = Setup {
        space: space.space().clone(),
        space_digest: "cd".into(),
        objectives: vec![Objective { metric: "accuracy".into(), goal: Goal::Maximize }],
        constraints: Vec::new(),
        max_fidelity: 10,
        fidelities: Vec::new(),
        offers: Features::default(),
        shared_weights: None,
        parameters: "{}".into(),
    };
    let measures = || vec![Measure::new("accuracy", 0.5)];
    let point = || Point { fidelity: 1, measures: measures() };
    let architecture: Architecture = vec![Gene::Choice(1); 6];
    let training = Training {
        architecture: architecture.clone(),
        fidelity: 2,
        schedule: 0,
        initial_weights: InitialWeights::ByPolicy,
        judge_every: 1,
    };
    let proposal = Proposal { work: Work::Train(training), parents: Vec::new(), note: String::new() };
    let request = |next_id| Request { slots: 1, next_id, in_flight: vec![], jobs_left: Some(4), budget_used: 0.5 };
    let trained = Trained { measures: measures(), curve: vec![point()], ending: Ending::Complete, predicted: None };
    let outcome = Outcome::Trained(trained);
    let format = SnapshotFormat { name: "random".into(), version: 1 };
    let snapshot = Snapshot { format, bytes: vec![1, 2, 3], needs_weights: vec![1] };
    let shared = Some(SharedCheckpoint { digest: "ef".into(), after_job: Some(1), steps_done: 5 });
    vec![
        Event::Begun {
            configuration: "{}".into(),
            configuration_digest: "cd".into(),
            seed: 1,
            strategy: who("random"),
            setup: Box::new(setup),
        },
        Event::Started { random: 3 },
        Event::Asked { request: request(1), answer: Answer::Work(vec![proposal]), random: 7 },
        Event::Dispatched { job: 1, attempt: 1 },
        Event::Reported { job: 1, point: point() },
        Event::Judged { job: 1, point: point(), by: Judge::Strategy, verdict: Verdict::Proceed, random: 7 },
        Event::Arrived { job: 1, outcome: outcome.clone(), cost: 2.0, weights: Some("ab".into()), test: measures() },
        Event::Told { job: 1, outcome_digest: "01".into(), cost: 2.0, random: 7 },
        Event::Savepoint { snapshot, random: 7, shared },
        Event::Swapped {
            from: who("random"),
            to: who("grid"),
            parameters: "{}".into(),
            cause: SwapCause::Trap("ask".into()),
            via: Takeover::Replay,
            back: 0,
            random_before: 7,
            random: 8,
            is_savepoint: true,
        },
        Event::SwapRefused { to: who("tpe"), message: "no".into() },
        Event::Adjusted { budget: "{\"jobs\":3}".into(), slots: 4, random: 8 },
        Event::Forked { run: "s/2".into(), at: 3 },
        Event::Charted { name: "entropy".into(), value: f64::NAN },
        Event::Logged { level: LogLevel::Warn, message: "text".into() },
        Event::Asked { request: request(2), answer: Answer::Finished("all".into()), random: 8 },
        Event::Resumed { savepoint: Some(11), supersedes: (12, 16) },
        Event::Recommended { architectures: vec![architecture] },
        Event::FinallySaved { rank: 0, repetition: 0, fidelity: 1, weights: "ab".into() },
        Event::FinallyTrained { rank: 0, repetition: 0, outcome, test: measures(), weights: None },
        Event::Ended { ending: RunEnding::Strategy("all".into()) },
    ]
}

struct Task {
    space: SearchSpace,
    is_shared: bool,
}

impl Task {
    fn invalid(violation: impl ToString) -> Failure {
        Failure { kind: FailureKind::InvalidArchitecture, message: violation.to_string() }
    }
}

impl TaskModel for Task {
    fn duration(&self, work: &Work, resumed_from: u32) -> f64 {
        match work {
            Work::Train(training) => f64::from(training.fidelity.saturating_sub(resumed_from)).max(1.0),
            Work::TrainShared(steps) => steps.len().max(1) as f64,
            Work::EvaluateShared(evaluation) => evaluation.architectures.len().max(1) as f64,
        }
    }

    fn check(&self, architecture: &Architecture) -> Result<(), Failure> {
        self.space.check(architecture).map_err(Self::invalid)
    }

    fn check_shared(&self, architecture: &Architecture) -> Result<(), Failure> {
        self.space.check_shared(architecture).map_err(Self::invalid)
    }

    fn has_shared_weights(&self) -> bool {
        self.is_shared
    }

    fn keeps_weights(&self) -> bool {
        true
    }
}
