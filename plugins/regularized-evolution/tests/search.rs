//! The whole strategy on small problems, against the SDK's test host.

use std::collections::BTreeSet;

use nas_strategy_sdk::testing::{
    Delivery, Host, Record, Search, assert_restoring_changes_nothing, edges_cell, failed, minimizing, mixed_score,
    mixed_space, one_max, ones, setup, trained, trained_to_loss, with_parameters,
};
use nas_strategy_sdk::{
    Answer, Architecture, Bound, FailureKind, Gene, Job, JobId, Measure, Proposal, Request, Role, Running, Setup,
    StrategyError, testing,
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

fn written(record: &Record) -> Vec<String> {
    record.architectures().iter().map(|genes| format!("{genes:?}")).collect()
}

#[test]
fn nothing_is_in_flight_twice_but_what_was_told_may_come_again() {
    // First in, first out on four slots: any four in a row are in flight together.
    let setup = with_parameters(setup(one_max(4)), r#"{"population": 5, "sample": 2}"#);
    let record = Search::<RegularizedEvolution, _>::new(setup, |p| trained(ones(p))).slots(4).jobs(300).run();
    let all = written(&record);
    assert!(all.windows(4).all(|four| four.iter().collect::<BTreeSet<_>>().len() == 4));
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (300, 16));
}

#[test]
fn repetition_is_allowed_or_ruled_out_on_request() {
    let json = |repetition: &str| {
        format!(r#"{{"population": 5, "sample": 2, "identity-probability": 1, "repetition": "{repetition}"}}"#)
    };
    let run = |repetition: &str| {
        let setup = with_parameters(setup(one_max(4)), &json(repetition));
        Search::<RegularizedEvolution, _>::new(setup, |p| trained(ones(p))).slots(4).jobs(100).run()
    };
    let allowed = written(&run("allowed"));
    assert!(allowed.windows(4).any(|four| four.iter().collect::<BTreeSet<_>>().len() < 4));
    let never = run("never");
    assert_eq!((never.told.len(), written(&never).iter().collect::<BTreeSet<_>>().len()), (16, 16));
    assert!(never.finished.unwrap().contains("known already"));
}

#[test]
fn all_kinds_of_decisions_evolve_upwards_and_downwards_with_a_fifth_of_failures() {
    let json = r#"{"population": 10, "sample": 3}"#;
    let fifth_fails = |n: &mut u32, outcome| {
        *n += 1;
        if n.is_multiple_of(5) { failed(FailureKind::Infrastructure) } else { outcome }
    };
    let top = |record: &Record| record.told.iter().map(|job| mixed_score(&job.proposal)).fold(0.0, f64::max);
    let (mut n, mut m) = (0, 0);
    let up = with_parameters(setup(mixed_space()), json);
    let up = Search::<RegularizedEvolution, _>::new(up, |p| fifth_fails(&mut n, trained(mixed_score(p)))).slots(3);
    let down = minimizing(with_parameters(setup(mixed_space()), json));
    let down =
        Search::<RegularizedEvolution, _>::new(down, |p| fifth_fails(&mut m, trained_to_loss(1.0 - mixed_score(p))));
    let (up, down) = (up.jobs(200).run(), down.delivery(Delivery::LastIn).slots(3).jobs(200).run());
    assert!(top(&up) > 0.9 && top(&down) > 0.9, "{} and {}", top(&up), top(&down));
}

#[test]
fn the_snapshot_does_not_grow_with_the_jobs_told() {
    let setup = small(r#"{"population": 10, "sample": 3}"#);
    Host::new(&setup.space, 0).install();
    let mut running = Running::<RegularizedEvolution>::start(setup).unwrap();
    let mut sizes = Vec::new();
    for id in 0..4_000u64 {
        let request = Request { slots: 1, next_id: id, in_flight: vec![], jobs_left: None, budget_used: 0.0 };
        let Answer::Work(mut work) = running.ask(&request).unwrap() else { panic!("no work") };
        let proposal = work.remove(0);
        let outcome = Some(trained(ones(&proposal)));
        running.tell(&Job { id, proposal, outcome, cost: 1.0 }).unwrap();
        if id % 1_000 == 999 {
            sizes.push(running.save().unwrap().bytes.len());
        }
    }
    // A little, because later job ids are longer.
    assert!(sizes[3] < sizes[0] + 500, "{sizes:?}");
}
