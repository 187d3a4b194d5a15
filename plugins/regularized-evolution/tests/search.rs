//! The whole strategy on small problems, against the SDK's test host.

use nas_strategy_sdk::testing::{
    Delivery, Search, assert_restoring_changes_nothing, edges_cell, failed, one_max, ones, setup, trained,
    with_parameters,
};
use nas_strategy_sdk::{
    Architecture, Bound, FailureKind, Gene, JobId, Measure, Proposal, Role, Running, Setup, StrategyError, testing,
};
use regularized_evolution::{Groups, RegularizedEvolution};

fn small(json: &str) -> Setup {
    with_parameters(setup(one_max(30)), json)
}

fn best(told: &[nas_strategy_sdk::Job]) -> f64 {
    told.iter().map(|job| ones(&job.proposal)).fold(0.0, f64::max)
}

const SMALL: &str = r#"{"population": 20, "sample": 5}"#;

#[test]
fn evolution_finds_more_ones_than_as_many_random_samples_for_every_seed() {
    for seed in 0..10 {
        let score = |proposal: &Proposal| trained(ones(proposal));
        let evolved = Search::<RegularizedEvolution, _>::new(small(SMALL), score).seed(seed).jobs(300).run();
        // A population as large as the budget never leaves the random phase.
        let sampled =
            Search::<RegularizedEvolution, _>::new(small(r#"{"population": 300}"#), score).seed(seed).jobs(300).run();
        assert!(best(&evolved.told) > best(&sampled.told), "seed {seed}");
        assert!(best(&evolved.told) >= 0.93, "seed {seed}: {}", best(&evolved.told));
    }
}

#[test]
fn the_first_proposals_are_random_and_all_later_ones_have_a_parent() {
    let record = Search::<RegularizedEvolution, _>::new(small(SMALL), |p| trained(ones(p))).slots(7).jobs(60).run();
    let orphans: Vec<bool> = record.asked.iter().map(|proposal| proposal.parents.is_empty()).collect();
    assert_eq!(orphans, (0..60).map(|idx| idx < 20).collect::<Vec<_>>());
}

#[test]
fn parents_are_among_the_last_told_in_told_order() {
    let record = Search::<RegularizedEvolution, _>::new(small(SMALL), |p| trained(ones(p)))
        .slots(4)
        .delivery(Delivery::LastIn)
        .jobs(200)
        .run();
    let told: Vec<JobId> = record.told.iter().map(|job| job.id).collect();
    let last: Vec<JobId> = record.asked.last().unwrap().parents.clone();
    let position = told.iter().position(|id| *id == last[0]).unwrap();
    assert!(told.len() - position <= 20 + 4, "parent {last:?} is at {position} of {}", told.len());
}

#[test]
fn failed_jobs_are_never_parents_and_the_random_phase_makes_up_for_them() {
    let mut n = 0u64;
    let mut failures = Vec::new();
    let record = Search::<RegularizedEvolution, _>::new(small(SMALL), |proposal| {
        n += 1;
        if n.is_multiple_of(3) {
            failures.push(n - 1);
            return failed(FailureKind::Diverged);
        }
        trained(ones(proposal))
    })
    .jobs(120)
    .run();
    assert!(record.asked.iter().all(|proposal| { proposal.parents.iter().all(|parent| !failures.contains(parent)) }));
    let orphans = record.asked.iter().filter(|proposal| proposal.parents.is_empty()).count();
    assert_eq!(orphans, 29, "20 that succeed and the 9 that fail among them");
}

#[test]
fn a_search_in_which_everything_fails_goes_on_at_random() {
    let record = Search::<RegularizedEvolution, _>::new(small(SMALL), |_| failed(FailureKind::OutOfMemory))
        .slots(3)
        .jobs(50)
        .run();
    assert_eq!(record.told.len(), 50);
    assert_eq!(record.recommended, Vec::<Architecture>::new());
}

#[test]
fn with_identity_probability_one_every_child_equals_its_parent() {
    let json = r#"{"population": 5, "sample": 2, "identity-probability": 1.0}"#;
    let record = Search::<RegularizedEvolution, _>::new(small(json), |p| trained(ones(p))).jobs(40).run();
    let architectures = record.architectures();
    for (proposal, architecture) in record.asked.iter().zip(&architectures).filter(|(p, _)| !p.parents.is_empty()) {
        assert_eq!(architectures[proposal.parents[0] as usize], *architecture);
    }
}

#[test]
fn a_child_differs_from_its_parent_in_one_gene() {
    let json = r#"{"population": 5, "sample": 2, "identity-probability": 0.0}"#;
    let record = Search::<RegularizedEvolution, _>::new(small(json), |p| trained(ones(p))).jobs(100).run();
    let architectures = record.architectures();
    for (proposal, child) in record.asked.iter().zip(&architectures).filter(|(p, _)| !p.parents.is_empty()) {
        let parent = &architectures[proposal.parents[0] as usize];
        assert_eq!(parent.iter().zip(child).filter(|(a, b)| a != b).count(), 1);
    }
}

#[test]
fn children_in_a_cell_of_edges_obey_its_rule() {
    let setup =
        with_parameters(setup(edges_cell(2, 4, &["none", "skip", "conv"])), r#"{"population": 10, "sample": 3}"#);
    let score = |p: &Proposal| trained(ones(p));
    let record = Search::<RegularizedEvolution, _>::new(setup, score).slots(3).jobs(150).run();
    assert_eq!(record.told.len(), 150); // The test host checks every proposal.
}

#[test]
fn a_mutation_picks_the_cell_before_the_decision() {
    // One decision in cell 0, nineteen in cell 1: half of the mutations change the one.
    let rows: Vec<(String, u32)> = (0..20).map(|idx| (format!("d{idx}"), u32::from(idx > 0))).collect();
    let rows: Vec<_> =
        rows.iter().map(|(name, cell)| (name.as_str(), Role::Operation, (*cell, 0), &["a", "b", "c"][..])).collect();
    let json = r#"{"population": 1, "sample": 1, "identity-probability": 0.0}"#;
    let setup = with_parameters(setup(testing::choice_space(&rows)), json);
    let record = Search::<RegularizedEvolution, _>::new(setup, |_| trained(0.5)).jobs(1000).run();
    let architectures = record.architectures();
    let changed = architectures.windows(2).filter(|pair| pair[0][0] != pair[1][0]).count();
    assert!((420..580).contains(&changed), "{changed}");
}

#[test]
fn inputs_and_operations_are_two_kinds_of_one_cell() {
    let space = testing::choice_space(&[
        ("op", Role::Operation, (0, 2), &["a", "b"]),
        ("in", Role::Input, (0, 2), &["0", "1"]),
        ("op2", Role::Operation, (1, 2), &["a", "b"]),
    ]);
    testing::Host::new(&space, 0).install();
    let groups = Groups::of(&space);
    let genes = vec![Gene::Choice(0); 3];
    let mut drawn: Vec<Vec<u32>> = (0..200).map(|_| groups.draw(&genes).to_vec()).collect();
    drawn.sort();
    drawn.dedup();
    assert_eq!(drawn, [vec![0], vec![1], vec![2]]);
    let genes = [Gene::Inactive, Gene::Inactive, Gene::Choice(1)];
    assert_eq!(groups.draw(&genes), [2]);
}

#[test]
fn the_recommendation_is_the_best_ever_without_repetition() {
    let record = Search::<RegularizedEvolution, _>::new(small(SMALL), |p| trained(ones(p))).jobs(300).run();
    let share = |genes: &Architecture| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / 30.0;
    assert_eq!(record.recommended.len(), 10);
    assert_eq!(share(&record.recommended[0]), best(&record.told));
    assert!(record.recommended.windows(2).all(|pair| share(&pair[0]) >= share(&pair[1]) && pair[0] != pair[1]));
}

#[test]
fn save_and_restore_before_every_call_changes_nothing() {
    assert_restoring_changes_nothing(|| {
        Search::<RegularizedEvolution, _>::new(small(SMALL), |p| trained(ones(p)))
            .seed(3)
            .slots(5)
            .delivery(Delivery::LastIn)
            .jobs(120)
    });
}

#[test]
fn a_takeover_by_replay_continues_with_the_population_it_was_told() {
    let first = Search::<RegularizedEvolution, _>::new(small(SMALL), |p| trained(ones(p))).jobs(50).run();
    let second = Search::<RegularizedEvolution, _>::new(small(SMALL), |p| trained(ones(p)))
        .replaying(first.told.clone())
        .jobs(20)
        .run();
    assert!(second.asked.iter().all(|proposal| !proposal.parents.is_empty()));
    assert!(second.asked[0].parents[0] >= 30, "of the last twenty told");
}

#[test]
fn senseless_parameters_are_refused_by_name() {
    for (json, part) in [
        (r#"{"population": 0}"#, "population"),
        (r#"{"identity-probability": 1.5}"#, "identity-probability: 1.5"),
        (r#"{"fidelity": 11}"#, "fidelity: 11"),
        (r#"{"populatoin": 10}"#, "populatoin"),
    ] {
        match Running::<RegularizedEvolution>::start(small(json)) {
            Err(StrategyError::InvalidParameters(message)) => {
                assert!(message.contains(part), "{json}: {message}")
            }
            other => panic!("{json}: {:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn constraints_of_the_search_are_kept_to() {
    // At most a third of the genes may be ones.
    let share =
        |genes: &[Gene]| genes.iter().filter(|gene| **gene == Gene::Choice(1)).count() as f64 / genes.len() as f64;
    let mut setup = with_parameters(setup(one_max(12)), SMALL);
    setup.constraints = vec![Bound { metric: "share".to_owned(), at_least: None, at_most: Some(1.0 / 3.0) }];
    let record = Search::<RegularizedEvolution, _>::new(setup, |p| trained(ones(p)))
        .costs(move |genes| Ok(vec![Measure { name: "share".to_owned(), value: share(genes) }]))
        .jobs(80)
        .run();
    assert_eq!(record.told.len(), 80);
    assert!(record.architectures().iter().all(|genes| share(genes) <= 1.0 / 3.0));
}
