//! The whole strategy on accuracies written down by hand, against the SDK's test host.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use nas_strategy_sdk::testing::{
    Search, assert_restoring_changes_nothing, edges_cell, failed, one_max, setup, shared_evaluations, shared_steps,
    with_parameters,
};
use nas_strategy_sdk::{
    Architecture, BatchNorm, Bound, EvaluationBatches, FailureKind, Gene, Measure, MixtureGradient, Outcome, Proposal,
    Running, Setup, StrategyError, WeightUpdate, Work,
};
use spos::Spos;

const OPTIONS: [&str; 4] = ["none", "skip_connect", "conv", "pool"];

/// Number of genes that are option 1.
fn ones(genes: &[Gene]) -> f64 {
    genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64
}

fn run(proposal: &Proposal) -> Outcome {
    match &proposal.work {
        Work::TrainShared(_) => shared_steps(proposal, |_| (1.0, Vec::new())),
        _ => shared_evaluations(proposal, |genes| ones(genes) / genes.len() as f64),
    }
}

fn bits(json: &str) -> Setup {
    with_parameters(setup(one_max(20)), json)
}

fn flops(genes: &[Gene]) -> Result<Vec<Measure>, String> {
    Ok(vec![Measure { name: "flops".to_owned(), value: 1e6 * ones(genes) }])
}

fn at_most(mut setup: Setup, millions: f64) -> Setup {
    setup.constraints = vec![Bound { metric: "flops".to_owned(), at_least: None, at_most: Some(1e6 * millions) }];
    setup
}

/// Candidates job by job, with the note.
fn candidates(asked: &[Proposal]) -> Vec<(&str, &[Architecture])> {
    let evaluations = asked.iter().filter_map(|proposal| match &proposal.work {
        Work::EvaluateShared(work) => Some((proposal.note.as_str(), work.architectures.as_slice())),
        _ => None,
    });
    evaluations.collect()
}

#[test]
fn single_paths_train_the_weights_and_then_the_papers_generations_are_evaluated() {
    let record = Search::<Spos, _>::new(bits(r#"{"validation-batches": 2}"#), run).jobs(1_000).run();
    let Work::TrainShared(steps) = &record.asked[0].work else { panic!() };
    assert_eq!(steps.len(), 20);
    for step in steps {
        assert!(step.update == WeightUpdate::Apply && step.gradient == MixtureGradient::None);
        assert!(step.architecture.iter().all(|gene| matches!(gene, Gene::Choice(_))), "not a single path");
    }
    let jobs = candidates(&record.asked);
    // 20 generations of 50 in jobs of 10, and the ten finalists.
    assert_eq!(jobs.len(), 101);
    for (number, (note, job)) in jobs.iter().take(100).enumerate() {
        assert_eq!((*note, job.len()), (format!("generation {}", number / 5 + 1).as_str(), 10));
    }
    assert_eq!((jobs[100].0, jobs[100].1.len()), ("finalists", 10));
    let Work::EvaluateShared(work) = &record.asked[1].work else { panic!() };
    assert_eq!((work.batches, work.batch_norm), (EvaluationBatches::First(2), BatchNorm::Recalibrate(25)));
}

#[test]
fn no_candidate_ever_exceeds_the_constraint() {
    // The better, the dearer: the search presses against the limit.
    for seed in 0..5 {
        let setup = at_most(bits(r#"{"iterations": 10, "validation-batches": 2}"#), 9.0);
        let record = Search::<Spos, _>::new(setup, run).costs(flops).seed(seed).jobs(1_000).run();
        let all: Vec<_> = candidates(&record.asked).into_iter().flat_map(|(_, job)| job).collect();
        assert!(all.len() > 450);
        assert!(all.iter().all(|genes| ones(genes) <= 9.0), "seed {seed}");
        assert!(record.recommended.iter().all(|genes| ones(genes) <= 9.0));
        assert_eq!(ones(&record.recommended[0]), 9.0);
    }
}

#[test]
fn nothing_is_evaluated_twice_but_the_finalists() {
    let record = Search::<Spos, _>::new(bits(r#"{"validation-batches": 1}"#), run).jobs(1_000).run();
    let mut seen = BTreeSet::new();
    for (note, job) in candidates(&record.asked) {
        for genes in job {
            assert_eq!(seen.insert(format!("{genes:?}")), note != "finalists");
        }
    }
    assert_eq!(seen.len(), 1_000);
}

#[test]
fn evolution_beats_as_many_random_samples() {
    let json = r#"{"crossovers": 0, "mutations": 0, "finalists": 0}"#;
    let random = Search::<Spos, _>::new(bits(json), run).jobs(1_000).run();
    let record = Search::<Spos, _>::new(bits(r#"{"finalists": 0}"#), run).jobs(1_000).run();
    assert!(ones(&record.recommended[0]) > ones(&random.recommended[0]));
    let medians = record.chart("generation median");
    assert_eq!(medians.len(), 20);
    assert!(medians[19] > medians[0] + 0.1, "{medians:?}");
    let bests = record.chart("generation best");
    assert!(bests.iter().zip(&medians).all(|(best, median)| best >= median));
}

#[test]
fn training_paths_may_come_evenly_from_intervals_of_a_cost() {
    let json = r#"{"steps": 600, "bins": {"from": 2e6, "to": 18e6, "width": 4e6}}"#;
    let record = Search::<Spos, _>::new(bits(json), run).costs(flops).jobs(12).run();
    let mut counts = [0; 4];
    for proposal in &record.asked {
        let Work::TrainShared(steps) = &proposal.work else { continue };
        for step in steps {
            let n_ones = ones(&step.architecture);
            assert!((2.0..=18.0).contains(&n_ones));
            counts[((n_ones - 2.0) / 4.0).min(3.0) as usize] += 1;
        }
    }
    // Of 600 samples evenly over all paths, 12 have five ones or fewer and 35 have 14 or more.
    assert!(counts[0] > 30 && counts[3] > 100, "{counts:?}");
}

#[test]
fn an_interval_without_paths_gives_way_to_any_path() {
    let json = r#"{"steps": 5, "bins": {"from": 50e6, "to": 60e6, "width": 10e6}}"#;
    let record = Search::<Spos, _>::new(bits(json), run).costs(flops).jobs(1).run();
    assert_eq!(record.asked.len(), 1);
}

#[test]
fn a_constraint_that_nothing_fulfils_ends_the_search_with_a_line() {
    let record = Search::<Spos, _>::new(at_most(bits(""), -1.0), run).costs(flops).run();
    assert!(candidates(&record.asked).is_empty());
    assert!(record.finished.is_some());
    assert!(record.lines.iter().any(|(_, line)| line.contains("no new candidate within the constraints")));
}

#[test]
fn a_small_space_is_evaluated_once_and_done() {
    let setup = with_parameters(setup(one_max(4)), "");
    let record = Search::<Spos, _>::new(setup, run).run();
    assert_eq!(candidates(&record.asked).iter().map(|(_, job)| job.len()).sum::<usize>(), 16);
    assert_eq!(record.recommended[0], vec![Gene::Choice(1); 4]);
}

#[test]
fn rank_agreement_with_flops_is_one_where_they_are_the_score() {
    let record = Search::<Spos, _>::new(bits(r#"{"iterations": 2}"#), run).costs(flops).run();
    assert_eq!(record.chart("rank agreement with flops"), [1.0, 1.0]);
}

#[test]
fn failed_jobs_lose_their_candidates_and_the_search_goes_on() {
    let mut n = 0;
    let record = Search::<Spos, _>::new(bits(r#"{"iterations": 4, "validation-batches": 1}"#), |proposal| {
        n += 1;
        if n % 3 == 0 { failed(FailureKind::TimedOut) } else { run(proposal) }
    })
    .run();
    assert_eq!(candidates(&record.asked).len(), 4 * 5 + 1);
    assert!(record.finished.is_some() && !record.recommended.is_empty());
}

#[test]
fn a_search_with_few_jobs_still_evaluates_candidates() {
    let record = Search::<Spos, _>::new(bits(r#"{"steps": 100000}"#), run).jobs(10).run();
    assert_eq!(candidates(&record.asked).len(), 2);
    assert!(!record.recommended.is_empty());
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    let json = r#"{"steps-per-job": 7, "iterations": 4, "population": 12, "crossovers": 5, "mutations": 5,
        "candidates-per-job": 5, "validation-batches": 2, "bins": {"from": 0.0, "to": 4e6, "width": 1e6}}"#;
    for slots in [1, 3] {
        let cell = || at_most(with_parameters(setup(edges_cell(2, 3, &OPTIONS)), json), 9.0);
        assert_restoring_changes_nothing(|| Search::<Spos, _>::new(cell(), run).costs(flops).seed(5).slots(slots));
    }
}

#[test]
fn a_takeover_by_replay_knows_what_was_visited_and_goes_on_with_the_next_generation() {
    let json = r#"{"iterations": 3, "validation-batches": 1}"#;
    let first = Search::<Spos, _>::new(bits(json), run).jobs(6).run();
    let mut rest = bits(json);
    rest.shared_weights.as_mut().unwrap().steps_done = 20;
    let before: BTreeSet<String> =
        candidates(&first.asked).iter().flat_map(|(_, job)| job.iter()).map(|genes| format!("{genes:?}")).collect();
    assert_eq!(before.len(), 50);
    let record = Search::<Spos, _>::new(rest, run).replaying(first.told).seed(9).run();
    let jobs = candidates(&record.asked);
    assert_eq!(jobs.len(), 11);
    assert_eq!((jobs[0].0, jobs[9].0), ("generation 2", "generation 3"));
    assert!(jobs[..10].iter().flat_map(|(_, job)| job.iter()).all(|genes| !before.contains(&format!("{genes:?}"))));
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"population": 0}"#, "population: at least 1"),
        (r#"{"population": 20}"#, "50 children in a population of 20"),
        (r#"{"mutation-probability": 0.0}"#, "mutation-probability: 0"),
        (r#"{"bins": {"width": 0.0}}"#, "bins: from 290000000 to 360000000 by 0"),
        (r#"{"bins": {"wide": 1.0}}"#, "unknown field `wide`"),
        (r#"{"recalibration-batches": 0}"#, "recalibration-batches: 0"),
    ] {
        match Running::<Spos>::start(bits(json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
