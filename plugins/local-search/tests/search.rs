//! The whole strategy on small problems, against the SDK's test host.

use std::collections::BTreeSet;

use local_search::LocalSearch;
use nas_strategy_sdk::testing::{
    Delivery, Record, Search, assert_restoring_changes_nothing, edges_cell, failed, minimizing, mixed_score,
    mixed_space, one_max, ones, setup, trained, trained_to_loss, with_parameters,
};
use nas_strategy_sdk::{
    Architecture, Bound, FailureKind, Gene, Measure, Outcome, Proposal, Running, Setup, StrategyError,
};

const FIRST: &str = r#"{"variant": "first-improvement"}"#;

fn small(json: &str) -> Setup {
    with_parameters(setup(one_max(12)), json)
}

fn score(proposal: &Proposal) -> Outcome {
    trained(ones(proposal))
}

fn best(record: &Record) -> f64 {
    record.told.iter().map(|job| ones(&job.proposal)).fold(0.0, f64::max)
}

fn distinct(record: &Record) -> usize {
    record.architectures().iter().map(|genes| format!("{genes:?}")).collect::<BTreeSet<_>>().len()
}

fn n_differing(left: &Architecture, right: &Architecture) -> usize {
    left.iter().zip(right).filter(|(left, right)| left != right).count()
}

#[test]
fn a_hill_is_climbed_to_its_top_for_every_seed_variant_and_number_of_slots() {
    for seed in 0..5 {
        for (json, slots) in [("{}", 1), ("{}", 5), (FIRST, 1), (FIRST, 5)] {
            let record = Search::<LocalSearch, _>::new(small(json), score).seed(seed).slots(slots).jobs(160).run();
            assert_eq!(best(&record), 1.0, "seed {seed}, {json}, {slots} slots");
        }
    }
}

#[test]
fn a_neighbourhood_is_trained_whole_and_then_left_for_its_best() {
    let record = Search::<LocalSearch, _>::new(small("{}"), score).slots(3).jobs(40).run();
    let all = record.architectures();
    assert!(record.asked[0].parents.is_empty());
    for (proposal, genes) in record.asked[1..13].iter().zip(&all[1..13]) {
        assert_eq!((proposal.parents.as_slice(), n_differing(genes, &all[0])), ([0].as_slice(), 1));
    }
    let parent = record.asked[13].parents[0] as usize;
    let best = record.asked[..13].iter().map(ones).fold(0.0, f64::max);
    assert_eq!((ones(&record.asked[parent]), n_differing(&all[13], &all[parent])), (best, 1));
}

#[test]
fn at_the_first_improvement_the_climb_moves_at_once() {
    let record = Search::<LocalSearch, _>::new(small(FIRST), score).jobs(60).run();
    // On one slot a proposal's parent is always the best of the climb so far.
    let climb = record.asked.iter().skip(1).take_while(|proposal| !proposal.parents.is_empty()).count();
    for idx in 1..=climb {
        let best = record.asked[..idx].iter().map(ones).fold(0.0, f64::max);
        assert_eq!(ones(&record.asked[record.asked[idx].parents[0] as usize]), best);
    }
    let all = Search::<LocalSearch, _>::new(small("{}"), score).jobs(160).run();
    let until_top = |record: &Record| record.asked.iter().position(|proposal| ones(proposal) == 1.0).unwrap();
    assert!(until_top(&record) < until_top(&all), "fewer jobs to the top of a plain hill");
}

#[test]
fn nothing_is_trained_twice_and_a_space_is_searched_through() {
    for (json, slots) in [("{}", 1), ("{}", 7), (FIRST, 4)] {
        let setup = with_parameters(setup(one_max(5)), json);
        let record = Search::<LocalSearch, _>::new(setup, score).slots(slots).jobs(100).run();
        assert_eq!((record.told.len(), distinct(&record)), (32, 32), "{json}, {slots} slots");
        assert!(record.finished.unwrap().contains("searched through"));
    }
}

#[test]
fn at_a_local_optimum_another_climb_begins() {
    // Two hills: all zeros is worth less than all ones, and everything between is a valley.
    let two_hills = |proposal: &Proposal| {
        let share = ones(proposal);
        if share < 0.5 { 0.9 - share } else { share }
    };
    let setup = || with_parameters(setup(one_max(8)), "{}");
    for seed in 0..5 {
        let search = Search::<LocalSearch, _>::new(setup(), |p| trained(two_hills(p)));
        let record = search.seed(seed).slots(2).jobs(250).run();
        assert!(record.asked.iter().filter(|proposal| proposal.parents.is_empty()).count() > 1);
        assert_eq!(best(&record), 1.0, "seed {seed}");
    }
}

#[test]
fn the_best_of_several_starts_is_climbed() {
    let record = Search::<LocalSearch, _>::new(small(r#"{"starts": 6}"#), score).slots(4).jobs(20).run();
    let orphans: Vec<bool> = record.asked.iter().map(|proposal| proposal.parents.is_empty()).collect();
    assert_eq!(orphans, (0..20).map(|idx| idx < 6).collect::<Vec<_>>());
    let best = record.asked[..6].iter().map(ones).fold(0.0, f64::max);
    assert_eq!(ones(&record.asked[record.asked[6].parents[0] as usize]), best);
}

#[test]
fn all_kinds_of_decisions_are_climbed_upwards_and_downwards() {
    let top = |record: &Record| record.told.iter().map(|job| mixed_score(&job.proposal)).fold(0.0, f64::max);
    let up = Search::<LocalSearch, _>::new(setup(mixed_space()), |p| trained(mixed_score(p))).slots(3).jobs(150).run();
    let down = minimizing(setup(mixed_space()));
    let down = Search::<LocalSearch, _>::new(down, |p| trained_to_loss(1.0 - mixed_score(p))).slots(3).jobs(150).run();
    assert!(top(&up) > 0.95 && top(&down) > 0.95, "{} and {}", top(&up), top(&down));
}

#[test]
fn failed_jobs_are_passed_over_in_any_order() {
    for json in ["{}", FIRST] {
        let mut n = 0;
        let record = Search::<LocalSearch, _>::new(small(json), |proposal| {
            n += 1;
            if n % 5 == 0 { failed(FailureKind::Diverged) } else { score(proposal) }
        })
        .slots(4)
        .delivery(Delivery::LastIn)
        .jobs(300)
        .run();
        assert!(best(&record) > 0.9 && distinct(&record) == 300, "{json}: {}", best(&record));
    }
    let record = Search::<LocalSearch, _>::new(small("{}"), |_| failed(FailureKind::OutOfMemory)).slots(3).jobs(50);
    assert_eq!(record.run().told.len(), 50);
}

#[test]
fn neighbours_in_a_cell_of_edges_obey_its_rule() {
    let setup = setup(edges_cell(2, 3, &["none", "a", "b"]));
    let record = Search::<LocalSearch, _>::new(setup, score).slots(3).jobs(150).run();
    assert_eq!((record.told.len(), distinct(&record)), (150, 150)); // The test host checks every proposal.
}

#[test]
fn a_takeover_goes_on_from_the_best_it_is_told_and_trains_nothing_again() {
    let first = Search::<LocalSearch, _>::new(small("{}"), score).jobs(30).run();
    let second = Search::<LocalSearch, _>::new(small("{}"), score).replaying(first.told.clone()).jobs(20).run();
    let parent = second.asked[0].parents[0] as usize;
    assert_eq!(ones(&first.asked[parent]), best(&first));
    let known: BTreeSet<String> = first.architectures().iter().map(|genes| format!("{genes:?}")).collect();
    assert!(second.architectures().iter().all(|genes| !known.contains(&format!("{genes:?}"))));
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    for json in [r#"{"starts": 3}"#, FIRST] {
        assert_restoring_changes_nothing(|| {
            let setup = with_parameters(setup(mixed_space()), json);
            Search::<LocalSearch, _>::new(setup, |p| trained(mixed_score(p)))
                .slots(4)
                .delivery(Delivery::LastIn)
                .jobs(90)
        });
    }
}

#[test]
fn constraints_of_the_search_are_kept_to() {
    let share =
        |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64;
    let mut setup = small("{}");
    setup.constraints = vec![Bound { metric: "share".to_owned(), at_least: None, at_most: Some(1.0 / 3.0) }];
    let record = Search::<LocalSearch, _>::new(setup, score)
        .costs(move |genes| Ok(vec![Measure { name: "share".to_owned(), value: share(genes) }]))
        .slots(3)
        .jobs(80)
        .run();
    assert_eq!((record.told.len(), best(&record)), (80, 1.0 / 3.0));
    assert!(record.architectures().iter().all(|genes| share(genes) <= 1.0 / 3.0));
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"starts": 0}"#, "starts"),
        (r#"{"step": 0}"#, "step: 0"),
        (r#"{"variant": "steepest"}"#, "variant"),
        (r#"{"fidelity": 11}"#, "fidelity: 11"),
    ] {
        match Running::<LocalSearch>::start(small(json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
