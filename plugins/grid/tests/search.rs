//! The whole strategy on small problems, against the SDK's test host.

use std::collections::BTreeSet;

use grid::Grid;
use nas_strategy_sdk::testing::{
    Delivery, Search, assert_restoring_changes_nothing, edges_cell, failed, mixed_space, one_max, ones, setup, trained,
    with_parameters,
};
use nas_strategy_sdk::{
    Architecture, Bound, FailureKind, Gene, Measure, Outcome, Proposal, Running, SearchSpace, Setup, StrategyError,
};

fn score(proposal: &Proposal) -> Outcome {
    trained(ones(proposal))
}

/// Everything a grid of the space trains, in order, and why it ended.
fn whole(setup: Setup, slots: u32) -> (Vec<Architecture>, String) {
    let record = Search::<Grid, _>::new(setup, score).slots(slots).jobs(100_000).run();
    (record.architectures(), record.finished.unwrap_or_default())
}

fn grid(space: SearchSpace, json: &str) -> Setup {
    with_parameters(setup(space), json)
}

fn distinct(all: &[Architecture]) -> usize {
    all.iter().map(|genes| format!("{genes:?}")).collect::<BTreeSet<_>>().len()
}

fn options(genes: &[Gene]) -> Vec<u32> {
    genes.iter().filter_map(Gene::chosen).collect()
}

#[test]
fn every_architecture_comes_once_in_order() {
    let (all, finished) = whole(grid(one_max(3), ""), 3);
    let read: Vec<u32> = all.iter().map(|genes| options(genes).iter().fold(0, |sum, bit| sum * 2 + bit)).collect();
    assert_eq!(read, (0..8).collect::<Vec<_>>());
    assert!(finished.contains("grid of 8 architectures"), "{finished}");
}

#[test]
fn count_rules_are_respected_and_nothing_valid_is_left_out() {
    // One node with three edges of which two are kept, two ways to keep one: 3 * 2 * 2; and the first node
    // keeps both its edges: 2 * 2.
    let (all, _) = whole(grid(edges_cell(1, 2, &["none", "a", "b"]), ""), 1);
    assert_eq!((all.len(), distinct(&all)), (48, 48)); // The test host checks every proposal.
}

#[test]
fn conditions_ranges_and_forbidden_pairs_are_respected() {
    // Branch a: rate x count x share x one option; branch b: rate x depth x width x share x two options.
    let (all, _) = whole(grid(mixed_space(), r#"{"levels": 2}"#), 4);
    let expected = 2 * 5 * 2 + 2 * 3 * 8 * 2 * 2;
    assert_eq!((all.len(), distinct(&all)), (expected, expected));
    let (fewer, _) = whole(grid(mixed_space(), r#"{"levels": 1, "integer-levels": 2}"#), 4);
    assert_eq!(fewer.len(), 2 + 3 * 2 * 2);
}

#[test]
fn strides_share_a_grid_without_a_gap_or_a_repetition() {
    for (space, size) in [(one_max(5), 32), (edges_cell(1, 2, &["none", "a", "b"]), 48)] {
        let (plain, _) = whole(grid(space.clone(), ""), 1);
        for stride in [2, 3, 7, 100] {
            let mut shared = vec![Vec::new(); size];
            for offset in 0..stride {
                let setup = grid(space.clone(), &format!(r#"{{"stride": {stride}, "offset": {offset}}}"#));
                let record = Search::<Grid, _>::new(setup, score).jobs(1000).slots(2).run();
                for (rank, genes) in record.architectures().into_iter().enumerate() {
                    shared[offset + rank * stride] = genes;
                }
            }
            assert_eq!(shared, plain, "stride {stride}");
        }
    }
}

#[test]
fn a_space_without_decisions_has_one_architecture() {
    let (all, _) = whole(grid(one_max(0), ""), 2);
    assert_eq!(all, [Architecture::new()]);
}

#[test]
fn a_stride_far_beyond_a_call_s_steps_is_sliced() {
    // 2^16 architectures, every 40,000th.
    let (all, _) = whole(grid(one_max(16), r#"{"stride": 40000, "offset": 39999}"#), 1);
    assert_eq!(all.len(), 1);
    assert_eq!(options(&all[0]).iter().fold(0, |sum, bit| sum * 2 + bit), 39_999);
}

#[test]
fn what_another_strategy_trained_or_has_in_flight_is_not_trained_again() {
    let first = Search::<Grid, _>::new(grid(one_max(4), ""), score).jobs(5).run();
    let second =
        Search::<Grid, _>::new(grid(one_max(4), ""), score).replaying(first.told.clone()).slots(3).jobs(100).run();
    let mut all = first.architectures();
    all.extend(second.architectures());
    assert_eq!((second.asked.len(), all.len(), distinct(&all)), (11, 16, 16));
}

#[test]
fn failed_jobs_are_not_tried_again_and_the_grid_goes_on() {
    let mut n = 0;
    let record = Search::<Grid, _>::new(grid(one_max(5), ""), |proposal| {
        n += 1;
        if n % 5 == 0 { failed(FailureKind::Diverged) } else { score(proposal) }
    })
    .delivery(Delivery::LastIn)
    .slots(4)
    .jobs(100)
    .run();
    assert_eq!((record.told.len(), distinct(&record.architectures())), (32, 32));
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    for json in [r#"{"levels": 3}"#, r#"{"levels": 2, "stride": 5, "offset": 3}"#] {
        assert_restoring_changes_nothing(|| {
            Search::<Grid, _>::new(grid(mixed_space(), json), |p| trained(ones(p))).slots(4).jobs(60)
        });
    }
}

#[test]
fn architectures_beyond_the_constraints_are_skipped() {
    let share =
        |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64;
    let mut setup = grid(one_max(6), "");
    setup.constraints = vec![Bound { metric: "share".to_owned(), at_least: None, at_most: Some(0.4) }];
    let record = Search::<Grid, _>::new(setup, score)
        .costs(move |genes| Ok(vec![Measure { name: "share".to_owned(), value: share(genes) }]))
        .jobs(100)
        .run();
    assert_eq!(record.asked.len(), 1 + 6 + 15);
    assert!(record.architectures().iter().all(|genes| share(genes) <= 0.4));
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"stride": 0}"#, "stride"),
        (r#"{"stride": 3, "offset": 3}"#, "offset: 3"),
        (r#"{"levels": 0}"#, "levels"),
        (r#"{"fidelity": 11}"#, "fidelity: 11"),
    ] {
        match Running::<Grid>::start(grid(one_max(2), json)) {
            Err(StrategyError::InvalidParameters(message)) => assert!(message.contains(part), "{json}: {message}"),
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}
