//! The result store says what the journals say, whatever happens to it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{fs, path::Path};

use common::{accuracy, arrived, asked, begun, records, run, told};
use nasd_protocol::{Event, Goal, Measure, Outcome, Point, Record};
use nasd_space::{Gene, RandomSource, StreamRandom, architecture_digest};
use nasd_store::{JobState, Journal, ResultStore, RunId, Span, StateError, StateFolder};
use proptest::prelude::*;

/// A state folder with one run of these events.
fn state(root: &Path, events: Vec<Event>) -> (StateFolder, RunId) {
    let state = StateFolder::open(root).unwrap();
    let run = state.create_run("cifar10").unwrap();
    let mut journal = Journal::create(state.files().clone(), &state.journal_path(&run)).unwrap();
    for record in records(events) {
        journal.append_record(&record).unwrap();
    }
    journal.sync().unwrap();
    (state, run)
}

fn scramble(folder: &Path, seed: u64, change: &dyn Fn(&mut Vec<u8>, u64)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            scramble(&path, seed, change);
        } else {
            let mut bytes = fs::read(&path).unwrap();
            change(&mut bytes, seed);
            fs::write(&path, bytes).unwrap();
        }
    }
}

#[test]
fn queries_answer_from_what_was_applied() {
    let folder = tempfile::tempdir().unwrap();
    let (state, run) = state(folder.path(), run(200));
    let (store, opened) = ResultStore::open(&state).unwrap();
    assert_eq!((opened.rebuilt, opened.unreadable.len()), (None, 0));
    assert_eq!(store.verify(&state).unwrap(), Vec::<String>::new());

    let runs = store.runs().unwrap();
    assert_eq!(runs.len(), 1);
    assert_eq!((runs[0].run.to_string(), runs[0].seed, runs[0].ending.is_some()), ("cifar10/1".into(), 1, true));
    let page = store.jobs(&run, 150, 20).unwrap();
    assert_eq!(page.iter().map(|row| row.job).collect::<Vec<_>>(), (150..170).collect::<Vec<_>>());
    assert_eq!(page[0].state, JobState::Told);
    assert_eq!(page[0].measure("accuracy"), Some(accuracy(150)));
    assert_eq!(page[0].provenance.device.as_deref(), Some("cpu"));

    let values = |rows: Vec<nasd_store::JobRow>, metric: &str| -> Vec<f64> {
        rows.iter().filter_map(|row| row.measure(metric)).collect()
    };
    let mut expected: Vec<f64> = (0..200).map(accuracy).collect();
    expected.sort_by(f64::total_cmp);
    expected.reverse();
    assert_eq!(values(store.best(&run, "accuracy", Goal::Maximize, 30).unwrap(), "accuracy"), expected[..30]);
    let losses = values(store.best(&run, "loss", Goal::Minimize, 30).unwrap(), "loss");
    assert_eq!(losses, expected[..30].iter().map(|value| 1.0 - value).collect::<Vec<_>>());
    assert!(store.best(&run, "acc", Goal::Maximize, 30).unwrap().is_empty());

    let architecture = vec![Gene::Choice(7)];
    let digest = architecture_digest(&architecture);
    assert_eq!(store.architecture(&digest).unwrap(), Some(architecture));
    let found = store.by_architecture(&digest).unwrap();
    assert_eq!(
        found.iter().map(|(run, row)| (run.to_string(), row.job)).collect::<Vec<_>>(),
        [("cifar10/1".into(), 7)]
    );
}

#[test]
fn a_resumption_takes_back_and_what_is_asked_again_keeps_its_outcome() {
    let mut events = vec![begun(), Event::Started { random: 0 }];
    for job in 0..3 {
        events.extend([asked(job), arrived(job), told(job)]);
    }
    // Everything after job 0 was told happens again; then job 1 is asked for again, job 2 not.
    events.push(Event::Resumed { savepoint: None, supersedes: (5, 11) });
    events.extend([asked(1), told(1)]);
    let folder = tempfile::tempdir().unwrap();
    let (state, run) = state(folder.path(), events);
    let (store, _) = ResultStore::open(&state).unwrap();
    let jobs = store.jobs(&run, 0, 10).unwrap();
    assert_eq!(
        jobs.iter().map(|row| (row.job, row.state)).collect::<Vec<_>>(),
        [(0, JobState::Told), (1, JobState::Told)]
    );
    assert_eq!(jobs[1].measure("accuracy"), Some(accuracy(1)));
    assert_eq!(store.best(&run, "accuracy", Goal::Maximize, 10).unwrap().len(), 2);
    assert!(store.job(&run, 2).unwrap().unwrap().superseded);
    assert_eq!(store.run(&run).unwrap().unwrap().resumptions, 1);
}

#[test]
fn final_trainings_are_in_their_order_whichever_ended_first() {
    let temp = tempfile::tempdir().unwrap();
    let ended = |rank, repetition| {
        let outcome = Outcome::SharedSteps(vec![]);
        Event::FinallyTrained { rank, repetition, outcome, test: vec![], weights: None }
    };
    let events = vec![begun(), ended(1, 0), ended(0, 1), ended(0, 0), ended(0, 1)];
    let (state, run) = state(temp.path(), events);
    let (store, _) = ResultStore::open(&state).unwrap();
    let finals = store.run(&run).unwrap().unwrap().finals;
    let order: Vec<(u32, u32)> = finals.iter().map(|row| (row.rank, row.repetition)).collect();
    assert_eq!(order, [(0, 0), (0, 1), (1, 0)]);
}

#[test]
fn a_store_behind_its_journals_is_caught_up() {
    let folder = tempfile::tempdir().unwrap();
    let (state, run) = state(folder.path(), run(5));
    let (store, opened) = ResultStore::open(&state).unwrap();
    let total = opened.caught_up;
    let (mut journal, found, _) = Journal::open(state.files().clone(), &state.journal_path(&run)).unwrap();
    assert_eq!(found.len() as u64, total);
    for event in [asked(5), arrived(5)] {
        let record = Record { sequence: journal.next_sequence(), event, observed: Default::default() };
        journal.append_record(&record).unwrap();
    }
    journal.sync().unwrap();
    drop(store);
    let (store, opened) = ResultStore::open(&state).unwrap();
    assert_eq!((opened.caught_up, opened.rebuilt), (2, None));
    assert_eq!(store.job(&run, 5).unwrap().unwrap().state, JobState::Arrived);
    assert_eq!(store.verify(&state).unwrap(), Vec::<String>::new());
}

#[test]
fn a_deleted_or_garbled_store_is_made_anew() {
    type Damage = (&'static str, Box<dyn Fn(&Path)>);
    let mut damages: Vec<Damage> = vec![
        ("deleted", Box::new(|results| fs::remove_dir_all(results).unwrap())),
        (
            "a file instead",
            Box::new(|results| {
                fs::remove_dir_all(results).unwrap();
                fs::write(results, b"what?").unwrap();
            }),
        ),
        ("emptied files", Box::new(|results| scramble(results, 0, &|bytes, _| bytes.clear()))),
        ("cut in half", Box::new(|results| scramble(results, 0, &|bytes, _| bytes.truncate(bytes.len() / 2)))),
        ("zeros", Box::new(|results| scramble(results, 0, &|bytes, _| bytes.fill(0)))),
    ];
    for seed in 1..12u64 {
        damages.push((
            "flips",
            Box::new(move |results| {
                scramble(results, seed, &|bytes, seed| {
                    for number in 0..40u64 {
                        let place = (seed * 7919 + number * number * 104_729) as usize % bytes.len().max(1);
                        if let Some(byte) = bytes.get_mut(place) {
                            *byte ^= 1 << (number % 8);
                        }
                    }
                });
            }),
        ));
    }
    for (what, damage) in damages {
        let folder = tempfile::tempdir().unwrap();
        let (state, run) = state(folder.path(), run(60));
        drop(ResultStore::open(&state).unwrap());
        damage(&state.results_folder());
        let (store, _) = ResultStore::open(&state).unwrap();
        assert_eq!(store.verify(&state).unwrap(), Vec::<String>::new(), "{what}");
        assert_eq!(store.jobs(&run, 0, 1000).unwrap().len(), 60, "{what}");
    }
}

#[test]
fn a_store_that_knows_more_than_the_journals_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (state, run) = state(folder.path(), run(5));
    drop(ResultStore::open(&state).unwrap());
    fs::remove_dir_all(state.run_folder(&run)).unwrap();
    let (store, opened) = ResultStore::open(&state).unwrap();
    assert!(opened.rebuilt.unwrap().1.contains("run cifar10/1"));
    assert!(store.runs().unwrap().is_empty());
}

#[test]
fn readers_beside_the_writer_make_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (state, run) = state(folder.path(), run(5));
    let (_writer, _) = ResultStore::open(&state).unwrap();
    let reader = StateFolder::read_only(folder.path()).unwrap();
    assert!(matches!(
        ResultStore::open(&reader).unwrap_err(),
        nasd_store::ResultsError::State(StateError::ReadOnly { .. })
    ));
    let (copy, _) = ResultStore::in_memory(&reader).unwrap();
    assert_eq!(copy.jobs(&run, 0, 100).unwrap().len(), 5);
}

#[test]
fn a_second_writer_is_refused_and_admitted_after_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = StateFolder::open(folder.path()).unwrap();
    let error = StateFolder::open(folder.path()).unwrap_err();
    assert!(matches!(&error, StateError::InUse { path } if path == folder.path()), "{error}");
    drop(first);
    StateFolder::open(folder.path()).unwrap();
    let absent = StateFolder::read_only(&folder.path().join("nothing")).unwrap_err();
    assert!(matches!(absent, StateError::Absent { .. }));
}

#[test]
fn runs_are_numbered_and_their_names_stay_in_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::open(folder.path()).unwrap();
    for number in 1..4 {
        let run = state.create_run("a.b-c_1").unwrap();
        assert_eq!(run.number(), number);
        Journal::create(state.files().clone(), &state.journal_path(&run)).unwrap();
    }
    assert_eq!(state.runs().unwrap().len(), 3);
    for name in ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "-x", "a\0b", "ä", &"x".repeat(101)] {
        assert!(matches!(state.create_run(name), Err(StateError::BadName { .. })), "{name:?}");
    }
    for text in ["x", "x/", "/1", "x/-1", "x/01", "x/1/2", "../1"] {
        assert!(text.parse::<RunId>().is_err(), "{text:?}");
    }
    assert_eq!("a.b-c_1/17".parse::<RunId>().unwrap().to_string(), "a.b-c_1/17");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_not_matter_when_rows_are_written_out(seed: u64) {
        let mut random = StreamRandom::new(seed, "events");
        let mut events = vec![begun()];
        for sequence in 1..80u64 {
            let job = random.below(6);
            events.push(match random.below(8) {
                0 | 1 => asked(job),
                2 => Event::Dispatched { job, attempt: random.below(3) as u32 },
                3 => {
                    let measures = vec![Measure::new("accuracy", random.next_f64())];
                    Event::Reported { job, point: Point { fidelity: 1, measures } }
                }
                4 | 5 => arrived(job),
                6 => told(job),
                _ => {
                    let from = random.below(sequence);
                    Event::Resumed { savepoint: None, supersedes: (from, sequence) }
                }
            });
        }
        let run: RunId = "a/1".parse().unwrap();
        let (often, once) = (ResultStore::empty(), ResultStore::empty());
        for record in records(events) {
            let span = Span { start: record.sequence * 10, end: record.sequence * 10 + 10 };
            often.apply(&run, &record, span).unwrap();
            once.apply(&run, &record, span).unwrap();
            if random.below(3) == 0 {
                often.flush().unwrap();
            }
        }
        prop_assert_eq!(often.runs().unwrap(), once.runs().unwrap());
        prop_assert_eq!(often.applied(&run), once.applied(&run));
        for job in 0..6 {
            prop_assert_eq!(often.job(&run, job).unwrap(), once.job(&run, job).unwrap());
        }
        let best = once.best(&run, "accuracy", Goal::Maximize, 10).unwrap();
        prop_assert_eq!(&often.best(&run, "accuracy", Goal::Maximize, 10).unwrap(), &best);
        let results = once.jobs(&run, 0, 10).unwrap().into_iter().filter(|row| row.is_result()).count();
        prop_assert_eq!(best.len(), results);
    }
}
