//! The whole strategy on accuracies written down by hand, against the SDK's test host.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use nas_strategy_sdk::testing::{
    Row, Search, assert_restoring_changes_nothing, choice_space, edges_cell, failed, setup, shared_evaluations,
    shared_steps, with_parameters,
};
use nas_strategy_sdk::{
    BatchNorm, Bound, CountRule, EvaluationBatches, FailureKind, Gene, Measure, Outcome, Proposal, Role, Running,
    SearchSpace, Setup, StrategyError, WeightUpdate, Work,
};
use one_shot::OneShot;

const OPTIONS: [&str; 4] = ["none", "skip_connect", "conv", "pool"];

/// Two blocks of two possible inputs and four possible operations; one or two of each.
fn blocks() -> SearchSpace {
    let mut rows: Vec<Row> = Vec::new();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    for (idx, name) in (0u32..).zip(names) {
        let role = if idx % 6 < 2 { Role::Skip } else { Role::Operation };
        rows.push((name, role, (0, 2 + idx / 6), &["off", "on"]));
    }
    let mut space = choice_space(&rows);
    for decisions in [vec![0, 1], vec![2, 3, 4, 5], vec![6, 7], vec![8, 9, 10, 11]] {
        space.counts.push(CountRule { decisions, options: vec![1], at_least: 1, at_most: 2 });
    }
    space
}

/// Number of decisions that are on, in mixtures as well.
fn n_on(genes: &[Gene]) -> f64 {
    let is_on = |gene: &&Gene| match gene {
        Gene::Choice(option) => *option == 1,
        Gene::Mixture(listed) => !listed.is_empty(),
        _ => false,
    };
    genes.iter().filter(is_on).count() as f64
}

fn run(proposal: &Proposal) -> Outcome {
    match &proposal.work {
        Work::TrainShared(_) => shared_steps(proposal, |_| (1.0, Vec::new())),
        _ => shared_evaluations(proposal, |genes| n_on(genes) / genes.len() as f64),
    }
}

fn costs(genes: &[Gene]) -> Result<Vec<Measure>, String> {
    Ok(vec![Measure { name: "params".to_owned(), value: 100.0 + n_on(genes) }])
}

fn setup_of(json: &str) -> Setup {
    with_parameters(setup(blocks()), json)
}

/// `w`, `a`, `s`, `f`: weight steps, every path on, samples, finalists; with how many.
fn phases(asked: &[Proposal]) -> Vec<(char, usize)> {
    let phase = |proposal: &Proposal| match (&proposal.work, proposal.note.as_str()) {
        (Work::TrainShared(steps), _) => ('w', steps.len()),
        (Work::EvaluateShared(work), "all on") => ('a', work.architectures.len()),
        (Work::EvaluateShared(work), "samples") => ('s', work.architectures.len()),
        (Work::EvaluateShared(work), "finalists") => ('f', work.architectures.len()),
        other => panic!("{other:?}"),
    };
    asked.iter().map(phase).collect()
}

const SMALL: &str = r#"{"samples": 50, "samples-per-job": 20, "validation-batches": 2}"#;

#[test]
fn paths_are_dropped_more_and_more_then_candidates_are_ranked() {
    let json = r#"{"steps": 400, "samples": 50, "samples-per-job": 20, "validation-batches": 2, "dropout": 0.5}"#;
    let record = Search::<OneShot, _>::new(setup_of(json), run).costs(costs).run();
    let mut expected = vec![('w', 50); 8];
    expected.extend([('a', 1), ('s', 20), ('s', 20), ('s', 10), ('f', 10)]);
    assert_eq!(phases(&record.asked), expected);
    let mean_on = |proposal: &Proposal| match &proposal.work {
        Work::TrainShared(steps) => {
            assert!(steps.iter().all(|step| step.update == WeightUpdate::Apply));
            steps.iter().map(|step| n_on(&step.architecture)).sum::<f64>() / 50.0
        }
        other => panic!("{other:?}"),
    };
    let on: Vec<f64> = record.asked[..8].iter().map(mean_on).collect();
    // 12 paths at first; at the end 4 with rate 0.5^(1/2) and 8 with rate 0.5^(1/4) are dropped: 2.4 are left.
    assert!(on[0] > 11.0 && on[7] < 4.0, "{on:?}");
    assert!(on.windows(2).all(|pair| pair[1] < pair[0]), "{on:?}");
    let Work::TrainShared(steps) = &record.asked[0].work else { panic!() };
    assert_eq!(n_on(&steps[0].architecture), 12.0);
}

#[test]
fn all_candidates_are_ranked_on_the_same_minibatches_by_batch_statistics() {
    let record = Search::<OneShot, _>::new(setup_of(SMALL), run).costs(costs).run();
    for proposal in &record.asked {
        if let Work::EvaluateShared(work) = &proposal.work {
            let is_final = proposal.note == "finalists";
            let batches = if is_final { EvaluationBatches::All } else { EvaluationBatches::First(2) };
            assert_eq!((work.batches, work.batch_norm), (batches, BatchNorm::BatchStatistics));
        }
    }
}

#[test]
fn the_papers_comparison_is_charted() {
    let record = Search::<OneShot, _>::new(setup_of(SMALL), run).costs(costs).run();
    let chart = |name| record.chart(name)[0];
    assert_eq!(chart("all on"), 1.0);
    assert!(chart("top") > chart("random") && chart("random") > chart("small"));
    // The largest candidate has eight of twelve paths on.
    assert!(chart("top") <= 8.0 / 12.0);
    assert_eq!(record.chart("top").len(), 1);
}

#[test]
fn the_best_are_recommended_or_the_comparison() {
    let record = Search::<OneShot, _>::new(setup_of(SMALL), run).costs(costs).run();
    let sizes: Vec<f64> = record.recommended.iter().map(|genes| n_on(genes)).collect();
    assert!(sizes.windows(2).all(|pair| pair[0] >= pair[1]), "{sizes:?}");
    let json = SMALL.replace('{', "{\"recommend-comparison\": true, ");
    let compared = Search::<OneShot, _>::new(setup_of(&json), run).costs(costs).run();
    assert_eq!(compared.recommended[0], record.recommended[0]);
    let small = compared.chart("small")[0];
    assert_eq!(n_on(&compared.recommended[1]) / 12.0, small);
    let Work::EvaluateShared(first) = &compared.asked[2].work else { panic!() };
    assert_eq!(compared.recommended[2], first.architectures[0]);
}

#[test]
fn candidates_lie_within_the_constraints() {
    let mut setup = setup_of(SMALL);
    setup.constraints = vec![Bound { metric: "params".to_owned(), at_least: None, at_most: Some(105.0) }];
    let record = Search::<OneShot, _>::new(setup, run).costs(costs).run();
    assert!(record.recommended.iter().all(|genes| n_on(genes) <= 5.0));
}

#[test]
fn a_search_with_few_jobs_still_ranks_something() {
    let json = r#"{"steps": 100000, "samples-per-job": 10}"#;
    let record = Search::<OneShot, _>::new(setup_of(json), run).costs(costs).jobs(10).run();
    assert_eq!(phases(&record.asked)[8..], [('a', 1), ('s', 10)]);
    assert!(!record.recommended.is_empty());
}

#[test]
fn failed_jobs_are_passed_over_and_a_hopeless_search_ends() {
    let mut n = 0;
    let record = Search::<OneShot, _>::new(setup_of(SMALL), |proposal| {
        n += 1;
        if n % 2 == 0 { failed(FailureKind::TimedOut) } else { run(proposal) }
    })
    .costs(costs)
    .run();
    assert!(record.finished.unwrap().contains("50 candidates"));
    let json = r#"{"steps-per-job": 1}"#;
    let record = Search::<OneShot, _>::new(setup_of(json), |_| failed(FailureKind::Unsupported)).run();
    assert_eq!(record.told.len(), 20);
    assert!(record.finished.unwrap().contains("the test wants it so"));
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    let json = r#"{"steps-per-job": 3, "samples": 40, "samples-per-job": 7, "validation-batches": 2}"#;
    for slots in [1, 3] {
        assert_restoring_changes_nothing(|| {
            Search::<OneShot, _>::new(setup_of(json), run).costs(costs).seed(5).slots(slots)
        });
        let cell = || with_parameters(setup(edges_cell(2, 3, &OPTIONS)), json);
        assert_restoring_changes_nothing(|| Search::<OneShot, _>::new(cell(), run).costs(costs).slots(slots));
    }
}

#[test]
fn a_takeover_by_replay_goes_on_where_the_one_before_it_was() {
    let first = Search::<OneShot, _>::new(setup_of(SMALL), run).costs(costs).jobs(3).run();
    let mut rest = setup_of(SMALL);
    rest.shared_weights.as_mut().unwrap().steps_done = 20;
    let record = Search::<OneShot, _>::new(rest, run).costs(costs).replaying(first.told).run();
    assert_eq!(phases(&record.asked), [('s', 20), ('s', 10), ('f', 10)]);
    assert_eq!(record.chart("all on"), [1.0]);
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"dropout": 1.0}"#, "dropout: 1"),
        (r#"{"random": 0}"#, "random: at least 1"),
        (r#"{"samples": 0}"#, "samples: at least 1"),
        (r#"{"kept": 0}"#, "kept: at least 1"),
        (r#"{"drop": 0.5}"#, "unknown field `drop`"),
    ] {
        match Running::<OneShot>::start(setup_of(json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
