//! The whole strategy on accuracies written down by hand, against the SDK's test host.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use nas_strategy_sdk::testing::{
    Search, assert_restoring_changes_nothing, edges_cell, failed, one_max, setup, shared_evaluations, shared_steps,
    with_parameters,
};
use nas_strategy_sdk::{
    BatchNorm, Bound, EvaluationBatches, FailureKind, Gene, Measure, Outcome, Proposal, Running, Setup, StrategyError,
    Work,
};
use random_sharing::RandomSharing;

const OPTIONS: [&str; 4] = ["none", "skip_connect", "conv", "pool"];

/// The share of genes that are option 1.
fn ones(genes: &[Gene]) -> f64 {
    genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64
}

fn run(proposal: &Proposal) -> Outcome {
    match &proposal.work {
        Work::TrainShared(_) => shared_steps(proposal, |_| (1.0, Vec::new())),
        _ => shared_evaluations(proposal, ones),
    }
}

fn bits(json: &str) -> Setup {
    with_parameters(setup(one_max(8)), json)
}

/// Steps, samples on some minibatches, finalists on all: `s`, `e` and `f`, each with its number.
fn phases(asked: &[Proposal]) -> Vec<(char, usize)> {
    let phase = |proposal: &Proposal| match &proposal.work {
        Work::TrainShared(steps) => ('s', steps.len()),
        Work::EvaluateShared(work) if work.batches == EvaluationBatches::All => ('f', work.architectures.len()),
        Work::EvaluateShared(work) => ('e', work.architectures.len()),
        other => panic!("{other:?}"),
    };
    asked.iter().map(phase).collect()
}

#[test]
fn training_comes_first_then_samples_then_finalists() {
    let json = r#"{"steps-per-job": 8, "samples": 45, "validation-batches": 2}"#;
    let record = Search::<RandomSharing, _>::new(bits(json), run).run();
    let expected = [('s', 8), ('s', 8), ('s', 4), ('e', 20), ('e', 20), ('e', 5), ('f', 5)];
    assert_eq!(phases(&record.asked), expected);
    assert!(record.finished.unwrap().contains("45 samples"));
}

#[test]
fn the_best_sample_by_the_whole_split_is_recommended() {
    let json = r#"{"samples": 60, "validation-batches": 2}"#;
    // On the few minibatches ones count, on all of them zeros.
    let evaluate = |proposal: &Proposal| match &proposal.work {
        Work::EvaluateShared(work) if work.batches == EvaluationBatches::All => {
            shared_evaluations(proposal, |genes| 1.0 - ones(genes))
        }
        _ => run(proposal),
    };
    let record = Search::<RandomSharing, _>::new(bits(json), evaluate).run();
    let Work::EvaluateShared(finals) = &record.asked.last().unwrap().work else { panic!() };
    let best = finals.architectures.iter().map(|genes| 1.0 - ones(genes)).fold(0.0, f64::max);
    assert_eq!(1.0 - ones(&record.recommended[0]), best);
    assert_eq!(record.recommended.len(), 10);
    assert!(record.chart("rank agreement with whole validation")[0] < 0.0);
}

#[test]
fn samples_are_judged_in_other_ways_too_which_decides_nothing() {
    let json = |more: &str| format!(r#"{{"steps": 4, "samples": 45, "validation-batches": 2{more}}}"#);
    let both = r#", "compare-batch-norm": ["running-statistics", "recalibrated"]"#;
    // By the other statistics zeros count.
    let evaluate = |proposal: &Proposal| match &proposal.work {
        Work::EvaluateShared(work) if work.batch_norm != BatchNorm::BatchStatistics => {
            shared_evaluations(proposal, |genes| 1.0 - ones(genes))
        }
        _ => run(proposal),
    };
    for slots in [1, 3] {
        let record = Search::<RandomSharing, _>::new(bits(&json(both)), evaluate).slots(slots).run();
        let plain = Search::<RandomSharing, _>::new(bits(&json("")), evaluate).slots(slots).run();
        assert_eq!(record.recommended, plain.recommended);
        let judged = |way: BatchNorm| -> Vec<_> {
            let of = |proposal: &Proposal| match &proposal.work {
                Work::EvaluateShared(work) if work.batch_norm == way && work.batches == EvaluationBatches::First(2) => {
                    Some(work.architectures.clone())
                }
                _ => None,
            };
            record.asked.iter().filter_map(of).collect()
        };
        let samples = judged(BatchNorm::BatchStatistics);
        assert_eq!(samples.concat().len(), 45);
        assert_eq!(judged(BatchNorm::RunningStatistics), samples);
        assert_eq!(judged(BatchNorm::Recalibrate(25)), samples);
        assert_eq!(phases(&record.asked).last(), Some(&('f', 5)));
        let search = || Search::<RandomSharing, _>::new(bits(&json(both)), evaluate).slots(slots);
        assert_restoring_changes_nothing(search);
    }
}

#[test]
fn samples_lie_within_the_constraints_and_training_paths_need_not() {
    let cost = |genes: &[Gene]| Ok(vec![Measure { name: "flops".to_owned(), value: ones(genes) }]);
    let mut setup = bits(r#"{"samples": 200}"#);
    setup.constraints = vec![Bound { metric: "flops".to_owned(), at_least: None, at_most: Some(0.4) }];
    let record = Search::<RandomSharing, _>::new(setup, run).costs(cost).run();
    let mut widest: f64 = 0.0;
    for proposal in &record.asked {
        match &proposal.work {
            Work::TrainShared(steps) => steps.iter().for_each(|step| widest = widest.max(ones(&step.architecture))),
            Work::EvaluateShared(work) => assert!(work.architectures.iter().all(|genes| ones(genes) <= 0.4)),
            other => panic!("{other:?}"),
        }
    }
    assert!(widest > 0.4);
    assert!(ones(&record.recommended[0]) <= 0.4);
}

#[test]
fn a_search_with_few_jobs_still_evaluates_something() {
    let json = r#"{"steps": 100000, "samples": 50, "validation-batches": 2}"#;
    let record = Search::<RandomSharing, _>::new(bits(json), run).jobs(10).run();
    assert_eq!(phases(&record.asked)[7..], [('s', 50), ('e', 20), ('e', 20)]);
    assert!(!record.recommended.is_empty());
}

#[test]
fn jobs_fill_all_slots_and_phases_do_not_mix() {
    let json = r#"{"steps-per-job": 2, "samples": 50, "samples-per-job": 5, "validation-batches": 1}"#;
    let record = Search::<RandomSharing, _>::new(bits(json), run).slots(4).run();
    let letters: String = phases(&record.asked).iter().map(|(letter, _)| letter).collect();
    assert_eq!(letters, format!("{}{}f", "s".repeat(10), "e".repeat(10)));
}

#[test]
fn failed_jobs_are_passed_over_and_a_hopeless_search_ends() {
    let json = r#"{"steps-per-job": 1, "samples": 30, "samples-per-job": 1, "validation-batches": 1}"#;
    let mut n = 0;
    let record = Search::<RandomSharing, _>::new(bits(json), |proposal| {
        n += 1;
        if n % 2 == 0 { failed(FailureKind::OutOfMemory) } else { run(proposal) }
    })
    .run();
    assert_eq!(phases(&record.asked).len(), 20 + 30 + 1);
    let record = Search::<RandomSharing, _>::new(bits(json), |_| failed(FailureKind::Unsupported)).run();
    assert_eq!(record.told.len(), 20);
    assert!(record.finished.unwrap().contains("the test wants it so"));
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    let json = r#"{"steps-per-job": 3, "samples": 60, "samples-per-job": 7, "validation-batches": 2}"#;
    for slots in [1, 3] {
        let cell = || with_parameters(setup(edges_cell(2, 3, &OPTIONS)), json);
        assert_restoring_changes_nothing(|| Search::<RandomSharing, _>::new(cell(), run).seed(5).slots(slots));
    }
}

#[test]
fn a_takeover_by_replay_goes_on_where_the_one_before_it_was() {
    let json = r#"{"steps-per-job": 8, "samples": 60, "validation-batches": 2}"#;
    let first = Search::<RandomSharing, _>::new(bits(json), run).jobs(5).run();
    let mut rest = bits(json);
    rest.shared_weights.as_mut().unwrap().steps_done = 20;
    let record = Search::<RandomSharing, _>::new(rest, run).replaying(first.told).run();
    assert_eq!(phases(&record.asked), [('e', 20), ('f', 5)]);
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"samples": 0}"#, "samples: at least 1"),
        (r#"{"steps-per-job": 0}"#, "steps-per-job: at least 1"),
        (r#"{"training-share": 1.5}"#, "training-share: 1.5"),
        (r#"{"batch-norm": "recalibrated", "recalibration-batches": 0}"#, "recalibration-batches: 0"),
        (r#"{"batch-norm": "none"}"#, "batch-norm: unknown variant `none`"),
    ] {
        match Running::<RandomSharing>::start(bits(json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
