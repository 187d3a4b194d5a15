//! Faults under a whole run, as SQLite tests them: everything a run writes goes through files in memory that fail or
//! stop at the n-th write, sync, rename or removal, for *every* n of a short run. Whatever is left, the same command
//! goes on and ends with the same journal digest.
//!
//! The trainer is the null one, the strategies are real components. What a kill of the real processes does is in
//! `kills.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::{collections::BTreeMap, io, path::Path};

use nasd::{
    Failed,
    run::{Changes, Options, Summary, run_search},
    search::{Places, Search, resolve},
};
use nasd_protocol::{Event, JobId, Record};
use nasd_store::{
    JournalReader, StateFolder,
    fault::{Fault, FaultyFiles, Survival},
};
use nasd_strategy::{Runtime, RuntimeOptions};
use support::{assemble, built};
use tokio::sync::watch;

/// Of the state folder, in memory.
const STATE: &str = "/state";

/// What is left after the process or the machine stopped.
const SURVIVALS: [Survival; 4] = [Survival::LoseUnsynced, Survival::KeepAll, Survival::Torn(500), Survival::Zeros];

const TRAININGS: &str = r#"
name = "test"
space = "nas-bench-201"
space-settings = { "stack.channels" = 2, "stack.cells-per-stage" = 1 }
[task]
data = "digits"
fidelity = 2
[strategy]
component = "strategy.wasm"
[budget]
jobs = 9
[scheduling]
slots = 1
savepoint-every = 4
[weights]
keep = "all"
[final]
fidelity = 1
"#;

const SHARED: &str = r#"
name = "test"
space = "darts-cnn"
space-settings = { "one-shot.channels" = 1, "one-shot.layers" = 3, "stack.channels" = 1, "stack.layers" = 3 }
[task]
data = "digits"
validation = 0.5
shared-epochs = 1
[task.shared-recipe]
batch-size = 128
[strategy]
component = "darts"
[scheduling]
savepoint-every = 3
"#;

/// A search ready to run, and how the uninterrupted run goes.
struct Case {
    search: Search,
    options: Options,
    tokio: tokio::runtime::Runtime,
    whole: Summary,
    operations: u64,
}

impl Case {
    fn new(text: &str, component: &[u8], draws: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("strategy.wasm"), component).unwrap();
        let text = text.replace("\"darts\"", "\"strategy.wasm\"");
        let path = folder.path().join("search.toml");
        let file = nasd::configuration::parse(&text, "search.toml", &[]).unwrap();
        let places = || Places { state: STATE.into(), data: folder.path().join("data") };
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let runtime = Runtime::new(RuntimeOptions::default()).unwrap();
        let search = tokio.block_on(resolve(file, &path, &places(), &runtime)).unwrap();
        let options = Options {
            file: path,
            settings: Vec::new(),
            places: places(),
            device: "null".into(),
            trainers: Some(2),
            is_silent: true,
            draws,
            reuses: false,
            changes: Changes::None,
        };
        let mut case = Self { search, options, tokio, whole: Summary::default(), operations: 0 };
        let files = FaultyFiles::new();
        case.whole = case.run(&files).unwrap();
        case.operations = files.operations();
        case
    }

    fn run(&self, files: &FaultyFiles) -> Result<Summary, Failed> {
        let (_interrupting, interrupt) = watch::channel(false);
        self.tokio.block_on(run_search(&self.search, &self.options, files.shared(), interrupt))
    }

    /// Run on files that go wrong, then on what is left, and compare with the uninterrupted run.
    fn check(&self, faults: &[Fault], left: impl Fn(&FaultyFiles) -> FaultyFiles) {
        let files = FaultyFiles::with_faults(faults);
        let mut done = self.run(&files);
        let mut files = files;
        let mut attempts = 0;
        while let Err(error) = &done {
            attempts += 1;
            assert!(attempts < 3, "{faults:?}: it does not go on: {error}");
            assert!(!error.to_string().contains('\n'), "{faults:?}: {error}");
            files = left(&files);
            self.expect_sound_beginning(&files, faults);
            if self.is_done(&files) {
                return; // stopped at the last operation: the next command would begin another run
            }
            done = self.run(&files);
        }
        let summary = done.unwrap();
        assert_eq!(
            (&summary.run, &summary.digest, summary.jobs, &summary.recommended),
            (&self.whole.run, &self.whole.digest, self.whole.jobs, &self.whole.recommended),
            "{faults:?}"
        );
        self.expect_nothing_twice(&files, faults);
    }

    /// Whether the run is over and its report is there; then it is the right one.
    fn is_done(&self, files: &FaultyFiles) -> bool {
        let is_done = files.shared().exists(&Path::new(STATE).join("runs/test/1/report.md"));
        if is_done {
            assert_eq!(nasd_store::digest(&Self::records(files)).unwrap(), self.whole.digest);
        }
        is_done
    }

    fn records(files: &FaultyFiles) -> Vec<Record> {
        let state = StateFolder::read_only_with(files.shared(), Path::new(STATE)).unwrap();
        let runs = state.runs().unwrap();
        assert!(runs.len() <= 1, "{runs:?}");
        let Some(run) = runs.first() else { return Vec::new() };
        let journal = JournalReader::open(state.files(), &state.journal_path(run)).unwrap();
        journal.collect::<Result<_, _>>().unwrap()
    }

    /// What the strategy was told had arrived before, and is not lost.
    fn expect_sound_beginning(&self, files: &FaultyFiles, faults: &[Fault]) {
        if !files.shared().exists(&Path::new(STATE).join("runs")) {
            return;
        }
        let mut arrived: BTreeMap<JobId, u32> = BTreeMap::new();
        for record in Self::records(files) {
            match record.event {
                Event::Arrived { job, .. } => *arrived.entry(job).or_default() += 1,
                Event::Told { job, .. } => assert!(arrived.contains_key(&job), "{faults:?}: job {job} was told early"),
                _ => {}
            }
        }
    }

    /// A finished training is finished once; so is a final training, a recommendation and the run.
    fn expect_nothing_twice(&self, files: &FaultyFiles, faults: &[Fault]) {
        let mut n: BTreeMap<String, u32> = BTreeMap::new();
        for record in Self::records(files) {
            let name = match record.event {
                Event::Begun { .. } => "begun".to_owned(),
                Event::Arrived { job, outcome: nasd_protocol::Outcome::Trained(_), .. } => format!("job {job}"),
                Event::FinallyTrained { .. } => "finally trained".to_owned(),
                Event::Recommended { .. } => "recommended".to_owned(),
                Event::Ended { .. } => "ended".to_owned(),
                _ => continue,
            };
            *n.entry(name).or_default() += 1;
        }
        // A recommendation is made again if it was not durable; it may survive as an unsynced one that is superseded.
        n.remove("recommended");
        assert!(n.values().all(|n| *n == 1), "{faults:?}: {n:?}");
    }

    /// Every operation of the run.
    fn sweep(&self) {
        for at in 0..self.operations {
            for survival in SURVIVALS {
                self.check(&[Fault::Stop(at)], |files| files.after_crash(survival));
            }
            // The process ends, the machine does not.
            for fault in [Fault::Fail(at, io::ErrorKind::Other), Fault::Full(at)] {
                self.check(&[fault], |files| {
                    files.set_faults(&[]);
                    files.clone()
                });
            }
            // The machine goes down after the process has given up.
            self.check(&[Fault::Fail(at, io::ErrorKind::Other)], |files| files.after_crash(Survival::LoseUnsynced));
        }
    }

    /// A second crash while the run is taken up again, at every operation of that.
    fn sweep_twice(&self, first: u64, survival: Survival) {
        let files = FaultyFiles::with_faults(&[Fault::Stop(first)]);
        assert!(self.run(&files).is_err());
        for second in 0.. {
            let left = files.after_crash(survival);
            left.set_faults(&[Fault::Stop(second)]);
            if self.run(&left).is_ok() {
                break;
            }
            let left = left.after_crash(survival);
            if self.is_done(&left) {
                continue;
            }
            let summary = self.run(&left).unwrap();
            assert_eq!((&summary.run, &summary.digest), (&self.whole.run, &self.whole.digest), "{first}, {second}");
            self.expect_nothing_twice(&left, &[Fault::Stop(first), Fault::Stop(second)]);
        }
    }
}

fn well_behaved() -> Vec<u8> {
    assemble::hostile("well-behaved")
}

/// Three jobs at a time, judged while they run.
fn several_slots() -> String {
    TRAININGS.replace("slots = 1", "slots = 3").replace("fidelity = 2", "fidelity = 4")
        + "[approximation.median-stop]\nafter-jobs = 2\n"
}

#[test]
fn a_run_of_one_slot_survives_a_fault_at_any_operation() {
    Case::new(TRAININGS, &well_behaved(), false).sweep();
}

#[test]
fn a_run_of_several_slots_survives_a_fault_at_any_operation() {
    let case = Case::new(&several_slots(), &well_behaved(), false);
    assert!(case.whole.cost < 9.0 * 4.0, "no job was stopped early: {}", case.whole.cost);
    case.sweep();
}

#[test]
fn a_run_on_shared_weights_survives_a_fault_at_any_operation() {
    let Some(darts) = built("darts") else { return };
    Case::new(SHARED, &darts, false).sweep();
}

#[test]
fn a_run_survives_a_second_crash_while_it_is_taken_up_again() {
    let mut cases =
        vec![Case::new(TRAININGS, &well_behaved(), false), Case::new(&several_slots(), &well_behaved(), false)];
    cases.extend(built("darts").map(|darts| Case::new(SHARED, &darts, false)));
    for case in &cases {
        for tenths in [2, 5, 9] {
            for survival in [Survival::LoseUnsynced, Survival::KeepAll] {
                case.sweep_twice(case.operations * tenths / 10, survival);
            }
        }
    }
}

#[test]
fn a_report_that_was_cut_short_is_written_by_the_next_command_and_begins_no_new_run() {
    let case = Case::new(TRAININGS, &well_behaved(), true);
    for back in [2, 3, 8, 30] {
        case.check(&[Fault::Stop(case.operations - back)], |files| files.after_crash(Survival::LoseUnsynced));
    }
}

#[test]
fn a_strategy_that_cannot_restore_its_savepoint_starts_afresh_and_ends_the_same() {
    let case = Case::new(TRAININGS, &assemble::hostile("garbage-snapshot"), false);
    for at in (0..case.operations).step_by(3) {
        case.check(&[Fault::Stop(at)], |files| files.after_crash(Survival::LoseUnsynced));
    }
}
